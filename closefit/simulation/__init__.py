"""Virtual cameras and detectors for people whose motion is known."""
