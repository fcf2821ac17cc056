"""Prometheus: each worker's exporter, the discovery of workers, and the local servers."""
