"""One file per source of images that a data set can be built from."""
