"""The Grafana dashboards as Python values, and the generator of their JSON files."""
