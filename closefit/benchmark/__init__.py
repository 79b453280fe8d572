"""The field's own benchmarks: reads a data set, runs closefit on it, prints the paper's tables."""
