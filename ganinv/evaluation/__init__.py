"""Evaluating a model: reconstruction, generation and latent figures, over any number of ranks."""
