"""The room of the demo: a fixed camera, a tiled floor, a wall behind, and soft shadows."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from closefit.config import DEFAULT_FOV_DEG
from closefit.geometry.camera import focal_from_fov, intrinsics

CAMERA_HEIGHT_M = 1.35
CAMERA_DISTANCE_M = 3.5
CAMERA_PITCH_DEG = 7.0
WALL_DISTANCE_M = 2.2
"""From the middle of the room to the wall."""
TILE_M = 0.6
GROUT_M = 0.015
SKIRTING_M = 0.09
PICTURE_XYXY_M = (-1.35, 1.35, -0.55, 1.95)
SUPERSAMPLING = 3
SHADOW_RADIUS_M = 0.16
SHADOW_STRENGTH = 0.3


@dataclass(frozen=True, eq=False)
class Room:
    """A fixed camera in a room; the world frame is y up with the floor at y = 0."""

    K: Float[np.ndarray, "3 3"]
    R_camera_world: Float[np.ndarray, "3 3"]
    position_m: Float[np.ndarray, "3"]
    width: int
    height: int

    @classmethod
    def create(
        cls,
        width: int,
        height: int,
        fov_deg: float = DEFAULT_FOV_DEG,
        distance_m: float = CAMERA_DISTANCE_M,
        pitch_deg: float = CAMERA_PITCH_DEG,
    ) -> "Room":
        """Place the camera on the +z side, looking along -z and a little down.

        Args:
            width: Of the picture in pixels.
            height: Of the picture in pixels.
            fov_deg: Diagonal field of view.
            distance_m: From the middle of the room.
            pitch_deg: The camera looks down by this much.
        """
        pitch = math.radians(pitch_deg)
        level = np.diag([1.0, -1.0, -1.0])
        tilt = np.array(
            [
                [1.0, 0.0, 0.0],
                [0.0, math.cos(pitch), -math.sin(pitch)],
                [0.0, math.sin(pitch), math.cos(pitch)],
            ]
        )
        return cls(
            K=intrinsics(width, height, focal_from_fov(width, height, fov_deg)),
            R_camera_world=tilt @ level,
            position_m=np.array([0.0, CAMERA_HEIGHT_M, distance_m]),
            width=width,
            height=height,
        )

    def to_camera(self, points: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
        """Move world points into the camera frame."""
        moved: np.ndarray = (points - self.position_m) @ self.R_camera_world.T
        return moved

    def background(self) -> Float[np.ndarray, "height width 3"]:
        """Paint the empty room, RGB in 0..1."""
        rays = self._rays(SUPERSAMPLING)
        floor, on_floor = self._floor(rays)
        fine = np.where(on_floor[..., None], _tiles(floor), _wall(self._on_wall(rays)))
        fine = fine.reshape(self.height, SUPERSAMPLING, self.width, SUPERSAMPLING, 3)
        image: np.ndarray = fine.mean(axis=(1, 3))
        return image

    def shadows(
        self, feet: Float[np.ndarray, "frame foot 3"]
    ) -> Float[np.ndarray, "frame height width"]:
        """Return how much of the light reaches each pixel of the floor under these feet."""
        floor, on_floor = self._floor(self._rays(1))
        spots = floor[on_floor]
        light = np.ones((feet.shape[0], self.height, self.width), dtype=np.float32)
        for frame, soles in enumerate(feet[..., [0, 2]]):
            squared = ((spots[:, None] - soles) ** 2).sum(axis=-1) / (2.0 * SHADOW_RADIUS_M**2)
            light[frame, on_floor] = (1.0 - SHADOW_STRENGTH * np.exp(-squared)).prod(axis=-1)
        return light

    def _rays(self, samples: int) -> Float[np.ndarray, "row column 3"]:
        """Directions in the world through `samples` squared points of each pixel."""
        column = (np.arange(self.width * samples) + 0.5) / samples
        row = (np.arange(self.height * samples) + 0.5) / samples
        pixels = np.stack(np.meshgrid(column, row), axis=-1)
        direction = (pixels - self.K[:2, 2]) / self.K[[0, 1], [0, 1]]
        homogeneous = np.concatenate([direction, np.ones_like(direction[..., :1])], axis=-1)
        rays: np.ndarray = homogeneous @ self.R_camera_world
        return rays

    def _floor(
        self, rays: Float[np.ndarray, "row column 3"]
    ) -> tuple[Float[np.ndarray, "row column 2"], Bool[np.ndarray, "row column"]]:
        """Where rays meet the floor (x, z), and which do so before the wall."""
        distance = -self.position_m[1] / np.minimum(rays[..., 1], -1e-6)
        hit = self.position_m + distance[..., None] * rays
        return hit[..., [0, 2]], (rays[..., 1] < 0) & (hit[..., 2] > -WALL_DISTANCE_M)

    def _on_wall(
        self, rays: Float[np.ndarray, "row column 3"]
    ) -> Float[np.ndarray, "row column 2"]:
        """Where rays meet the wall (x, y)."""
        distance = (-WALL_DISTANCE_M - self.position_m[2]) / np.minimum(rays[..., 2], -1e-6)
        hit: np.ndarray = self.position_m + distance[..., None] * rays
        return hit[..., :2]


def _tiles(floor: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 3"]:
    """Colour of the floor: two slightly different tiles with grout between them."""
    cell = np.floor(floor / TILE_M)
    in_cell = floor - cell * TILE_M
    odd = (cell.sum(axis=-1) % 2)[..., None]
    colour = np.array([0.62, 0.56, 0.48]) + 0.05 * odd
    fade = 1.0 - 0.06 * np.clip(-floor[..., 1:], 0.0, WALL_DISTANCE_M)
    grout = (in_cell < GROUT_M).any(axis=-1, keepdims=True)
    return np.where(grout, 0.42, colour * fade)


def _wall(wall: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 3"]:
    """Colour of the wall: a gradient, a skirting board and a picture."""
    x, y = wall[..., 0], wall[..., 1]
    brightness = 0.80 + 0.04 * (y - 1.0) - 0.03 * np.abs(x)
    colour = brightness[..., None] * np.array([0.90, 0.95, 1.0])
    left, bottom, right, top = PICTURE_XYXY_M
    inside = np.minimum(np.minimum(x - left, right - x), np.minimum(y - bottom, top - y))[..., None]
    painting = np.stack([0.35 + 0.3 * (y - bottom), 0.45 + 0.2 * (right - x), 0.55 + 0 * x], -1)
    colour = np.where(inside > 0.0, np.array([0.25, 0.18, 0.12]), colour)
    colour = np.where(inside > 0.05, painting, colour)
    return np.where(y[..., None] < SKIRTING_M, np.array([0.93, 0.92, 0.90]), colour)
