"""Directions in a space of a model along which one attribute of the images changes."""
