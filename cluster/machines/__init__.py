"""What the machines of a cluster have and lack."""
