"""Shards: building them, the order in which they are read, and streaming them.

This folder has the same name as a well-known package on PyPI. It is therefore never installed: it
runs from the checkout alone, which `ganinv` puts first on the path and Ray ships to the
nodes. `launch.environment` fails with a remedy if the other `datasets` was imported.
"""
