"""What a training run is on real nodes: workers, engines, checkpoints, recovery and metrics."""
