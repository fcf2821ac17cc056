"""A SeaweedFS S3 server on this machine, for development and tests."""
