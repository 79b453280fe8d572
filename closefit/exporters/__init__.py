"""Writers for animation tools, viewers and programs; one file per format."""
