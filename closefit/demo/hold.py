"""The dance hold of the demo: arm poses in which four hands touch the other body and none enters.

Two people stand face to face in the pair's own frame: y up, floor at y = 0, person 0 at negative
x looking along +x, person 1 opposite. Person 0's left and person 1's right hand meet palm to palm;
person 0's right hand lies on the partner's shoulder blade, person 1's left on the partner's arm.
"""

import math
from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body, RestBody
from closefit.body.skeleton import JOINT_INDEX, PART_NAMES
from closefit.geometry.rotations import about

STEPS = 160
LEARNING_RATE = 0.04
PELVIS_DISTANCE_M = 0.50
LEAN_RAD = 0.04
TOUCH_M = 0.004
"""Distance that touching skins keep."""
TOUCH_SIGMA_M = 0.01
OPPOSITE_WEIGHT = 15.0
PLAUSIBLE_WEIGHT = 0.6
CLEARANCE_M = 0.002
"""Arms stay this far above the skin they touch."""
CLEARANCE_SIGMA_M = 0.003
MAX_ARM_VERTICES, MAX_SKIN_FACES = 500, 2000
"""Hands are finely meshed: every so many-th vertex is enough."""
REGION_M = 0.20
"""Size of the skin around a touch that the touching arm must not enter."""
JOINED_HANDS_M = (0.0, 1.27, -0.50)
"""Target of the joined hands in the pair's frame."""
JOINED_SIGMA_M = 0.05
UPRIGHT_WEIGHT = 5.0
"""Fingers of the joined hands point up."""

FREE_JOINTS = tuple(
    JOINT_INDEX[f"{side}_{name}"]
    for side in ("left", "right")
    for name in ("collar", "shoulder", "elbow", "wrist")
)
HEADINGS_RAD = (math.pi / 2, -math.pi / 2)


@dataclass(frozen=True, eq=False)
class Hold:
    """Both people's local rotations in the hold; joint 0 maps the body to the pair's frame."""

    rotations: Float[Tensor, "2 24 3 3"]
    pelvis: Float[Tensor, "2 3"]


