"""Worker groups on Ray: start, watch, restart and resize them."""
