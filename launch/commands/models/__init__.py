"""The verbs that work with a trained model alone: one file each."""
