"""Losses of a pair of poses: contacts hold, no body enters another or the floor, feet stand.

Everything is a batch over frames (or key poses) and pairs, with the axes frame, pair, person. Each
term is a sum of squares in units of its tolerance, so that their weights are those tolerances.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from closefit.body.model import Body
from closefit.body.skeleton import JOINT_INDEX
from closefit.learning.choreography.capsules import (
    NAMES,
    ConeFitter,
    Cones,
    nearest_on_segments,
    overlap,
)
from closefit.learning.choreography.sites import Sites

CONTACT_SIGMA_M = 0.006
TOUCH_M = 0.003
"""Skins that touch are this far apart."""
FACING_WEIGHT = 8.0
OVERLAP_SIGMA_M = 0.004
SELF_SIGMA_M = 0.010
FLOOR_SIGMA_M = 0.003
SUPPORT_SIGMA_M = 0.01
FLAT_SIGMA = 0.1
"""Of the sole's normal against the vertical."""
REACH_M = 0.01
"""Cones this near are followed through one step of the descent."""

ANKLES = (JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"])
FEET = (NAMES.index("left foot"), NAMES.index("right foot"))
HIPS = NAMES.index("hips")


def _self_pairs() -> list[tuple[int, int]]:
    """Return the cones of one person that are kept apart: arms from the rest, legs from legs."""
    arms = [name for name in NAMES if "forearm" in name or "hand" in name]
    trunk = ["hips", "waist", "belly", "chest", "upper chest", "neck", "head"]
    legs = [name for name in NAMES if name.endswith(("thigh", "shin", "foot"))]
    pairs = [(arm, other) for arm in arms for other in trunk + legs]
    pairs += [
        (left, right)
        for limbs in (arms, legs)
        for left in limbs
        for right in limbs
        # Thighs meet at the hips.
        if left.startswith("left") and right.startswith("right")
        if not (left.endswith("thigh") and right.endswith("thigh"))
    ]
    return [(NAMES.index(first), NAMES.index(second)) for first, second in pairs]


@dataclass(frozen=True, eq=False)
class Constraints:
    """What a scene requires of both people in each frame (or at each moment).

    Attributes:
        sites: Contacts, as indices of sites of the first and of the second person.
        touching: Weight of each contact, 0 for none.
        planted: Feet that stand flat on the floor.
        resting: Cones that lie on the floor or the seat.
        seat_m: Height of the support of the hips.
    """

    sites: Int[Tensor, "pair contact 2"]
    touching: Float[Tensor, "frame pair contact"]
    planted: Float[Tensor, "frame pair 2 foot"]
    resting: Float[Tensor, "frame pair 2 cone"]
    seat_m: Float[Tensor, "frame pair 2"]

    def cut(self, frames: Int[Tensor, " chosen"]) -> "Constraints":
        """Return those of some frames."""
        return Constraints(
            self.sites,
            self.touching[frames],
            self.planted[frames],
            self.resting[frames],
            self.seat_m[frames],
        )


@dataclass(frozen=True, eq=False)
class Posed:
    """Posed proxies.

    Attributes:
        sites: Positions of all sites.
        ends: Ends of the cones.
        transforms: Frames of the joints.
    """

    sites: Float[Tensor, "frame pair 2 site 3"]
    ends: Float[Tensor, "frame pair 2 cone 2 3"]
    transforms: Float[Tensor, "frame pair 2 24 4 4"]


class PairBodies:
    """The bodies of many pairs, ready to be posed: sites, cones, rest pelvis."""

    def __init__(self, body: Body, betas: Float[Tensor, "pair 2 10"]) -> None:
        """Fit the proxies."""
        self.sites = Sites.create(body)
        self.betas = betas
        self.cones: Cones = ConeFitter(body).fit(betas)
        rest = body.rest(betas)
        self.rest_joints = rest.joints
        self.sole_height = rest.vertices[..., 1].amin(-1)
        self._site_body = body.subset(self.sites.vertex)
        self._self_pairs = torch.tensor(_self_pairs()).T

    def pose(
        self,
        rotations: Float[Tensor, "frame pair 2 24 3 3"],
        pelvis: Float[Tensor, "frame pair 2 3"],
    ) -> Posed:
        """Pose sites and cones."""
        posed = self._site_body.pose(rotations, self.betas, pelvis - self.rest_joints[..., 0, :])
        return Posed(
            sites=posed.vertices,
            ends=self.cones.world_ends(posed.transforms),
            transforms=posed.transforms,
        )

    def bottoms(self, posed: Posed) -> Float[Tensor, "frame pair 2 cone 2"]:
        """Return the lowest height of both ends of every cone."""
        return posed.ends[..., 1] - self.cones.radius

    def contact_gaps(
        self, posed: Posed, sites: Int[Tensor, "pair contact 2"]
    ) -> tuple[Float[Tensor, "frame pair contact"], Float[Tensor, "frame pair contact"]]:
        """Return the distance of the two sites of each contact and the cosine of their normals."""
        places, normals = [], []
        pair = torch.arange(sites.shape[0])[:, None]
        for person in (0, 1):
            site = sites[..., person]
            places.append(posed.sites[:, pair, person, site])
            turned = posed.transforms[:, pair, person, self.sites.joint[site], :3, :3]
            normals.append((turned @ self.sites.normal[site][..., None])[..., 0])
        gap = ((places[0] - places[1]).square().sum(-1) + 1e-8).sqrt()
        return gap, (normals[0] * normals[1]).sum(-1)

    def contact_loss(self, posed: Posed, constraints: Constraints) -> Float[Tensor, ""]:
        """Sites that should touch are together and face each other."""
        gap, cosine = self.contact_gaps(posed, constraints.sites)
        apart = torch.relu(gap - TOUCH_M) / CONTACT_SIGMA_M
        # Far away the force is constant: with a square it would drag the whole body along.
        pull = torch.where(apart < 10.0, 0.5 * apart.square(), 10.0 * apart - 50.0)
        facing = FACING_WEIGHT * torch.relu(0.5 + cosine)
        return (constraints.touching * (pull + facing)).sum()

    def overlap_loss(self, posed: Posed) -> Float[Tensor, ""]:
        """The two people do not enter each other."""
        frames = posed.ends.shape[0]
        ends = posed.ends.flatten(0, 1)
        radius = self.cones.radius.expand(frames, -1, -1, -1, -1).flatten(0, 1)
        with torch.no_grad():
            first, second = ends[:, 0, :, None], ends[:, 1, None, :]
            near = _near(first, radius[:, 0, :, None], second, radius[:, 1, None, :])
            which, one, other = torch.nonzero(near, as_tuple=True)
        depth = overlap(
            ends[which, 0, one],
            radius[which, 0, one],
            ends[which, 1, other],
            radius[which, 1, other],
        )
        return (torch.relu(depth) / OVERLAP_SIGMA_M).square().sum()

    def self_overlap_loss(self, posed: Posed) -> Float[Tensor, ""]:
        """Arms and legs do not enter the person's own body."""
        frames = posed.ends.shape[0]
        ends = posed.ends.flatten(0, 2)
        radius = self.cones.radius.expand(frames, -1, -1, -1, -1).flatten(0, 2)
        one, other = self._self_pairs
        with torch.no_grad():
            near = _near(ends[:, one], radius[:, one], ends[:, other], radius[:, other])
            which, pair = torch.nonzero(near, as_tuple=True)
        one, other = one[pair], other[pair]
        depth = overlap(
            ends[which, one], radius[which, one], ends[which, other], radius[which, other]
        )
        return (torch.relu(depth) / SELF_SIGMA_M).square().sum()

    def floor_loss(self, posed: Posed, constraints: Constraints) -> Float[Tensor, ""]:
        """Nothing is below the floor, and what should rest on it or on the seat does."""
        bottoms = self.bottoms(posed)
        below = (torch.relu(-bottoms) / FLOOR_SIGMA_M).square().sum()
        height = torch.nn.functional.one_hot(torch.tensor(HIPS), bottoms.shape[-2])
        height = constraints.seat_m[..., None] * height
        resting = (bottoms.amin(-1) - height) / SUPPORT_SIGMA_M
        return below + (constraints.resting * resting.square()).sum()

    def standing_loss(self, posed: Posed, constraints: Constraints) -> Float[Tensor, ""]:
        """Planted feet are on the floor and flat."""
        soles = self.bottoms(posed)[..., FEET, :] / FLOOR_SIGMA_M
        up = posed.transforms[..., ANKLES, 1, :3]
        tilt = up[..., (0, 2)] / FLAT_SIGMA
        return (constraints.planted[..., None] * (soles.square() + tilt.square())).sum()


def _near(
    first: Float[Tensor, "*#pair 2 3"],
    first_radius: Float[Tensor, "*#pair 2"],
    second: Float[Tensor, "*#pair 2 3"],
    second_radius: Float[Tensor, "*#pair 2"],
) -> Bool[Tensor, "*pair"]:
    """Return which cones are less than `REACH_M` apart."""
    s, t = nearest_on_segments(first, second)
    place_first = first[..., 0, :] + s[..., None] * (first[..., 1, :] - first[..., 0, :])
    place_second = second[..., 0, :] + t[..., None] * (second[..., 1, :] - second[..., 0, :])
    squared = (place_first - place_second).square().sum(-1)
    radii = first_radius.amax(-1) + second_radius.amax(-1) + REACH_M
    near: Tensor = squared < radii.square()
    return near
