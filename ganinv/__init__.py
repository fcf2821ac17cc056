"""GANs that can invert themselves: networks, objectives, latent statistics, the training loop."""
