"""Feet that walk: footfalls under a moving pelvis, and the leg rotations that reach them.

World frame: y up, floor at y = 0, metres. A heading is the angle about y from +z, as the rest
body faces +z.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.model import RestBody
from closefit.body.skeleton import JOINT_INDEX
from closefit.geometry.rotations import about, matrix_from_6d

CYCLE_S = 0.8
"""Time from one fall of a foot to its next."""
SWING = 0.45
"""Share of the cycle that a foot spends in the air."""
HALF_STANCE_M = 0.095
"""Half the distance between the feet of a standing person."""
MAX_LIFT_M = 0.07
LIFT_PER_STEP = 0.22
"""Height of the lift for each metre of step, up to `MAX_LIFT_M`."""
SWING_PITCH_RAD = 0.35
"""The toes hang by this much in the middle of a full swing."""

LEGS = (("left_hip", "left_knee", "left_ankle"), ("right_hip", "right_knee", "right_ankle"))

Path = Callable[[Float[Tensor, "*time"]], tuple[Float[Tensor, "*time 3"], Float[Tensor, "*time"]]]
"""Where a person stands (on the floor) and their heading in radians, at given times in seconds."""


@dataclass(frozen=True, eq=False)
class Feet:
    """Ankle targets of the left and the right foot."""

    soles: Float[Tensor, "frame 2 3"]
    """Point of the sole below the ankle."""
    heading_rad: Float[Tensor, "frame 2"]
    pitch_rad: Float[Tensor, "frame 2"]


def walk(path: Path, time_s: Float[Tensor, " frame"]) -> Feet:
    """Plant both feet in turn so that they carry the person along `path`.

    A foot stands still where the path will be in the middle of its stance, then swings to the
    next such place. Feet that have nowhere to go are not lifted.
    """
    phase = torch.tensor([0.0, 0.5], dtype=time_s.dtype)
    cycle = time_s[:, None] / CYCLE_S - phase
    progress = ((cycle - cycle.floor()) / SWING).clamp(max=1.0)
    blend = progress * progress * (3.0 - 2.0 * progress)
    previous, previous_heading = _planted(path, cycle.floor() - 1.0, phase)
    following, following_heading = _planted(path, cycle.floor(), phase)
    step = (following - previous).norm(dim=-1)
    height = torch.sin(torch.pi * progress) * (LIFT_PER_STEP * step).clamp(max=MAX_LIFT_M)
    soles = torch.lerp(previous, following, blend[..., None])
    soles[..., 1] += height
    return Feet(
        soles=soles,
        heading_rad=torch.lerp(previous_heading, following_heading, blend),
        pitch_rad=SWING_PITCH_RAD * height / MAX_LIFT_M,
    )


def _planted(
    path: Path, cycle: Float[Tensor, "frame 2"], phase: Float[Tensor, "2"]
) -> tuple[Float[Tensor, "frame 2 3"], Float[Tensor, "frame 2"]]:
    """Place and heading of each foot during the stance that ends cycle number `cycle`."""
    middle_of_stance = (cycle + phase + (1.0 + SWING) / 2.0) * CYCLE_S
    position, heading = path(middle_of_stance)
    side = torch.tensor([HALF_STANCE_M, -HALF_STANCE_M], dtype=position.dtype)
    return position + side[:, None] * about(1, heading)[..., 0], heading


def reach_feet(
    rotations: Float[Tensor, "frame 24 3 3"],
    pelvis: Float[Tensor, "frame 3"],
    rest: RestBody,
    feet: Feet,
) -> Float[Tensor, "frame 24 3 3"]:
    """Return `rotations` with hips, knees and ankles set so that the soles stand on `feet`.

    Joint 0, at `pelvis`, maps the body frame to the world.
    """
    reached = rotations.clone()
    root = rotations[:, 0]
    joints = rest.joints
    foot_world = about(1, feet.heading_rad) @ about(0, feet.pitch_rad)
    for side, names in enumerate(LEGS):
        hip, knee, ankle = (JOINT_INDEX[name] for name in names)
        ankle_target = feet.soles[:, side].clone()
        ankle_target[:, 1] += joints[ankle, 1] - rest.vertices[:, 1].min()
        hip_world = pelvis + (root @ (joints[hip] - joints[0]))
        in_root = (root.mT @ (ankle_target - hip_world)[..., None])[..., 0]
        forward = (root.mT @ foot_world[:, side, :, 2:])[..., 0]
        reached[:, hip], reached[:, knee] = _bend_leg(
            joints[knee] - joints[hip], joints[ankle] - joints[knee], in_root, forward
        )
        shin_world = root @ reached[:, hip] @ reached[:, knee]
        reached[:, ankle] = shin_world.mT @ foot_world[:, side]
    return reached


def _bend_leg(
    thigh: Float[Tensor, "3"],
    shin: Float[Tensor, "3"],
    target: Float[Tensor, "frame 3"],
    forward: Float[Tensor, "frame 3"],
) -> tuple[Float[Tensor, "frame 3 3"], Float[Tensor, "frame 3 3"]]:
    """Hip and knee rotations that bring the ankle to `target` (from the hip) with knees forward.

    The knee turns about x by the angle at which |thigh + R_x(angle) shin| = |target|, which reads
    a cos(angle) + b sin(angle) = c.
    """
    a = thigh[1] * shin[1] + thigh[2] * shin[2]
    b = thigh[2] * shin[1] - thigh[1] * shin[2]
    squares = target.square().sum(-1) - thigh.square().sum() - shin.square().sum()
    c = 0.5 * squares - thigh[0] * shin[0]
    amplitude = torch.hypot(a, b)
    # Beyond reach the leg stays straight.
    bend = torch.atan2(b, a) + torch.acos((c / amplitude).clamp(-1.0, 1.0))
    knee = about(0, bend)
    straight = thigh + (knee @ shin[:, None])[..., 0]
    front = torch.tensor([0.0, 0.0, 1.0], dtype=target.dtype).expand_as(straight)
    # Frames whose first axis is along the leg and whose second leans forward.
    posed, unposed = torch.cat([target, forward], -1), torch.cat([straight, front], -1)
    return matrix_from_6d(posed) @ matrix_from_6d(unposed).mT, knee
