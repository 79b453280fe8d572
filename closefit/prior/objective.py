"""The training loss of the prior (paper Eq. 3 to 5)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.keypoints import KeypointRegressor
from closefit.body.model import Body, PosedBody
from closefit.body.pose import PairPose
from closefit.body.skeleton import EVALUATION_JOINTS, JOINT_INDEX
from closefit.boundary.ranges import Weight
from closefit.geometry.robust import robust_square
from closefit.prior.conditions import KEYPOINT_SET

HIPS = [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]
FPS = 30.0
WILD_M_S = 3.0
"""The loss of velocities levels off beyond this error, and that of keypoints beyond a body's size:
in a network that is not yet smooth they would outweigh all other terms."""

CLOSE_M = 1.0
"""Joint pairs of the two people nearer than this count fully in the interaction loss."""


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the terms; the paper publishes none. Lengths in metres, rotations as matrices."""

    state: Weight = 1.0
    reprojection: Weight = 20.0
    pose: Weight = 1.0
    shape: Weight = 0.01
    joint: Weight = 20.0
    velocity: Weight = 0.2
    interaction: Weight = 10.0


@dataclass(frozen=True, eq=False)
class PairGeometry:
    """Joints of both people in camera metres, and their keypoints on the plane z = 1."""

    joints: Float[Tensor, "*batch frame 2 24 3"]
    keypoints: Float[Tensor, "*batch frame 2 17 2"]


class GeometryOf:
    """Forward kinematics from pose and place, for one body."""

    def __init__(self, body: Body) -> None:
        """Prepare on the device of `body`."""
        self._regressor = KeypointRegressor(body, KEYPOINT_SET)
        self._detected = KeypointRegressor(body, f"{KEYPOINT_SET}_detected")
        self._points = body.subset(self._regressor.vertex_indices)

    def __call__(self, pose: PairPose) -> PairGeometry:
        """Pose the skeleton and the face points."""
        posed = self._posed(pose)
        return PairGeometry(posed.joints, _projected(self._regressor.of(posed)))

    def detected(self, pose: PairPose) -> Float[Tensor, "*batch frame 2 17 2"]:
        """Return keypoints on the plane z = 1 where pose networks see them."""
        return _projected(self._detected.of(self._posed(pose)))

    def _posed(self, pose: PairPose) -> PosedBody:
        return self._points.pose(pose.rotations, pose.betas, pose.transl(self._points))


def _projected(points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 2"]:
    return points[..., :2] / points[..., 2:].clamp_min(0.1)


def prior_loss(
    predicted: PairPose,
    truth: PairPose,
    shown: PairGeometry,
    target: PairGeometry,
    size: Float[Tensor, " batch"],
    weights: LossWeights,
) -> dict[str, Float[Tensor, ""]]:
    """Weighted terms of Eq. 3 except the state's own error.

    Args:
        predicted: The network's output, in camera axes.
        truth: The true poses.
        shown: Geometry of `predicted`.
        target: Geometry of `truth`.
        size: Apparent size of each window's view, the unit of the reprojection error.
        weights: Weights of the terms.
    """
    apart = (shown.keypoints - target.keypoints) / size[:, None, None, None, None]
    moved = (velocity(shown.joints) - velocity(target.joints)).square().sum(-1)
    return {
        "reprojection": weights.reprojection * robust_square(apart.square().sum(-1), 1.0).mean(),
        "pose": weights.pose
        * (predicted.rotations - truth.rotations).square().sum((-2, -1)).mean(),
        "shape": weights.shape * (predicted.betas - truth.betas).square().sum(-1).mean(),
        "joint": weights.joint
        * (hip_centred(shown.joints) - hip_centred(target.joints)).square().sum(-1).mean(),
        "velocity": weights.velocity * robust_square(moved, WILD_M_S).mean(),
        "interaction": weights.interaction * interaction_loss(shown.joints, target.joints),
    }


def interaction_loss(
    joints: Float[Tensor, "*batch 2 24 3"], truth: Float[Tensor, "*batch 2 24 3"]
) -> Float[Tensor, ""]:
    """Squared error of all distances between the two people's joints (Eq. 5).

    Near pairs count most, because contact depends on them.
    """
    found, expected = pair_distances(joints), pair_distances(truth)
    weight = 0.1 + 0.9 * torch.sigmoid((CLOSE_M - expected) / 0.15)
    return (weight * (found - expected).square()).mean()


def pair_distances(joints: Float[Tensor, "*batch 2 24 3"]) -> Float[Tensor, "*batch joint other"]:
    """Distances from each evaluation joint of person 0 to each of person 1, metres."""
    chosen = joints[..., list(EVALUATION_JOINTS), :]
    difference = chosen[..., 0, :, None, :] - chosen[..., 1, None, :, :]
    return (difference.square().sum(-1) + 1e-8).sqrt()


def hip_centred(joints: Float[Tensor, "*batch 24 3"]) -> Float[Tensor, "*batch 24 3"]:
    """Joints about the hip midpoint."""
    return joints - joints[..., HIPS, :].mean(-2, keepdim=True)


def velocity(joints: Float[Tensor, "*batch frame 2 24 3"]) -> Float[Tensor, "*batch step 2 24 3"]:
    """Joint velocity in metres a second."""
    return (joints[..., 1:, :, :, :] - joints[..., :-1, :, :, :]) * FPS
