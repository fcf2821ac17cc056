"""The records in a run's folder beside checkpoints: lease, logs, groups, corrupt samples."""
