"""Saving checkpoints while training continues, and loading them on any number of workers."""
