"""Worker groups on Ray: starting, watching, restarting and resizing them."""
