"""Kinds of latent codes: how codes are drawn, what enters the generator, how two codes compare."""
