"""Inversion beyond the encoder for `ganinv invert`: its options, stages, figures and pictures."""
