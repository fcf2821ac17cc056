"""What a trained model is, as one hash: files that belong to one model name it."""

from ganinv.model import InvertibleGan
from ganinv.saved.exports import digest, exported_tensors


def identity(model: InvertibleGan) -> str:
    """SHA-256 of all weights and latent tensors; a run and its export have the same identity."""
    return digest("", exported_tensors(model))
