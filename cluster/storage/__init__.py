"""Object stores: directories, S3, and every other filesystem that fsspec has a driver for."""
