"""Model files: which exist, where they are, how they are fetched and checked."""
