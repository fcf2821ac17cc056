"""Feature networks, evaluation during training, trained models, inversion of folders."""
