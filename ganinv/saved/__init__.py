"""The formats of checkpoints and exports, and the loading of trained models."""
