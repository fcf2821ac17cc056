"""Checks of a cluster's machines, for `ganinv doctor`, and where things run."""
