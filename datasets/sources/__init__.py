"""Sources of images that data sets are built from: one file per source."""
