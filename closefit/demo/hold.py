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

from closefit.body import Body, PosedBody, RestBody
from closefit.body.pose_prior import PosePrior
from closefit.body.skeleton import JOINT_INDEX, PART_NAMES
from closefit.demo.steps import pitch_matrix, yaw_matrix
from closefit.geometry.penetration import penetration_depth

STEPS = 160
LEARNING_RATE = 0.04
PELVIS_DISTANCE_M = 0.50
LEAN_RAD = 0.04
TOUCH_M = 0.004
"""Distance that touching skins keep."""
TOUCH_SIGMA_M = 0.01
OPPOSITE_WEIGHT = 15.0
PLAUSIBLE_WEIGHT = 0.6
DEPTH_SIGMA_M = 0.003
JOINED_HANDS_M = (0.0, 1.27, -0.50)
"""Where the joined hands are wanted in the pair's frame."""
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
    prior = PosePrior.create("cpu", torch.float32)
    start = _raised_arms(prior)
    touches = _touches(body, body.rest(torch.zeros(10)))
    turn = torch.zeros(2, len(FREE_JOINTS), 3, requires_grad=True)
    optimizer = torch.optim.Adam([turn], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, 0.1 * LEARNING_RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        rotations = _turned(start, turn)
        posed = body.pose(rotations, betas, transl)
        loss = (
            _touch_loss(posed, body, touches)
            + _joined_hands_loss(posed.joints)
            + _depth_loss(posed, body)
            + PLAUSIBLE_WEIGHT * prior.energy(rotations).sum()
        )
        loss.backward()
        optimizer.step()
        schedule.step()
    return Hold(rotations=_turned(start, turn).detach(), pelvis=pelvis)


def _raised_arms(prior: PosePrior) -> Float[Tensor, "2 24 3 3"]:
    """Relaxed people face to face who show each other one palm: person 0 the left one."""
    start = prior.relaxed.repeat(2, 1, 1, 1)
    start[:, 0] = yaw_matrix(torch.tensor(HEADINGS_RAD)) @ pitch_matrix(torch.full((2,), LEAN_RAD))
    # The upper arm hangs a little below the T-pose and is twisted until the bent forearm points up.
    lower, twist, bend = 0.4, -1.2, 1.2
    for person, (side, sign) in enumerate((("left", 1.0), ("right", -1.0))):
        vectors = torch.tensor([[0.0, 0.0, -sign * lower], [twist, 0.0, 0.0], [0.0, -sign * bend, 0.0]])
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


def _touches(body: Body, rest: RestBody) -> Int[Tensor, "touch 2"]:
    """Skin faces that meet, person 0's and person 1's, found on the mean rest body (a T-pose)."""

    def joint(name: str) -> Float[Tensor, "3"]:
        return rest.joints[JOINT_INDEX[name]]

    def palm(side: str) -> int:
        centre = 0.5 * (joint(f"{side}_wrist") + joint(f"{side}_hand"))
        return _face_near(body, rest, f"{side} hand", centre, (0.0, -1.0, 0.0))

    blade = torch.stack([0.75 * joint("left_shoulder")[0], joint("left_shoulder")[1] - 0.12, joint("spine3")[2]])
    upper_arm = torch.lerp(joint("right_shoulder"), joint("right_elbow"), 0.4)
    pairs = [
        (palm("left"), palm("right")),
        (palm("right"), _face_near(body, rest, "torso", blade, (0.0, 0.0, -1.0))),
        (_face_near(body, rest, "right upper arm", upper_arm, (0.0, 1.0, 0.0)), palm("left")),
    ]
    return torch.tensor(pairs)


def _face_near(
    body: Body,
    rest: RestBody,
    part: str,
    near: Float[Tensor, "3"],
    facing: tuple[float, float, float],
) -> int:
    """Face of a body part whose normal is about `facing`, nearest to the line through `near`."""
    direction = torch.tensor(facing)
    centre, normal = _faces(rest.vertices, body.faces)
    offset = centre - near
    offset = offset - (offset @ direction)[:, None] * direction
    of_part = (body.vertex_parts()[body.faces] == PART_NAMES.index(part)).all(dim=1)
    usable = of_part & (normal @ direction > 0.8)
    return int(torch.where(usable, offset.norm(dim=1), torch.inf).argmin())


def _faces(
    vertices: Float[Tensor, "*batch vertex 3"], faces: Int[Tensor, "face 3"]
) -> tuple[Float[Tensor, "*batch face 3"], Float[Tensor, "*batch face 3"]]:
    """Centres and outward unit normals."""
    a, b, c = vertices[..., faces, :].unbind(dim=-2)
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
    return (a + b + c) / 3.0, normal


def _touch_loss(
    posed: PosedBody, body: Body, touches: Int[Tensor, "touch 2"]
) -> Float[Tensor, ""]:
    """Touching faces lie `TOUCH_M` apart and look at each other."""
    first, first_normal = _faces(posed.vertices[0], body.faces[touches[:, 0]])
    second, second_normal = _faces(posed.vertices[1], body.faces[touches[:, 1]])
    apart = first + TOUCH_M * first_normal - second
    opposite = 1.0 + (first_normal * second_normal).sum(dim=-1)
    return (apart / TOUCH_SIGMA_M).square().sum() + OPPOSITE_WEIGHT * opposite.sum()


def _joined_hands_loss(joints: Float[Tensor, "2 24 3"]) -> Float[Tensor, ""]:
    """The joined hands are at shoulder height beside the pair, fingers up."""
    wrist = torch.stack([joints[0, JOINT_INDEX["left_wrist"]], joints[1, JOINT_INDEX["right_wrist"]]])
    hand = torch.stack([joints[0, JOINT_INDEX["left_hand"]], joints[1, JOINT_INDEX["right_hand"]]])
    place = hand.mean(dim=0) - torch.tensor(JOINED_HANDS_M)
    fingers = torch.nn.functional.normalize(hand - wrist, dim=-1)
    return (place / JOINED_SIGMA_M).square().sum() + UPRIGHT_WEIGHT * (1.0 - fingers[:, 1]).sum()


def _depth_loss(posed: PosedBody, body: Body) -> Float[Tensor, ""]:
    """Vertices inside the other body are drawn to the nearest point of its surface."""
    inside = penetration_depth(posed.vertices.detach(), posed.vertices.detach().flip(0), body.faces)
    out = torch.where(inside.depth[..., None] > 0, posed.vertices - inside.closest, 0.0)
    return (out / DEPTH_SIGMA_M).square().sum(dim=-1).mean() * 1000.0
