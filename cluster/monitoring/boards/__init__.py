"""Generates the Grafana dashboards beside it."""
