"""Errors of a run against exact truth."""
