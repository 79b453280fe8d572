"""Rotations, cameras and mesh queries: pure functions of tensors."""
