"""Reading shards during training: order of samples, ranged reads, decoding, exact positions."""
