"""Units of reported figures. Importing this loads nothing else."""

MM_PER_M = 1000.0
