"""The figures of docs/results/speed.md: one module for each part, run by `python -m`."""
