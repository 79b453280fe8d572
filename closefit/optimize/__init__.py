"""The joint optimisation of motion and appearance (paper Eq. 6-10)."""
