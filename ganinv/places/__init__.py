"""URLs of storage, and readers of runs and exports in directories, S3 and other filesystems."""
