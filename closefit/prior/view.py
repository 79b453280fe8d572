"""The view of a window: a camera turned towards the pair, with the pair's apparent size as unit.

Pixels become normalised keypoints (x/z, y/z); a yaw and then a pitch turn their mean direction onto
the optical axis, and lengths on the plane z = 1 are divided by the apparent size of a person. The
network gets the pitch and the logarithm of that size, which take the place of CLIFF's box
information (position and size of the crop).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

STANDING = (
    (0.0, -0.361), (0.017, -0.387), (-0.017, -0.387), (0.05, -0.392), (-0.05, -0.392),
    (0.104, -0.258), (-0.104, -0.258), (0.183, -0.128), (-0.183, -0.128),
    (0.246, -0.031), (-0.246, -0.031), (0.065, 0.007), (-0.065, 0.007),
    (0.078, 0.226), (-0.078, 0.226), (0.088, 0.478), (-0.088, 0.478),
)  # fmt: skip
"""COCO keypoints of the free body standing relaxed, in statures: the reference for sizes."""

USUAL_SIZE = 0.4
"""Apparent size (an adult 4 m away) where keypoints do not determine it."""

BARELY_SEEN = 0.25
"""A person whose keypoints span less than this share of the other's does not affect the size."""

MIN_WEIGHT = 0.05
"""Keypoints of less confidence are ignored."""

MIN_DEPTH = 0.2
"""Smallest z of a point of the plane z = 1 in the view; points farther off the axis are clamped."""


@dataclass(frozen=True, eq=False)
class View:
    """Views of a batch of windows.

    Attributes:
        R_view_cam: Rotation from the camera frame to the view frame.
        size: Apparent size of a person: about stature over depth.
        pitch: Angle in radians by which the axis lies below the camera's (positive: down).
    """

    R_view_cam: Float[Tensor, "*batch 3 3"]
    size: Float[Tensor, "*batch"]
    pitch: Float[Tensor, "*batch"]

    @classmethod
    def of(cls, keypoints: Float[Tensor, "*batch frame person keypoint 3"]) -> "View":
        """Find the view from the normalised keypoints of a window.

        It is symmetric in the two people, and follows a camera that pans or zooms.
        """
        weight = torch.where(keypoints[..., 2] > MIN_WEIGHT, keypoints[..., 2], 0.0)
        xy = torch.where(weight[..., None] > 0, keypoints[..., :2], 0.0)
        R_view_cam, pitch = _towards(_centre(xy, weight))
        in_view, depth = _turned(xy, R_view_cam[..., None, None, :, :])
        weight = weight * (depth > MIN_DEPTH)
        return cls(R_view_cam, _apparent_size(in_view, weight), pitch)

    def __getitem__(self, chosen: Int[Tensor, " chosen"]) -> "View":
        """Views of some windows."""
        return View(self.R_view_cam[chosen], self.size[chosen], self.pitch[chosen])

    def keypoints(
        self, keypoints: Float[Tensor, "*batch frame person keypoint 3"]
    ) -> Float[Tensor, "*batch frame person keypoint 3"]:
        """Express normalised keypoints in the view; confidence is kept."""
        xy, depth = _turned(keypoints[..., :2], self.R_view_cam[..., None, None, :, :])
        confidence = keypoints[..., 2] * (depth > MIN_DEPTH)
        xy = xy / self.size[..., None, None, None, None]
        return torch.cat([xy, confidence[..., None]], dim=-1)

    def place(
        self, pelvis_m: Float[Tensor, "*batch frame person 3"]
    ) -> Float[Tensor, "*batch frame person 3"]:
        """Encode positions in the camera frame as x/z and y/z over the size, log(z times size)."""
        inside = (self.R_view_cam[..., None, None, :, :] @ pelvis_m[..., None])[..., 0]
        size = self.size[..., None, None, None]
        depth = inside[..., 2:].clamp_min(1e-3)
        return torch.cat([inside[..., :2] / depth / size, (depth * size).log()], dim=-1)

    def position(
        self, place: Float[Tensor, "*batch frame person 3"]
    ) -> Float[Tensor, "*batch frame person 3"]:
        """Invert `place`: metres in the camera frame."""
        size = self.size[..., None, None, None]
        depth = place[..., 2:].exp() / size
        inside = torch.cat([place[..., :2] * size * depth, depth], dim=-1)
        return (self.R_view_cam[..., None, None, :, :].mT @ inside[..., None])[..., 0]


