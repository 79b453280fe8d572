"""What lies on disk: the results folder, its artifacts, hashes of files."""
