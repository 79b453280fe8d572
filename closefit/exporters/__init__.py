"""Writers of result files: one module per format, arrays and records in, a file out."""
