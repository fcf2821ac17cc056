"""The checkpoint and export formats, and trained models loaded from them."""
