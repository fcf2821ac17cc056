"""Protocols between the training loop and its surroundings: engine, batches, stores."""
