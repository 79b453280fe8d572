"""Solving the key poses: both people of every moment, so that contacts hold without penetration."""

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.joint_limits import JointLimits
from closefit.body.skeleton import JOINT_NAMES
from closefit.geometry.rotations import about
from closefit.learning.choreography.objective import ANKLES, PairBodies
from closefit.learning.choreography.scripts import Scripts

STEPS = 320
TURN_RATE, SHIFT_RATE = 0.03, 0.012
"""Learning rates of Adam: radians and metres."""
LIMIT_WEIGHT = 200.0
SHIFT_SIGMA_M = (0.10, 0.04, 0.10)
FLOATING_SIGMA_M = 0.25
STANCE_SIGMA_M = 0.04
STANCE_REACH = 36.0
"""Of squares in units of the tolerance: beyond it the force on a foot vanishes."""
_SIGMA = {
    "pelvis": 0.14, "hip": 0.22, "knee": 0.25, "ankle": 0.2, "foot": 0.02, "spine": 0.12,
    "neck": 0.18, "head": 0.18, "collar": 0.12, "shoulder": 0.55, "elbow": 0.6, "wrist": 0.35,
    "hand": 0.02,
}  # fmt: skip
"""How far the solver may turn a joint from the authored pose, radians."""


def joint_sigma() -> Float[Tensor, "24 1"]:
    """Return the tolerance of each joint's turn."""
    plain = [name.split("_")[-1].rstrip("123") for name in JOINT_NAMES]
    return torch.tensor([_SIGMA[name] for name in plain])[:, None]


def solve_key_poses(
    bodies: PairBodies, scripts: Scripts
) -> tuple[Float[Tensor, "moment pair 2 24 3 3"], Float[Tensor, "moment pair 2 3"]]:
    """Move the authored poses until the script's constraints hold.

    Returns:
        Rotations (joint 0 is without heading, as in `Scripts`) and pelvis positions.
    """
    limits = JointLimits.create("cpu", torch.float32)
    yaw = about(1, scripts.heading)
    start = scripts.rotations.clone()
    start[..., 0, :, :] = yaw @ start[..., 0, :, :]
    place = _first_place(bodies, scripts, start)
    sigma = joint_sigma() / scripts.stiff[..., None, None]
    shift_sigma = torch.tensor(SHIFT_SIGMA_M).expand_as(place).clone()
    shift_sigma[scripts.floating] = FLOATING_SIGMA_M
    turn = torch.zeros(*start.shape[:-2], 3, requires_grad=True)
    shift = torch.zeros_like(place, requires_grad=True)
    optimizer = torch.optim.Adam(
        [{"params": [turn], "lr": TURN_RATE}, {"params": [shift], "lr": SHIFT_RATE}]
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, 0.0)
    for _ in range(STEPS):
        optimizer.zero_grad()
        rotations = start @ roma.rotvec_to_rotmat(turn)
        posed = bodies.pose(rotations, place + shift)
        deviation = limits.deviation(rotations)
        excess = torch.relu(limits.low[1:] - deviation) + torch.relu(deviation - limits.high[1:])
        loss = (
            bodies.contact_loss(posed, scripts.constraints)
            + bodies.overlap_loss(posed)
            + bodies.self_overlap_loss(posed)
            + bodies.floor_loss(posed, scripts.constraints)
            + bodies.standing_loss(posed, scripts.constraints)
            + _stance_loss(posed.transforms, scripts.constraints.planted)
            + LIMIT_WEIGHT * excess.square().sum()
            + (turn / sigma).square().sum()
            + (shift / shift_sigma).square().sum()
        )
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        rotations = start @ roma.rotvec_to_rotmat(turn)
        rotations[..., 0, :, :] = yaw.mT @ rotations[..., 0, :, :]
        return rotations, (place + shift).detach()


def _stance_loss(
    transforms: Float[Tensor, "moment pair 2 24 4 4"], planted: Float[Tensor, "moment pair 2 foot"]
) -> Float[Tensor, ""]:
    """Feet stand where they stood a moment before, unless that is so far that a step is due."""
    place = transforms[..., ANKLES, :3, 3][..., (0, 2)]
    apart = (place.diff(dim=0) / STANCE_SIGMA_M).square().sum(-1)
    stays = planted[1:] * planted[:-1]
    return (stays * STANCE_REACH * apart / (STANCE_REACH + apart)).sum()


@torch.no_grad()
def _first_place(
    bodies: PairBodies, scripts: Scripts, rotations: Float[Tensor, "moment pair 2 24 3 3"]
) -> Float[Tensor, "moment pair 2 3"]:
    """Return pelvis positions with the lowest resting part on the floor or the seat."""
    left, ahead = scripts.place.unbind(-1)
    flat = torch.stack([left, torch.zeros_like(left), ahead], dim=-1)
    bottoms = bodies.bottoms(bodies.pose(rotations, flat))
    low = bottoms.amin(-1)
    rests = scripts.constraints.resting > 0
    lowest = torch.where(rests, low, torch.inf).amin(-1)
    height = torch.where(rests.any(-1), scripts.constraints.seat_m - lowest, -low.amin(-1))
    carried = height[..., 0] + scripts.up
    height[..., 1] = torch.where(scripts.floating[..., 1], carried, height[..., 1])
    flat[..., 1] = height
    return flat
