"""First poses without a prior: frames lifted to 3D from several facing directions.

A keypoint fit has one basin per facing direction. Each frame and person is fitted from several of
them independently, all in one batch; dynamic programming over the clip then picks one per frame so
that the keypoints are explained and the motion does not jump.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor

from closefit.body.joint_limits import JointLimits
from closefit.body.keypoints import KEYPOINT_SETS
from closefit.body.model import Body
from closefit.fit.floor import typical_up
from closefit.fit.losses import reprojection_loss
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables
from closefit.fit.weights import (
    JUMP_JOINTS,
    JUMP_SIGMA_M,
    LANDMARK_OUTLIER_SIGMAS,
    LANDMARK_SIGMA_M,
    LIFTING_DEPTH_SIGMA,
    LIFTING_OUTLIER_SIGMAS,
    LIFTING_TILT_SIGMA_RAD,
)
from closefit.geometry.camera import project
from closefit.geometry.robust import robust_square
from closefit.geometry.rotations import matrix_from_6d, matrix_to_6d

NUM_DIRECTIONS = 8
STEPS = 60
CHUNK = 96
"""Frames fitted at once: frames are independent here, and memory must not grow with the clip."""
LEARNING_RATE = 0.06


def lift(
    body: Body,
    targets: KeypointTargets,
    limits: JointLimits,
    on_step: Callable[[int, int], None],
) -> MotionVariables:
    """Choose a first pose, place and depth of both people in every frame.

    Args:
        body: Body on the device of `targets`.
        targets: Observed keypoints.
        limits: Plausible joint rotations.
        on_step: Called with (steps done, steps in all).
    """
    variables = _start(body, targets, limits)
    mean_log_depth = variables.log_depth.mean()
    chunks = torch.arange(targets.num_frames, device=targets.K.device).split(CHUNK)
    lifted, energies = [], []
    for number, frames in enumerate(chunks):

        def count(done: int, before: int = number * STEPS) -> None:
            on_step(before + done, lifting_steps(targets.num_frames))

        part = dataclasses.replace(
            variables,
            pose_6d=variables.pose_6d[:, frames],
            pelvis_ray=variables.pelvis_ray[:, frames],
            log_depth=variables.log_depth[:, frames],
        )
        energies.append(_fit_frames(body, targets.cut(frames), limits, part, mean_log_depth, count))
        lifted.append(part)
    pose_6d, pelvis_ray, log_depth = (
        torch.cat([part.tensors()[index].detach() for part in lifted], dim=1) for index in range(3)
    )
    variables = MotionVariables(pose_6d, pelvis_ray, log_depth, variables.betas)
    with torch.no_grad():
        joints = body.joints(variables.rotations(), variables.betas, variables.transl(body))
        path = _best_path(torch.cat(energies, 1), joints - joints[..., :1, :], targets.seen)
    return _select(variables, path)


def lifting_steps(num_frames: int) -> int:
    """Number of steps that `lift` reports for a clip of this length."""
    return -(-num_frames // CHUNK) * STEPS


def _fit_frames(
    body: Body,
    targets: KeypointTargets,
    limits: JointLimits,
    variables: MotionVariables,
    mean_log_depth: Float[Tensor, ""],
    on_step: Callable[[int], None],
) -> Float[Tensor, "direction frame person"]:
    """Fit each candidate of each frame alone, in place; returns their energies."""
    projector = KeypointProjector(body, targets.set_name)
    up = typical_up(targets.K.device)

    def energy() -> Float[Tensor, "direction frame person"]:
        rotations = variables.rotations()
        _, keypoints = projector.keypoints(rotations, variables.betas, variables.transl(body))
        projected = project(keypoints, targets.K[:, None, None])
        tilt = torch.acos((rotations[..., 0, :, 1] @ up).clamp(-0.999, 0.999))
        return (
            reprojection_loss(
                projected,
                targets.points_px,
                targets.weight,
                targets.sigma_px,
                LIFTING_OUTLIER_SIGMAS,
            )
            + _landmark_energy(keypoints, targets)
            + limits.energy(rotations)
            + 0.5 * (tilt / LIFTING_TILT_SIGMA_RAD).square()
            + 0.5 * ((variables.log_depth - mean_log_depth) / LIFTING_DEPTH_SIGMA).square()
        )

    free = [variables.pose_6d, variables.pelvis_ray, variables.log_depth]
    for tensor in free:
        tensor.requires_grad_()
    groups: list[dict[str, Any]] = [
        {"params": free[:1]},
        {"params": free[1:], "lr": LEARNING_RATE / 3},
    ]
    optimizer = torch.optim.Adam(groups, lr=LEARNING_RATE)
    for step in range(STEPS):
        optimizer.zero_grad()
        energy().sum().backward()
        optimizer.step()
        on_step(step + 1)
    with torch.no_grad():
        return energy()


def _landmark_energy(
    keypoints: Float[Tensor, "direction frame person keypoint 3"], targets: KeypointTargets
) -> Float[Tensor, "direction frame person"] | float:
    """Distance to the detector's 3D landmarks, if there are any."""
    if targets.landmarks_m.shape[2] == 0:
        return 0.0
    names = KEYPOINT_SETS[targets.set_name].names
    hips = [names.index("left_hip"), names.index("right_hip")]
    relative = keypoints - keypoints[..., hips, :].mean(-2, keepdim=True)
    squared = (relative - targets.landmarks_m[..., :3]).square().sum(-1) / LANDMARK_SIGMA_M**2
    return 0.5 * (
        targets.landmarks_m[..., 3] * robust_square(squared, LANDMARK_OUTLIER_SIGMAS)
    ).sum(-1)


