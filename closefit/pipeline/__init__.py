"""Running the stages: order, what is up to date, the device, the outcome of a run."""
