"""Object stores: directories, S3, and every other filesystem with an fsspec driver."""
