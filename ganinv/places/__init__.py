"""Reading runs and exports where they lie: directories, S3, other filesystems."""
