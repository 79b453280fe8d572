"""Feet that stand and step: planned footfalls, and legs that reach them.

World frame: y up, floor at y = 0, metres.
"""

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.skeleton import JOINT_INDEX
from closefit.choreography.angles import about
from closefit.choreography.objective import ANKLES
from closefit.choreography.scripts import FPS

CYCLE_S = 0.84
"""Time from one possible step of a foot to its next."""
SWING_S = 0.38
"""Time that a stepping foot is in the air."""
LEAST_STEP_M = 0.06
LEAST_TURN_RAD = 0.3
LIFT_M = 0.025
LIFT_PER_STEP = 0.12
MAX_LIFT_M = 0.09
SWING_PITCH_RAD = 0.30

LEGS = tuple(
    tuple(JOINT_INDEX[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    for side in ("left", "right")
)


@dataclass(frozen=True, eq=False)
class Footsteps:
    """Where the ankles are when the feet follow the plan.

    Attributes:
        ankle: Position.
        rotation: World rotation of the foot.
        weight: How much the foot follows it.
    """

    ankle: Float[Tensor, "frame pair 2 foot 3"]
    rotation: Float[Tensor, "frame pair 2 foot 3 3"]
    weight: Float[Tensor, "frame pair 2 foot"]

    def cut(self, frames: Tensor) -> "Footsteps":
        """Return some frames only."""
        return Footsteps(self.ankle[frames], self.rotation[frames], self.weight[frames])


@torch.no_grad()
def plan_footsteps(
    transforms: Float[Tensor, "frame pair 2 24 4 4"],
    rest_joints: Float[Tensor, "pair 2 24 3"],
    sole_height: Float[Tensor, "pair 2"],
    planted: Float[Tensor, "frame pair 2 foot"],
    phase: Float[Tensor, "pair 2"],
) -> Footsteps:
    """Let feet stand, and step when the body has moved away from them.

    Args:
        transforms: Frames of the joints of the draft: where its feet are is where steps go.
        rest_joints: Joints at rest.
        sole_height: Height of the sole in the rest pose.
        planted: Weight of the plan.
        phase: When the first step may come, 0 to 1 of a cycle.
    """
    frames = transforms.shape[0]
    wanted = transforms[..., ANKLES, :3, 3][..., (0, 2)]
    forward = transforms[..., ANKLES, :3, 2]
    yaw = _unwrapped(torch.atan2(forward[..., 0], forward[..., 2]))
    cycle, swing = CYCLE_S * FPS, SWING_S * FPS
    offset = cycle * torch.stack([phase, phase + 0.5], dim=-1)
    place, place_yaw = wanted.clone(), yaw.clone()
    lift = torch.zeros_like(yaw)
    at, at_yaw = wanted[0], yaw[0]
    time = torch.arange(frames).reshape(-1, 1, 1, 1).to(wanted)
    steps = int(frames / cycle) + 3
    for step in range(-1, steps):
        start = (step - 1) * cycle + offset
        middle = (start + 0.5 * (swing + cycle)).round().long().clamp(0, frames - 1)
        target = torch.gather(wanted, 0, middle[None, ..., None].expand(1, *wanted.shape[1:]))[0]
        target_yaw = torch.gather(yaw, 0, middle[None])[0]
        length = (target - at).norm(dim=-1)
        goes = (length > LEAST_STEP_M) | ((target_yaw - at_yaw).abs() > LEAST_TURN_RAD)
        next_at = torch.where(goes[..., None], target, at)
        next_yaw = torch.where(goes, target_yaw, at_yaw)
        share = ((time - start) / swing).clamp(0.0, 1.0)
        blend = share * share * share * (10.0 - 15.0 * share + 6.0 * share * share)
        now = (time >= start) & (time < start + cycle)
        path = torch.lerp(at.expand_as(place), next_at.expand_as(place), blend[..., None])
        place = torch.where(now[..., None], path, place)
        place_yaw = torch.where(now, torch.lerp(at_yaw, next_yaw, blend), place_yaw)
        arc = torch.sin(torch.pi * share).square()
        height = (LIFT_M + LIFT_PER_STEP * length).clamp(max=MAX_LIFT_M) * goes
        lift = torch.where(now, arc * height, lift)
        at, at_yaw = next_at, next_yaw
    above = rest_joints[..., ANKLES, 1] - sole_height[..., None]
    ankle = torch.stack([place[..., 0], above + lift, place[..., 1]], dim=-1)
    rotation = about(1, place_yaw) @ about(0, SWING_PITCH_RAD * lift / MAX_LIFT_M)
    return Footsteps(ankle=ankle, rotation=rotation, weight=planted)


def _unwrapped(angle: Float[Tensor, "frame *rest"]) -> Float[Tensor, "frame *rest"]:
    """Return angles without jumps of a full turn."""
    step = angle.diff(dim=0)
    step = torch.remainder(step + torch.pi, 2.0 * torch.pi) - torch.pi
    return torch.cat([angle[:1], angle[:1] + step.cumsum(0)])


def reach_footsteps(
    rotations: Float[Tensor, "frame pair 2 24 3 3"],
    pelvis: Float[Tensor, "frame pair 2 3"],
    rest_joints: Float[Tensor, "pair 2 24 3"],
    transforms: Float[Tensor, "frame pair 2 24 4 4"],
    steps: Footsteps,
) -> Float[Tensor, "frame pair 2 24 3 3"]:
    """Return rotations whose feet follow the plan; knees keep the side they point to."""
    reached = rotations.clone()
    root = rotations[..., 0, :, :]
    for foot, (hip, knee, ankle) in enumerate(LEGS):
        weight = steps.weight[..., foot, None]
        now = transforms[..., ankle, :3, 3]
        target = torch.lerp(now, steps.ankle[..., foot, :], weight)
        hip_place = (
            pelvis + (root @ (rest_joints[..., hip, :] - rest_joints[..., 0, :])[..., None])[..., 0]
        )
        thigh = rest_joints[..., knee, :] - rest_joints[..., hip, :]
        shin = rest_joints[..., ankle, :] - rest_joints[..., knee, :]
        bend = _knee_bend(thigh, shin, (target - hip_place).norm(dim=-1))
        knee_rotation = about(0, bend)
        hip_world = root @ rotations[..., hip, :, :]
        leg = thigh + (knee_rotation @ shin[..., None])[..., 0]
        pointing = (hip_world @ leg[..., None])[..., 0]
        swing = _shortest_turn(pointing, target - hip_place)
        hip_world = swing @ hip_world
        shin_world = hip_world @ knee_rotation
        foot_now = transforms[..., ankle, :3, :3]
        relative = roma.rotmat_to_rotvec(foot_now.mT @ steps.rotation[..., foot, :, :])
        foot_world = foot_now @ roma.rotvec_to_rotmat(weight * relative)
        used = (weight > 0)[..., None]
        for joint, value in (
            (hip, root.mT @ hip_world),
            (knee, knee_rotation),
            (ankle, shin_world.mT @ foot_world),
        ):
            reached[..., joint, :, :] = torch.where(used, value, rotations[..., joint, :, :])
    return reached


def _knee_bend(
    thigh: Float[Tensor, "*#batch 3"],
    shin: Float[Tensor, "*#batch 3"],
    distance: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch"]:
    """Return the turn of the knee about x at which the ankle is this far from the hip."""
    a = thigh[..., 1] * shin[..., 1] + thigh[..., 2] * shin[..., 2]
    b = thigh[..., 2] * shin[..., 1] - thigh[..., 1] * shin[..., 2]
    squares = distance.square() - thigh.square().sum(-1) - shin.square().sum(-1)
    c = 0.5 * squares - thigh[..., 0] * shin[..., 0]
    return torch.atan2(b, a) + torch.acos((c / torch.hypot(a, b)).clamp(-0.98, 0.9995))


def _shortest_turn(
    start: Float[Tensor, "*batch 3"], end: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """Return the smallest rotation that points `start` where `end` points."""
    start = torch.nn.functional.normalize(start, dim=-1)
    end = torch.nn.functional.normalize(end, dim=-1)
    axis = torch.linalg.cross(start, end)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (start * end).sum(-1, keepdim=True))
    turn: Tensor = roma.rotvec_to_rotmat(axis / sine.clamp_min(1e-9) * angle)
    return turn
