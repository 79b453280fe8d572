"""`closefit prior sample`: motion drawn from the prior, with nothing or one person known."""
