"""Feet that stand and step: planned footfalls, and legs that reach them.

World frame: y up, floor at y = 0, metres.
"""

import dataclasses
from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.skeleton import JOINT_INDEX
from closefit.geometry.easing import ease, ramp
from closefit.geometry.rotations import about, rotation_between
from closefit.learning.choreography.objective import ANKLES
from closefit.learning.choreography.scripts import FPS

SWING = 0.45
"""Share of the cycle that a stepping foot is in the air."""
LEAST_STEP_M = 0.05
LEAST_TURN_RAD = 0.3
LIFT_M = 0.02
LIFT_PER_STEP = 0.10
MAX_LIFT_M = 0.08
HEEL_RAD_PER_M = 1.1
MAX_HEEL_RAD = 0.65
"""How far the heel comes up, over the ball of the foot, before and while a foot swings."""
HEEL_RISE, HEEL_FALL = (-0.45, 0.2), (0.05, 0.95)
"""When it does so, in shares of the swing."""
STRETCH = 0.985
"""Legs are never straighter than this share of their length."""
SETTLE_FRAMES = 7

BALLS = (JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"])
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
        lift_m: How far the foot is off the floor.
        heel_rad: How far the heel is up while the toes stay level.
        weight: How much the foot follows the plan.
    """

    ankle: Float[Tensor, "frame pair 2 foot 3"]
    rotation: Float[Tensor, "frame pair 2 foot 3 3"]
    lift_m: Float[Tensor, "frame pair 2 foot"]
    heel_rad: Float[Tensor, "frame pair 2 foot"]
    weight: Float[Tensor, "frame pair 2 foot"]

    def cut(self, frames: Tensor) -> "Footsteps":
        """Return some frames only."""
        fields = dataclasses.fields(self)
        return Footsteps(**{field.name: getattr(self, field.name)[frames] for field in fields})


@torch.no_grad()
def plan_footsteps(
    transforms: Float[Tensor, "frame pair 2 24 4 4"],
    rest_joints: Float[Tensor, "pair 2 24 3"],
    sole_height: Float[Tensor, "pair 2"],
    planted: Float[Tensor, "frame pair 2 foot"],
    phase: Float[Tensor, "pair 2"],
    cycle_s: Float[Tensor, " pair"],
) -> Footsteps:
    """Let feet stand, and step when the body has moved away from them.

    Args:
        transforms: Frames of the joints of the draft: where its feet are is where steps go.
        rest_joints: Joints at rest.
        sole_height: Height of the sole in the rest pose.
        planted: Weight of the plan.
        phase: When the first step may come, 0 to 1 of a cycle.
        cycle_s: Time from one possible step of a foot to its next.
    """
    frames = transforms.shape[0]
    forward = transforms[..., ANKLES, :3, 2]
    yaw = _unwrapped(torch.atan2(forward[..., 0], forward[..., 2]))
    # The point of the sole under the ball of the foot, from the ankle.
    ball = rest_joints[..., BALLS, :] - rest_joints[..., ANKLES, :]
    ball = torch.stack(
        [ball[..., 0], sole_height[..., None] - rest_joints[..., ANKLES, 1], ball[..., 2]], dim=-1
    )
    turned = (about(1, yaw) @ ball[..., None])[..., 0]
    wanted = (transforms[..., ANKLES, :3, 3] + turned)[..., (0, 2)]
    cycle = (cycle_s * FPS)[:, None, None]
    swing = SWING * cycle
    offset = cycle * torch.stack([phase, phase + 0.5], dim=-1)
    place, place_yaw = wanted.clone(), yaw.clone()
    lift, heel = torch.zeros_like(yaw), torch.zeros_like(yaw)
    at, at_yaw = wanted[0], yaw[0]
    time = torch.arange(frames).reshape(-1, 1, 1, 1).to(wanted)
    for step in range(-2, int(frames / float(cycle.min())) + 2):
        start = step * cycle + offset
        middle = (start + 0.5 * (swing + cycle)).round().long().clamp(0, frames - 1)
        target = torch.gather(wanted, 0, middle[None, ..., None].expand(1, *wanted.shape[1:]))[0]
        target_yaw = torch.gather(yaw, 0, middle[None])[0]
        length = (target - at).norm(dim=-1)
        goes = (length > LEAST_STEP_M) | ((target_yaw - at_yaw).abs() > LEAST_TURN_RAD)
        next_at = torch.where(goes[..., None], target, at)
        next_yaw = torch.where(goes, target_yaw, at_yaw)
        share = (time - start) / swing
        blend = ease(share.clamp(0.0, 1.0))
        now = (time >= start) & (time < start + cycle)
        path = torch.lerp(at.expand_as(place), next_at.expand_as(place), blend[..., None])
        place = torch.where(now[..., None], path, place)
        place_yaw = torch.where(now, torch.lerp(at_yaw, next_yaw, blend), place_yaw)
        arc = torch.sin(torch.pi * share.clamp(0.0, 1.0)).square()
        lift = lift + arc * goes * (LIFT_M + LIFT_PER_STEP * length).clamp(max=MAX_LIFT_M)
        up = ramp(share, HEEL_RISE) - ramp(share, HEEL_FALL)
        heel = heel + up * goes * (HEEL_RAD_PER_M * length).clamp(max=MAX_HEEL_RAD)
        at, at_yaw = next_at, next_yaw
    rotation = about(1, place_yaw) @ about(0, heel)
    ankle = torch.stack([place[..., 0], lift, place[..., 1]], dim=-1)
    ankle = ankle - (rotation @ ball[..., None])[..., 0]
    return Footsteps(ankle, rotation, lift_m=lift, heel_rad=heel, weight=planted)


@torch.no_grad()
def lowered_pelvis(
    rotations: Float[Tensor, "frame pair 2 24 3 3"],
    pelvis: Float[Tensor, "frame pair 2 3"],
    rest_joints: Float[Tensor, "pair 2 24 3"],
    steps: Footsteps,
) -> Float[Tensor, "frame pair 2 3"]:
    """Return pelvis positions low enough for the legs to reach the footsteps, smooth in time."""
    hips, knees = [list(joints) for joints in zip(*(leg[:2] for leg in LEGS), strict=True)]
    thigh = (rest_joints[..., knees, :] - rest_joints[..., hips, :]).norm(dim=-1)
    shin = (rest_joints[..., ANKLES, :] - rest_joints[..., knees, :]).norm(dim=-1)
    from_pelvis = rest_joints[..., hips, :] - rest_joints[..., :1, :]
    hip = pelvis[..., None, :] + (rotations[..., :1, :, :] @ from_pelvis[..., None])[..., 0]
    away = hip - steps.ankle
    across = away[..., (0, 2)].square().sum(-1)
    highest = ((STRETCH * (thigh + shin)).square() - across).clamp_min(0.01).sqrt()
    # A foot that is about to leave the floor, as for a kick, holds nobody down.
    stands = steps.weight > 0.99
    excess = (stands * torch.relu(away[..., 1] - highest)).amax(-1)
    # Greatest of the neighbourhood, then averaged: no frame is left out and nothing jumps.
    padded = torch.nn.functional.pad(
        excess.flatten(1).T[None], (2 * SETTLE_FRAMES, 2 * SETTLE_FRAMES), mode="replicate"
    )
    widest = torch.nn.functional.max_pool1d(padded, 2 * SETTLE_FRAMES + 1, stride=1)
    smooth = torch.nn.functional.avg_pool1d(widest, 2 * SETTLE_FRAMES + 1, stride=1)
    smooth = torch.nn.functional.avg_pool1d(
        torch.nn.functional.pad(smooth, (3, 3), mode="replicate"), 7, stride=1
    )
    lowered = pelvis.clone()
    lowered[..., 1] -= smooth[0].T.reshape(excess.shape)
    return lowered


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
        swing = rotation_between(pointing, target - hip_place)
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
        toes = about(0, -steps.weight[..., foot] * steps.heel_rad[..., foot])
        reached[..., BALLS[foot], :, :] = toes
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
