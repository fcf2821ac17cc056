"""The records in a run's folder other than checkpoints: lease, logs, groups, damaged samples."""
