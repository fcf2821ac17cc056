"""Feature networks, evaluations during training, trained models, inversion of folders."""
