"""Results of other tools that estimate people in a video: reading them, and finding our two."""
