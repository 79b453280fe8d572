"""`closefit dataset review`: a local page on which people look at results and decide."""
