"""The training loop: configuration, step, weight averages, statistics, divergence."""
