"""What a GPU makes of the training step: throughput, memory, determinism, resumption."""
