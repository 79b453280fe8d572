"""Setting people on the floor, y = 0."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body import Body
from closefit.body.skeleton import JOINT_INDEX
from closefit.records import PairMotion

STANDING_QUANTILE = 0.05
"""Share of frames whose lowest sole may be below the floor: noise, and feet that roll."""

SAME_FLOOR_M = 0.12
"""Soles of two people that differ by less stand on one floor, measured a little differently; who
is higher above the other's floor is being lifted."""

FEET = [JOINT_INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("ankle", "foot")]


def set_on_floor(motion: PairMotion, body: Body) -> PairMotion:
    """Shift people vertically so that whoever stands does so at y = 0.

    Each person is shifted alone, as errors of leg length are theirs alone; only who never comes
    down to the other's floor keeps the height above it.
    """
    soles = sole_heights(motion, body)
    floors = np.quantile(soles, STANDING_QUANTILE, axis=0)
    shift = np.where(floors - floors.min() < SAME_FLOOR_M, floors, floors.min())
    pelvis = motion.pelvis_m.copy()
    pelvis[..., 1] -= shift.astype(pelvis.dtype)
    return dataclasses.replace(motion, pelvis_m=pelvis)


def sole_heights(motion: PairMotion, body: Body) -> Float[np.ndarray, "frame person"]:
    """Height of each person's lower sole, from the ankles and the balls of the feet."""
    body = body.to(device="cpu", dtype=torch.float32)
    rest = body.rest(torch.from_numpy(motion.betas))
    clearance = rest.joints[:, FEET, 1] - rest.vertices[..., 1].amin(dim=1, keepdim=True)
    heights = joints_in_world(motion, body)[:, :, FEET, 1] - clearance
    lowest: np.ndarray = heights.amin(dim=-1).numpy()
    return lowest


def joints_in_world(motion: PairMotion, body: Body) -> Float[Tensor, "frame person 24 3"]:
    """Joint positions of all people."""
    betas = torch.from_numpy(motion.betas)
    transl = torch.from_numpy(motion.pelvis_m) - body.rest(betas).joints[:, 0]
    return body.joints(torch.from_numpy(motion.rotations), betas, transl)
