"""Kinds of pixels: 1 to 4 channels of 8 or 16 bits, and conversions between them."""
