"""The proxy on which contacts are solved: round cones inside each body part, in the joints' frames.

A cone is a segment with a radius at each end (a capsule where both are equal). The trunk is a stack
of level cones from side to side, so that it is wide and flat as a trunk is.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from closefit.body.model import Body
from closefit.body.skeleton import JOINT_INDEX

_LIMBS = (
    ("upper arm", "shoulder", "elbow", 0.05, 0.95),
    ("forearm", "elbow", "wrist", 0.05, 0.95),
    ("thigh", "hip", "knee", 0.15, 0.97),
    ("shin", "knee", "ankle", 0.03, 1.0),
)
"""Name, joint at the start, joint at the end, and the stretch of the bone that is covered."""

_SLICES = (
    ("hips", "pelvis", -0.03, 0.05),
    ("waist", "spine1", 0.04, 0.05),
    ("belly", "spine2", 0.02, 0.05),
    ("chest", "spine3", 0.07, 0.05),
    ("upper chest", "spine3", 0.15, 0.04),
)
"""Name, joint, height of the middle above the joint and half height of the slice, metres."""

CORE = 0.88
"""Share of the median distance from the axis to the skin that a limb's radius is."""

SOFT = 0.93
"""The same for the trunk, in half depths: it gives way a little where people press together."""

_HAND_STRIPS = {
    "palm index side": (0.0, 0.5, 0.25),
    "palm little side": (0.0, 0.5, -0.25),
    "fingers index side": (0.5, 1.0, 0.2),
    "fingers little side": (0.5, 1.0, -0.2),
}
"""Stretch of the hand that a cone covers, and its distance from the middle in widths."""

NAMES: tuple[str, ...] = (
    *(name for name, *_ in _SLICES),
    "neck",
    "head",
    *(f"{side} {limb[0]}" for side in ("left", "right") for limb in _LIMBS),
    *(f"{side} hand {strip}" for side in ("left", "right") for strip in _HAND_STRIPS),
    *(f"{side} {part}" for side in ("left", "right") for part in ("foot", "toes")),
)


@dataclass(frozen=True, eq=False)
class Cones:
    """Round cones of shaped bodies.

    Attributes:
        joint: Joint whose frame a cone moves with.
        ends: Both ends in that frame (rest axes, origin at the joint), metres.
        radius: Radius at both ends.
    """

    joint: Int[Tensor, " cone"]
    ends: Float[Tensor, "*body cone 2 3"]
    radius: Float[Tensor, "*body cone 2"]

    def world_ends(
        self, transforms: Float[Tensor, "*frame_body 24 4 4"]
    ) -> Float[Tensor, "*frame_body cone 2 3"]:
        """Return the ends of posed bodies."""
        moved = transforms[..., self.joint, :, :]
        return self.ends @ moved[..., :3, :3].mT + moved[..., None, :3, 3]


