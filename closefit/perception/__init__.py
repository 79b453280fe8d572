"""What finds and follows the two people of a clip: one module for each backend of `track`."""
