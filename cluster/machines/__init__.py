"""Checks of a cluster's machines, for `launch doctor`, and where things run."""
