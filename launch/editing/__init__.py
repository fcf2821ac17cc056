"""Boundaries and edits for the commands: labels, images, files."""
