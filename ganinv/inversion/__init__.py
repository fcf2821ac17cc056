"""Inversion by optimisation, refinement of codes, and tuning of a generator to one image."""
