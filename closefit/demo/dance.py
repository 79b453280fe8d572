"""The demo's choreography: two people walk up to each other, take a dance hold and turn.

World frame: y up, floor at y = 0, metres. The hold is solved once (`hold`); while it lasts, the
pair moves as a whole above stepping feet, so the contact stays as it was solved.
"""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.body.skeleton import JOINT_INDEX
from closefit.demo.hold import HEADINGS_RAD, LEAN_RAD, PELVIS_DISTANCE_M, Hold, solve_hold
from closefit.demo.steps import CYCLE_S, reach_feet, walk
from closefit.geometry.easing import ramp
from closefit.geometry.rotations import about, interpolate_rotations

START_DISTANCE_M = 1.35
APPROACH_S = (0.0, 0.9)
RAISE_S = (0.05, 0.6)
CLOSE_S = (0.6, 1.1)
"""When the arms rise, stretched out, and when they close on the partner."""
ARM_SWING_RAD = 0.25
START_ANGLE_RAD = 0.3
"""Of the line between the two against the image plane."""
TURN_FROM_S = 0.8
TURN_RAMP_S = 0.6
TURN_RAD_S = 1.2
SWAY_M = 0.04
SWAY_S = 1.7
KNEE_BEND_M = 0.025
"""The pelvis walks this much lower than it stands."""
BOB_M = 0.012
SHAPE_SPREAD = 0.6
"""Standard deviation of the shape coefficients."""


@dataclass(frozen=True, eq=False)
class Dance:
    """Both people's motion in the world frame; `transl` as SMPL has it."""

    rotations: Float[Tensor, "frame 2 24 3 3"]
    betas: Float[Tensor, "2 10"]
    transl: Float[Tensor, "frame 2 3"]


def make_dance(body: Body, frames: int, fps: float, seed: int) -> Dance:
    """Author the motion; `seed` changes the two people's shapes."""
    generator = torch.Generator().manual_seed(seed)
    betas = SHAPE_SPREAD * torch.randn(2, 10, generator=generator)
    hold = solve_hold(body, betas)
    time_s = torch.arange(frames) / fps
    rest = body.rest(betas)
    rotations = _upper_bodies(hold, time_s)
    pelvis = torch.empty(frames, 2, 3)
    for person in (0, 1):
        place, heading = _path(person, time_s)
        beat = torch.sin(2.0 * torch.pi * time_s / CYCLE_S).square()
        height = hold.pelvis[person, 1] - KNEE_BEND_M - BOB_M * beat
        pelvis[:, person] = place + height[:, None] * torch.tensor([0.0, 1.0, 0.0])
        rotations[:, person, 0] = about(1, heading) @ about(0, torch.tensor(LEAN_RAD))
        feet = walk(partial(_path, person), time_s)
        one = type(rest)(vertices=rest.vertices[person], joints=rest.joints[person])
        rotations[:, person] = reach_feet(rotations[:, person], pelvis[:, person], one, feet)
    return Dance(rotations=rotations, betas=betas, transl=pelvis - rest.joints[:, 0])


def _path(
    person: int, time_s: Float[Tensor, "*time"]
) -> tuple[Float[Tensor, "*time 3"], Float[Tensor, "*time"]]:
    """Where a person stands on the floor, and their heading."""
    side = (-0.5, 0.5)[person]
    distance = torch.lerp(
        torch.tensor(START_DISTANCE_M), torch.tensor(PELVIS_DISTANCE_M), ramp(time_s, APPROACH_S)
    )
    late = (time_s - TURN_FROM_S).clamp_min(0.0)
    turning = torch.where(
        late < TURN_RAMP_S, late.square() / (2 * TURN_RAMP_S), late - TURN_RAMP_S / 2
    )
    angle = START_ANGLE_RAD + TURN_RAD_S * turning
    sway = SWAY_M * torch.sin(2.0 * torch.pi * time_s / SWAY_S)
    place = side * distance[..., None] * about(1, angle)[..., 0]
    place = place + sway[..., None] * torch.tensor([1.0, 0.0, 0.5])
    return place, angle + HEADINGS_RAD[person]


def _upper_bodies(hold: Hold, time_s: Float[Tensor, " frame"]) -> Float[Tensor, "frame 2 24 3 3"]:
    """Local rotations: relaxed arms that swing, then stretched arms, then the hold."""
    relaxed = JointLimits.create("cpu", torch.float32).relaxed
    swing = ARM_SWING_RAD * torch.sin(2.0 * torch.pi * time_s / CYCLE_S)
    walking = relaxed.repeat(len(time_s), 2, 1, 1, 1)
    stretched = hold.rotations.clone()
    for side, sign in (("left", 1.0), ("right", -1.0)):
        shoulder = JOINT_INDEX[f"{side}_shoulder"]
        walking[:, :, shoulder] = (about(0, sign * swing) @ relaxed[shoulder])[:, None]
        # Straight arms reach around the partner; bending them then closes the hold.
        stretched[:, JOINT_INDEX[f"{side}_elbow"]] = torch.eye(3)
    rise, close = (ramp(time_s, span_s)[:, None, None] for span_s in (RAISE_S, CLOSE_S))
    raised = interpolate_rotations(walking, stretched[None], rise)
    return interpolate_rotations(raised, hold.rotations[None], close)
