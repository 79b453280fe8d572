"""Detections made elsewhere: one reader per format, and how they complete each other."""
