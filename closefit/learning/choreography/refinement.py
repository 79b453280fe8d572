"""Refining whole motions: contacts, penetration, floor and feet in all frames, smooth in time.

What is added to the draft is a cubic B-spline with a knot every few frames, so it is smooth by
construction; each step of the descent uses every few frames only, different ones each time.
"""

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.learning.choreography.footsteps import Footsteps
from closefit.learning.choreography.key_poses import joint_sigma
from closefit.learning.choreography.objective import ANKLES, PairBodies
from closefit.learning.choreography.timeline import Draft

STEPS = 90
STRIDE = 5
"""Distance of the frames that one step uses."""
KNOT_FRAMES = 6
TURN_RATE, SHIFT_RATE = 0.012, 0.006
SHIFT_SIGMA_M = 0.03
BEND_SIGMA = 0.25
"""Tolerance of the spline's second differences, in units of the tolerance of its values."""
ANKLE_SIGMA_M = 0.01
FOOT_SIGMA = 0.15
SIGMA_SHARE = 0.5
"""Joints may turn this much of what key poses allow."""


def refine(
    bodies: PairBodies, draft: Draft, steps: Footsteps
) -> tuple[Float[Tensor, "frame pair 2 24 3 3"], Float[Tensor, "frame pair 2 3"]]:
    """Return refined rotations and pelvis positions."""
    frames, pairs = draft.pelvis.shape[:2]
    basis = spline_basis(frames, KNOT_FRAMES)
    sigma = SIGMA_SHARE * joint_sigma()
    turn = torch.zeros(basis.shape[1], pairs, 2, 24, 3, requires_grad=True)
    shift = torch.zeros(basis.shape[1], pairs, 2, 3, requires_grad=True)
    optimizer = torch.optim.Adam(
        [{"params": [turn], "lr": TURN_RATE}, {"params": [shift], "lr": SHIFT_RATE}]
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, 0.0)
    share = KNOT_FRAMES / STRIDE
    for step in range(STEPS):
        chosen = torch.arange((2 * step) % min(STRIDE, frames), frames, STRIDE)
        optimizer.zero_grad()
        rotations, pelvis = _moved(draft, basis, turn, shift, chosen)
        loss = _loss(bodies, draft, steps.cut(chosen), chosen, rotations, pelvis)
        for values, tolerance in ((turn, sigma), (shift, SHIFT_SIGMA_M)):
            scaled = values / tolerance
            bends = scaled.diff(n=2, dim=0) / BEND_SIGMA
            loss = loss + share * (scaled.square().sum() + bends.square().sum())
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return _moved(draft, basis, turn, shift, torch.arange(frames))


def _moved(
    draft: Draft,
    basis: Float[Tensor, "frame knot"],
    turn: Float[Tensor, "knot pair 2 24 3"],
    shift: Float[Tensor, "knot pair 2 3"],
    chosen: Tensor,
) -> tuple[Float[Tensor, "chosen pair 2 24 3 3"], Float[Tensor, "chosen pair 2 3"]]:
    """Return the draft with the spline added, at some frames."""
    rows = basis[chosen]
    turns = (rows @ turn.flatten(1)).reshape(-1, *turn.shape[1:])
    shifts = (rows @ shift.flatten(1)).reshape(-1, *shift.shape[1:])
    rotations = draft.rotations[chosen] @ roma.rotvec_to_rotmat(turns)
    return rotations, draft.pelvis[chosen] + shifts


def _loss(
    bodies: PairBodies,
    draft: Draft,
    steps: Footsteps,
    chosen: Tensor,
    rotations: Tensor,
    pelvis: Tensor,
) -> Float[Tensor, ""]:
    """Sum the terms of single frames."""
    posed = bodies.pose(rotations, pelvis)
    constraints = draft.constraints.cut(chosen)
    ankle = posed.transforms[..., ANKLES, :3, 3] - steps.ankle
    tilt = posed.transforms[..., ANKLES, :3, :3] - steps.rotation
    feet = (ankle / ANKLE_SIGMA_M).square().sum(-1) + (tilt / FOOT_SIGMA).square().sum((-2, -1))
    return (
        bodies.contact_loss(posed, constraints)
        + bodies.overlap_loss(posed)
        + bodies.self_overlap_loss(posed)
        + bodies.floor_loss(posed, constraints)
        # A foot that leaves the floor, as in a kick, is free at once: half a weight would hold it.
        + ((steps.weight > 0.99) * feet).sum()
    )


def spline_basis(frames: int, knot_frames: int) -> Float[Tensor, "frame knot"]:
    """Return the weights of a uniform cubic B-spline's knots at each frame."""
    position = torch.arange(frames) / knot_frames
    knots = int(position[-1].floor()) + 4
    away = (position[:, None] + 1.0 - torch.arange(knots)).abs()
    inner = 2.0 / 3.0 - away.square() + 0.5 * away**3
    outer = (2.0 - away).clamp_min(0.0) ** 3 / 6.0
    return torch.where(away < 1.0, inner, outer)
