"""Cameras of miniature data sets: any rotation and place, with truth put into their world."""

import numpy as np
import roma
import torch


def camera(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A rotation R and a translation t from world to camera: x_camera = R x_world + t."""
    generator = np.random.default_rng(seed)
    vector = torch.from_numpy(generator.normal(size=3))
    return roma.rotvec_to_rotmat(vector).numpy(), generator.normal(size=3)


def to_world(points: np.ndarray, R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Points of the camera's frame in the world."""
    return (points - t) @ R


def pixels(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Where a pinhole camera sees points of its frame."""
    seen = points @ K.T
    return seen[..., :2] / seen[..., 2:]
