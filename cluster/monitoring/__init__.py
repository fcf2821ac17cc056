"""Prometheus: the exporter of each worker, discovery of workers, and the local servers."""
