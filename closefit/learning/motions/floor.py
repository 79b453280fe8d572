"""Setting people on the floor, y = 0."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.body.skeleton import JOINT_INDEX
from closefit.records import PairMotion

STANDING_QUANTILE = 0.05
"""Share of frames whose lowest sole may be below the floor: noise, and feet that roll."""

SAME_FLOOR_M = 0.12
"""Soles of two people that differ by less stand on one floor, up to errors of measurement; with a
larger difference the higher person is being lifted."""

FEET = [JOINT_INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("ankle", "foot")]


def set_on_floor(motion: PairMotion, body: Body) -> PairMotion:
    """Shift people vertically so that those who stand do so at y = 0.

    Each person is shifted alone, because errors of leg length differ between people; only somebody
    who never comes down to the other's floor keeps the height above it.
    """
    floors = np.quantile(sole_heights(world_pose(motion), body), STANDING_QUANTILE, axis=0)
    shift = np.where(floors - floors.min() < SAME_FLOOR_M, floors, floors.min())
    pelvis = motion.pelvis_m.copy()
    pelvis[..., 1] -= shift.astype(pelvis.dtype)
    return dataclasses.replace(motion, pelvis_m=pelvis)


def world_pose(motion: PairMotion) -> PairPose:
    """The people of a record (`frame person`)."""
    rotations, betas, pelvis = (
        torch.from_numpy(np.asarray(array, dtype=np.float32))
        for array in (motion.rotations, motion.betas, motion.pelvis_m)
    )
    return PairPose(rotations, betas.expand(len(rotations), -1, -1), pelvis)


def sole_heights(pose: PairPose, body: Body) -> Float[np.ndarray, "frame person"]:
    """Height of each person's lower sole (world frame), from ankles and balls of the feet."""
    body = body.to(device="cpu", dtype=torch.float32)
    rest = body.rest(pose.betas[0])
    clearance = rest.joints[:, FEET, 1] - rest.vertices[..., 1].amin(dim=1, keepdim=True)
    heights = joints_in_world(pose, body)[:, :, FEET, 1] - clearance
    lowest: np.ndarray = heights.amin(dim=-1).numpy()
    return lowest


def joints_in_world(pose: PairPose, body: Body) -> Float[Tensor, "frame person 24 3"]:
    """Joint positions of people whose shape does not change."""
    betas = pose.betas[0]
    return body.joints(pose.rotations, betas, pose.pelvis_m - body.rest(betas).joints[:, 0])
