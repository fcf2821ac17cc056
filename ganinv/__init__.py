"""GANs that can invert themselves: networks, objectives, latent statistics and the training loop."""