class ConeFitter:
    """Fits cones to shaped bodies; which vertices each part has is found once."""

    def __init__(self, body: Body) -> None:
        """Group the vertices of the rest body."""
        rest = body.rest(body.v_template.new_zeros(10))
        self._body = body
        self._rest = rest
        self._owner = body.weights.argmax(dim=-1)
        self.joint = torch.tensor([self._joint_of(name) for name in NAMES])

    @staticmethod
    def _joint_of(name: str) -> int:
        for slice_name, joint, *_ in _SLICES:
            if name == slice_name:
                return JOINT_INDEX[joint]
        if name in ("neck", "head"):
            return JOINT_INDEX[name]
        side, part = name.split(" ", 1)
        starts = {limb[0]: limb[1] for limb in _LIMBS} | {"foot": "ankle", "toes": "foot"}
        return JOINT_INDEX[f"{side}_{starts.get(part, 'wrist')}"]

    @torch.no_grad()
    def fit(self, betas: Float[Tensor, "*body 10"]) -> Cones:
        """Fit the cones of shaped bodies."""
        shape = betas.shape[:-1]
        rest = self._body.rest(betas.reshape(-1, 10))
        parts = [self._fit_one(name, rest.vertices, rest.joints) for name in NAMES]
        ends = torch.stack([end for end, _ in parts], dim=1)
        radius = torch.stack([radius for _, radius in parts], dim=1)
        ends = ends - rest.joints[:, self.joint, None]
        return Cones(
            joint=self.joint,
            ends=ends.reshape(*shape, *ends.shape[1:]),
            radius=radius.reshape(*shape, *radius.shape[1:]),
        )

    def _fit_one(
        self,
        name: str,
        vertices: Float[Tensor, "body vertex 3"],
        joints: Float[Tensor, "body 24 3"],
    ) -> tuple[Float[Tensor, "body 2 3"], Float[Tensor, "body 2"]]:
        """Return the ends in the rest frame and the radii of one part."""
        for slice_name, joint, above, half in _SLICES:
            if name == slice_name:
                return self._fit_slice(vertices, JOINT_INDEX[joint], above, half)
        if name in ("neck", "head"):
            return self._fit_head(name, vertices, joints)
        side, part = name.split(" ", 1)
        for limb, start, end, first, last in _LIMBS:
            if part == limb:
                bone = (JOINT_INDEX[f"{side}_{start}"], JOINT_INDEX[f"{side}_{end}"])
                return self._fit_limb(vertices, joints, bone, (first, last))
        if part in ("foot", "toes"):
            foot = self._fit_foot(vertices, joints[:, JOINT_INDEX[f"{side}_foot"]], side)
            return foot[part]
        return self._fit_hand(vertices, side, *_HAND_STRIPS[part.removeprefix("hand ")])

    def _owned(self, *names: str) -> Bool[Tensor, " vertex"]:
        joints = torch.tensor([JOINT_INDEX[name] for name in names])
        return torch.isin(self._owner, joints)

    def _fit_slice(
        self, vertices: Tensor, joint: int, above: float, half: float
    ) -> tuple[Tensor, Tensor]:
        trunk = self._owned("pelvis", "spine1", "spine2", "spine3", "left_hip", "right_hip",
                            "left_collar", "right_collar")  # fmt: skip
        height = self._rest.vertices[:, 1] - self._rest.joints[joint, 1] - above
        inner = self._rest.vertices[:, 0].abs() < 0.19
        chosen = vertices[:, trunk & inner & (height.abs() < half)]
        low, high = _quantiles(chosen, (0.04, 0.96))
        middle = 0.5 * (low + high)
        deep, wide = 0.5 * (high - low)[:, 2], 0.5 * (high - low)[:, 0]
        radius = SOFT * deep
        reach = (wide - deep).clamp_min(0.01) + 0.5 * (deep - radius)
        ends = torch.stack([middle, middle], dim=1)
        ends[:, 0, 0], ends[:, 1, 0] = reach, -reach
        return ends, radius[:, None].expand(-1, 2).clone()

    def _fit_head(self, name: str, vertices: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
        chosen = vertices[:, self._owned(name)]
        low, high = _quantiles(chosen, (0.02, 0.98))
        if name == "head":
            # Eyes and mouth have so many vertices that the crown is a small share of them.
            low, high = 0.95 * chosen.amin(1) + 0.05 * chosen.amax(1), chosen.amax(1)
        middle = 0.5 * (low + high)
        if name == "neck":
            radius = 0.42 * (high - low)[:, 0]
            ends = torch.stack([joints[:, JOINT_INDEX["neck"]], joints[:, JOINT_INDEX["head"]]], 1)
            ends = ends.clone()
            ends[:, :, 2] = middle[:, None, 2]
            return ends, radius[:, None].expand(-1, 2).clone()
        radius = 0.5 * (high - low)[:, 0]
        ends = torch.stack([middle, middle], dim=1)
        # From the jaw, which is in front, to the back of the crown.
        ends[:, 0, 1] = low[:, 1] + 0.9 * radius
        ends[:, 0, 2] = high[:, 2] - 1.1 * radius
        ends[:, 1, 1] = high[:, 1] - radius
        ends[:, 1, 2] = low[:, 2] + 1.1 * radius
        return ends, torch.stack([0.9 * radius, radius], dim=1)

    def _fit_limb(
        self,
        vertices: Tensor,
        joints: Tensor,
        bone: tuple[int, int],
        stretch: tuple[float, float],
    ) -> tuple[Tensor, Tensor]:
        start, along = joints[:, bone[0]], joints[:, bone[1]] - joints[:, bone[0]]
        rest_start = self._rest.joints[bone[0]]
        rest_along = self._rest.joints[bone[1]] - rest_start
        place = (self._rest.vertices - rest_start) @ rest_along / rest_along.square().sum()
        owned = self._owner == bone[0]
        ends, radii = [], []
        length = along.norm(dim=-1, keepdim=True)
        for at, (low, high) in zip(stretch, ((0.0, 0.45), (0.55, 1.0)), strict=True):
            around = vertices[:, owned & (place > low) & (place < high)] - start[:, None]
            unit = (along / length)[:, None]
            across = around - (around * unit).sum(-1, keepdim=True) * unit
            offset = across.mean(dim=1)
            radii.append(CORE * (across - offset[:, None]).norm(dim=-1).median(dim=1).values)
            ends.append(start + at * along + offset)
        return torch.stack(ends, dim=1), torch.stack(radii, dim=1)

    def _fit_hand(
        self, vertices: Tensor, side: str, first: float, last: float, across: float
    ) -> tuple[Tensor, Tensor]:
        owned = self._owned(f"{side}_wrist", f"{side}_hand")
        along = self._rest.vertices[:, 0].abs()
        inner, outer = along[owned].amin(), along[owned].amax()
        share = (along - inner) / (outer - inner)
        # The thumb sticks out to the front and is no part of the palm.
        palm = owned & (
            self._rest.vertices[:, 2] < self._rest.joints[JOINT_INDEX[f"{side}_wrist"], 2] + 0.035
        )
        ends, radii = [], []
        for at in (first, last):
            centre = min(max(at, 0.15), 0.9)
            low, high = _quantiles(
                vertices[:, palm & ((share - centre).abs() < 0.12)], (0.05, 0.95)
            )
            middle = 0.5 * (low + high)
            radii.append(0.36 * (high - low)[:, 1])
            middle[:, 2] += across * (high - low)[:, 2]
            ends.append(middle)
        return torch.stack(ends, dim=1), torch.stack(radii, dim=1)

    def _fit_foot(
        self, vertices: Tensor, ball: Tensor, side: str
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the foot as far as the ball and the toes, which bend."""
        chosen = vertices[:, self._owned(f"{side}_ankle", f"{side}_foot")]
        low, high = chosen.amin(dim=1), chosen.amax(dim=1)
        heel, toe = 0.4 * (high - low)[:, 0], 0.25 * (high - low)[:, 0]
        middle = torch.stack([0.5 * (low + high)] * 2, dim=1)
        foot, toes = middle.clone(), middle.clone()
        foot[:, 0, 1], foot[:, 1, 1] = low[:, 1] + heel, low[:, 1] + toe
        foot[:, 0, 2], foot[:, 1, 2] = low[:, 2] + heel, ball[:, 2]
        toes[:, 0], toes[:, 1] = foot[:, 1], foot[:, 1]
        toes[:, 1, 2] = high[:, 2] - toe
        level = toe[:, None].expand(-1, 2)
        return {"foot": (foot, torch.stack([heel, toe], dim=1)), "toes": (toes, level)}


def _quantiles(points: Tensor, shares: tuple[float, float]) -> tuple[Tensor, Tensor]:
    low, high = torch.quantile(points, points.new_tensor(shares), dim=1)
    return low, high


@torch.no_grad()
def nearest_on_segments(
    first: Float[Tensor, "*#pair 2 3"], second: Float[Tensor, "*#pair 2 3"]
) -> tuple[Float[Tensor, "*pair"], Float[Tensor, "*pair"]]:
    """Return where two segments are nearest, as shares of their lengths.

    At the nearest places the distance does not change to first order when they slide, so they are
    constants for the gradient.
    """
    along_first = first[..., 1, :] - first[..., 0, :]
    along_second = second[..., 1, :] - second[..., 0, :]
    between = first[..., 0, :] - second[..., 0, :]
    a = along_first.square().sum(-1).clamp_min(1e-9)
    e = along_second.square().sum(-1).clamp_min(1e-9)
    b = (along_first * along_second).sum(-1)
    c = (along_first * between).sum(-1)
    f = (along_second * between).sum(-1)
    s = ((b * f - c * e) / (a * e - b * b).clamp_min(1e-9)).clamp(0.0, 1.0)
    t = ((b * s + f) / e).clamp(0.0, 1.0)
    s = ((b * t - c) / a).clamp(0.0, 1.0)
    return s, t


def overlap(
    ends_first: Float[Tensor, "hit 2 3"],
    radius_first: Float[Tensor, "hit 2"],
    ends_second: Float[Tensor, "hit 2 3"],
    radius_second: Float[Tensor, "hit 2"],
) -> Float[Tensor, " hit"]:
    """Return how deep cones go into each other, metres; negative apart. Differentiable."""
    s, t = nearest_on_segments(ends_first, ends_second)
    place_first = torch.lerp(ends_first[:, 0], ends_first[:, 1], s[:, None])
    place_second = torch.lerp(ends_second[:, 0], ends_second[:, 1], t[:, None])
    distance = ((place_first - place_second).square().sum(-1) + 1e-10).sqrt()
    radii = torch.lerp(radius_first[:, 0], radius_first[:, 1], s)
    return radii + torch.lerp(radius_second[:, 0], radius_second[:, 1], t) - distance
