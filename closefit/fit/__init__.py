"""Fitting bodies to observations: objectives and optimisation loops."""
