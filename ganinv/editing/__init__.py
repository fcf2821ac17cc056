"""Edits of latent codes and of images by their codes."""

from ganinv.editing.codes import interpolated, traversed, with_noise

__all__ = ["interpolated", "traversed", "with_noise"]
