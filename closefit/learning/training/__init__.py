"""Training the proxemics prior: motion from shards, filmed by virtual cameras, badly detected."""
