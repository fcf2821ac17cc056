"""Evaluates a model on any number of ranks: reconstruction, generation and latent figures."""
