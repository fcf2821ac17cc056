"""Building shards and their index from images, and indexing existing tars."""