def normalised_keypoints(
    keypoints: Float[Tensor, "*batch frame person keypoint 3"], K: Float[Tensor, "*batch frame 3 3"]
) -> Float[Tensor, "*batch frame person keypoint 3"]:
    """Map pixels onto the plane z = 1 (x/z, y/z); confidences are kept."""
    focal, centre = K[..., (0, 1), (0, 1)], K[..., :2, 2]
    xy = (keypoints[..., :2] - centre[..., None, None, :]) / focal[..., None, None, :]
    return torch.cat([xy, keypoints[..., 2:]], dim=-1)


def _centre(
    xy: Float[Tensor, "*batch frame person keypoint 2"],
    weight: Float[Tensor, "*batch frame person keypoint"],
) -> Float[Tensor, "*batch 2"]:
    """Mean keypoint of each person, then the mean over those who are seen."""
    total = weight.sum((-3, -1))
    mean = (xy * weight[..., None]).sum((-4, -2)) / total.clamp_min(1e-6)[..., None]
    seen = (total > 0).to(xy)[..., None]
    return (mean * seen).sum(-2) / seen.sum(-2).clamp_min(1.0)


def _towards(
    centre: Float[Tensor, "*batch 2"],
) -> tuple[Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch"]]:
    """Rotation of the point's direction onto the z axis by a yaw, then a pitch; and that pitch."""
    yaw = torch.atan(centre[..., 0])
    pitch = torch.atan2(centre[..., 1], (1.0 + centre[..., 0].square()).sqrt())
    one, zero = torch.ones_like(yaw), torch.zeros_like(yaw)
    R_yaw = torch.stack(
        [yaw.cos(), zero, -yaw.sin(), zero, one, zero, yaw.sin(), zero, yaw.cos()], -1
    ).unflatten(-1, (3, 3))
    R_pitch = torch.stack(
        [one, zero, zero, zero, pitch.cos(), -pitch.sin(), zero, pitch.sin(), pitch.cos()], -1
    ).unflatten(-1, (3, 3))
    return R_pitch @ R_yaw, pitch


def _turned(
    xy: Float[Tensor, "*batch frame person keypoint 2"], R: Float[Tensor, "*batch 1 1 3 3"]
) -> tuple[
    Float[Tensor, "*batch frame person keypoint 2"], Float[Tensor, "*batch frame person keypoint"]
]:
    """Points of the plane z = 1 as the turned frame sees them, and their z there."""
    homogeneous = torch.nn.functional.pad(xy, (0, 1), value=1.0)
    inside = homogeneous @ R.mT
    depth = inside[..., 2]
    return inside[..., :2] / depth.clamp_min(MIN_DEPTH)[..., None], depth


def _apparent_size(
    xy: Float[Tensor, "*batch frame person keypoint 2"],
    weight: Float[Tensor, "*batch frame person keypoint"],
) -> Float[Tensor, "*batch"]:
    """Stature on the plane z = 1 of the larger person.

    The spread of the seen keypoints is compared with that of the same keypoints on a standing
    person, so that the result depends little on which of them are seen.
    """
    standing = xy.new_tensor(STANDING).expand_as(xy)
    seen = weight.sum(-1)
    spread, expected = (
        (seen * _spread(points, weight)).sum(-2) for points in (xy, standing)
    )  # (*batch, person)
    counts = expected > BARELY_SEEN * expected.amax(-1, keepdim=True)
    size = torch.where(counts, spread / expected.clamp_min(1e-6), 0.0).amax(-1)
    return torch.where(size > 1e-3, size, USUAL_SIZE)


def _spread(
    xy: Float[Tensor, "*batch keypoint 2"], weight: Float[Tensor, "*batch keypoint"]
) -> Float[Tensor, "*batch"]:
    """Weighted root mean square distance from the weighted mean."""
    share = weight / weight.sum(-1, keepdim=True).clamp_min(1e-6)
    mean = (xy * share[..., None]).sum(-2, keepdim=True)
    return ((xy - mean).square().sum(-1) * share).sum(-1).sqrt()
