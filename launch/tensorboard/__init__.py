"""Event files for TensorBoard, from the storage of runs."""
