"""Many clips: which ones, one process after another or on a cluster, and a line for each result."""
