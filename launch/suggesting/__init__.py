"""Options for data of a given size by published rules, each with its reason and its source."""