def _start(body: Body, targets: KeypointTargets, limits: JointLimits) -> MotionVariables:
    """Relaxed bodies facing `NUM_DIRECTIONS` ways, sized and centred by the keypoints."""
    frames, device = targets.num_frames, targets.K.device
    yaw = torch.arange(NUM_DIRECTIONS, device=device) * (2.0 * math.pi / NUM_DIRECTIONS)
    turned = roma.rotvec_to_rotmat(yaw[:, None] * torch.tensor([0.0, 1.0, 0.0], device=device))
    # Body frame (y up, facing +z) to camera frame (y down, z away) for a person who faces us.
    facing = _upright(typical_up(device)) @ turned
    rotations = limits.relaxed.expand(NUM_DIRECTIONS, frames, 2, 24, 3, 3).clone()
    rotations[..., 0, :, :] = facing[:, None, None]
    template = body.v_template[:, 1]
    stature = float(template.max() - template.min())
    focal, centre = targets.K[:, None, 1, 1], targets.K[:, None, :2, 2]
    depth = focal * 0.97 * stature / targets.height_px
    weight = targets.weight[..., None]
    middle = (targets.points_px * weight).sum(2) / weight.sum(2).clamp_min(1e-6)
    middle = _hold(middle, weight.sum(2)[..., 0] > 0)
    ray = (middle - centre) / focal[..., None]
    shape = (NUM_DIRECTIONS, frames, 2)
    return MotionVariables(
        pose_6d=matrix_to_6d(rotations),
        pelvis_ray=ray.expand(*shape, 2).clone(),
        log_depth=depth.log().expand(shape).clone(),
        betas=torch.zeros(2, 10, device=device),
    )


def _upright(up: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """Rotation of a body that stands along `up` and faces the camera."""
    left = torch.linalg.cross(up, torch.tensor([0.0, 0.0, -1.0], device=up.device))
    left = torch.nn.functional.normalize(left, dim=0)
    return torch.stack([left, up, torch.linalg.cross(left, up)], dim=-1)


def _hold(
    values: Float[Tensor, "frame person 2"], known: Tensor
) -> Float[Tensor, "frame person 2"]:
    """Fill unknown frames with the nearest known frame of the same person."""
    frames = torch.arange(values.shape[0], device=values.device)
    distance = (frames[:, None] - frames[None, :]).abs().float()
    blocked = torch.where(known.T[:, None, :], distance, torch.inf)
    nearest = blocked.argmin(-1).T
    return values.gather(0, nearest[..., None].expand_as(values))


def _best_path(
    energy: Float[Tensor, "direction frame person"],
    relative_joints: Float[Tensor, "direction frame person joint 3"],
    seen: Tensor,
) -> Int[Tensor, "frame person"]:
    """Viterbi: the sequence of candidates with the least energy plus jumps between frames."""
    energy = torch.where(seen, energy, 0.0).permute(1, 2, 0)
    joints = relative_joints.permute(1, 2, 0, 3, 4)
    jumps = (joints[1:, :, None, :] - joints[:-1, :, :, None]).square().sum(-1).mean(-1)
    jumps = JUMP_JOINTS * jumps / JUMP_SIGMA_M**2  # (frame, person, from, to)
    total, back = energy[0], []
    for frame in range(1, energy.shape[0]):
        best, origin = (total[:, :, None] + jumps[frame - 1]).min(1)
        total = best + energy[frame]
        back.append(origin)
    path = [total.argmin(-1)]
    for origin in reversed(back):
        path.append(origin.gather(1, path[-1][:, None])[:, 0])
    return torch.stack(path[::-1])


def _select(variables: MotionVariables, path: Int[Tensor, "frame person"]) -> MotionVariables:
    """Variables of the chosen candidate in every frame."""

    def pick(values: Tensor) -> Tensor:
        index = path.reshape(1, *path.shape, *[1] * (values.ndim - 3))
        return values.detach().gather(0, index.expand(1, *values.shape[1:]))[0]

    return MotionVariables(
        pose_6d=matrix_to_6d(matrix_from_6d(pick(variables.pose_6d))),
        pelvis_ray=pick(variables.pelvis_ray),
        log_depth=pick(variables.log_depth),
        betas=variables.betas,
    )