def solve_hold(body: Body, betas: Float[Tensor, "2 10"]) -> Hold:
    """Find arm poses that make the four hands touch without entering the other body."""
    rest = body.rest(betas)
    pelvis = _standing(rest)
    transl = pelvis - rest.joints[:, 0]
    limits = JointLimits.create("cpu", torch.float32)
    start = _raised_arms(limits)
    mean = body.rest(torch.zeros(10))
    touches = [_Touch.create(body, mean, *places) for places in _touch_places(mean)]
    turn = torch.zeros(2, len(FREE_JOINTS), 3, requires_grad=True)
    optimizer = torch.optim.Adam([turn], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, 0.1 * LEARNING_RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        rotations = _turned(start, turn)
        posed = body.pose(rotations, betas, transl)
        loss = (
            sum(touch.loss(posed.vertices, body.faces) for touch in touches)
            + _joined_hands_loss(posed.joints)
            + PLAUSIBLE_WEIGHT * limits.energy(rotations).sum()
        )
        loss.backward()
        optimizer.step()
        schedule.step()
    return Hold(rotations=_turned(start, turn).detach(), pelvis=pelvis)


def _raised_arms(limits: JointLimits) -> Float[Tensor, "2 24 3 3"]:
    """Relaxed people face to face who show each other one palm: person 0 the left one."""
    start = limits.relaxed.repeat(2, 1, 1, 1)
    start[:, 0] = about(1, torch.tensor(HEADINGS_RAD)) @ about(0, torch.full((2,), LEAN_RAD))
    # The upper arm hangs a little below the T-pose and is twisted until the bent forearm points up.
    lower, twist, bend = 0.4, -1.2, 1.2
    for person, (side, sign) in enumerate((("left", 1.0), ("right", -1.0))):
        vectors = torch.tensor(
            [[0.0, 0.0, -sign * lower], [twist, 0.0, 0.0], [0.0, -sign * bend, 0.0]]
        )
        lowered, twisted, bent = roma.rotvec_to_rotmat(vectors)
        start[person, JOINT_INDEX[f"{side}_shoulder"]] = lowered @ twisted
        start[person, JOINT_INDEX[f"{side}_elbow"]] = bent
    return start


def _turned(
    start: Float[Tensor, "2 24 3 3"], turn: Float[Tensor, "2 free 3"]
) -> Float[Tensor, "2 24 3 3"]:
    """Turn the free joints by rotation vectors."""
    rotations = start.clone()
    rotations[:, FREE_JOINTS] = start[:, FREE_JOINTS] @ roma.rotvec_to_rotmat(turn)
    return rotations


def _standing(rest: RestBody) -> Float[Tensor, "2 3"]:
    """Pelvis positions of two people who stand on the floor face to face."""
    height = rest.joints[:, 0, 1] - rest.vertices[..., 1].min(dim=1).values
    side = torch.tensor([-0.5, 0.5]) * PELVIS_DISTANCE_M
    return torch.stack([side, height, torch.zeros(2)], dim=-1)


@dataclass(frozen=True)
class _Place:
    """A place on the skin: the face of a body part around `near` that faces `facing` at rest."""

    person: int
    part: str
    near: Float[Tensor, "3"]
    facing: tuple[float, float, float]


def _touch_places(rest: RestBody) -> list[tuple[_Place, _Place]]:
    """Who touches whom where, the touching palm first; places on the mean body in T-pose."""

    def joint(name: str) -> Float[Tensor, "3"]:
        return rest.joints[JOINT_INDEX[name]]

    def palm(person: int, side: str) -> _Place:
        centre = 0.5 * (joint(f"{side}_wrist") + joint(f"{side}_hand"))
        return _Place(person, f"{side} hand", centre, (0.0, -1.0, 0.0))

    blade = joint("left_shoulder") * torch.tensor([0.75, 1.0, 1.0]) - torch.tensor([0.0, 0.12, 0.0])
    upper_arm = torch.lerp(joint("right_shoulder"), joint("right_elbow"), 0.4)
    return [
        (palm(0, "left"), palm(1, "right")),
        (palm(1, "right"), palm(0, "left")),
        (palm(0, "right"), _Place(1, "torso", blade, (0.0, 0.0, -1.0))),
        (palm(1, "left"), _Place(0, "right upper arm", upper_arm, (0.0, 1.0, 0.0))),
    ]


@dataclass(frozen=True, eq=False)
class _Touch:
    """A palm on skin.

    Attributes:
        people: Who touches, who is touched.
        sites: The face of each that meets the other's.
        arm: Vertices of the touching hand and forearm.
        skin: Faces around the touched place.
    """

    people: tuple[int, int]
    sites: tuple[int, int]
    arm: Int[Tensor, " vertex"]
    skin: Int[Tensor, " face"]

    @classmethod
    def create(cls, body: Body, rest: RestBody, palm: _Place, touched: _Place) -> "_Touch":
        """Find faces and vertices on a rest body."""
        sites = (_face_near(body, rest, palm), _face_near(body, rest, touched))
        forearm = palm.part.replace("hand", "forearm")
        parts = torch.tensor([PART_NAMES.index(palm.part), PART_NAMES.index(forearm)])
        arm = torch.isin(body.vertex_parts(), parts).nonzero()[:, 0]
        centre, _ = _faces(rest.vertices, body.faces)
        skin = ((centre - centre[sites[1]]).norm(dim=-1) < REGION_M).nonzero()[:, 0]
        return cls(
            people=(palm.person, touched.person),
            sites=sites,
            arm=arm[:: 1 + len(arm) // MAX_ARM_VERTICES],
            skin=skin[:: 1 + len(skin) // MAX_SKIN_FACES],
        )

    def loss(
        self, vertices: Float[Tensor, "2 vertex 3"], faces: Int[Tensor, "face 3"]
    ) -> Float[Tensor, ""]:
        """The two sites meet and look at each other; the arm stays outside the skin."""
        first, second = vertices[list(self.people)]
        palm, palm_normal = _faces(first, faces[self.sites[0]])
        place, place_normal = _faces(second, faces[self.sites[1]])
        apart = (place + TOUCH_M * place_normal - palm) / TOUCH_SIGMA_M
        opposite = 1.0 + (palm_normal * place_normal).sum()
        centre, normal = _faces(second, faces[self.skin])
        arm = first[self.arm]
        nearest = torch.cdist(arm.detach(), centre.detach()).argmin(dim=1)
        height = ((arm - centre[nearest]) * normal[nearest]).sum(dim=-1)
        # A vertex far behind the skin belongs to the other side of the body and is not in it.
        near = (arm - centre[nearest]).detach().norm(dim=-1) < 0.1
        sunk = torch.relu(CLEARANCE_M - height) / CLEARANCE_SIGMA_M * near
        loss: Tensor = apart.square().sum() + OPPOSITE_WEIGHT * opposite + sunk.square().sum()
        return loss


def _face_near(body: Body, rest: RestBody, place: _Place) -> int:
    """Face of the place's body part, nearest to the line through `near` along `facing`."""
    direction = torch.tensor(place.facing)
    centre, normal = _faces(rest.vertices, body.faces)
    offset = centre - place.near
    offset = offset - (offset @ direction)[:, None] * direction
    of_part = (body.vertex_parts()[body.faces] == PART_NAMES.index(place.part)).all(dim=1)
    usable = of_part & (normal @ direction > 0.8)
    return int(torch.where(usable, offset.norm(dim=1), torch.inf).argmin())


def _faces(
    vertices: Float[Tensor, "vertex 3"], faces: Int[Tensor, "*face 3"]
) -> tuple[Float[Tensor, "*face 3"], Float[Tensor, "*face 3"]]:
    """Centres and outward unit normals."""
    a, b, c = vertices[faces].unbind(dim=-2)
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
    return (a + b + c) / 3.0, normal


def _joined_hands_loss(joints: Float[Tensor, "2 24 3"]) -> Float[Tensor, ""]:
    """The joined hands are at shoulder height beside the pair, fingers up."""
    wrist = torch.stack(
        [joints[0, JOINT_INDEX["left_wrist"]], joints[1, JOINT_INDEX["right_wrist"]]]
    )
    hand = torch.stack([joints[0, JOINT_INDEX["left_hand"]], joints[1, JOINT_INDEX["right_hand"]]])
    place = hand.mean(dim=0) - torch.tensor(JOINED_HANDS_M)
    fingers = torch.nn.functional.normalize(hand - wrist, dim=-1)
    return (place / JOINED_SIGMA_M).square().sum() + UPRIGHT_WEIGHT * (1.0 - fingers[:, 1]).sum()
