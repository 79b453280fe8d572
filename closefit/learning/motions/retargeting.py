"""Retargeting motion of another skeleton to the body, by aligning the two rest poses.

World rotations relative to the rest pose are copied after the two rest poses are aligned. Limbs are
aligned along their bones. The pelvis, the spine, the head and the collars are upright in both rest
poses, and feet are flat: for these only the heading is aligned, because their joints sit in
different anatomical places and the direction from one to the next would tilt them.

Horizontal positions keep the source's scale, so that two people in one frame keep their distance;
heights are scaled by the ratio of leg lengths (`floor` then sets the soles on y = 0).
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.model import Body
from closefit.body.pose import local_rotations
from closefit.body.skeleton import JOINT_INDEX, PARENTS
from closefit.errors import InputError
from closefit.geometry.rotations import interpolate_rotations, rotation_between
from closefit.learning.motions.skeletons import Z_UP_TO_Y_UP, SourceMotion, match_layout
from closefit.records import PairMotion

GUESSED_UNITS_M = (1.0, 0.01, 0.001)
"""Metres, centimetres, millimetres: possible units of a file that does not state its unit."""

LEG_LENGTHS_M = (0.35, 1.2)
"""Hip to ankle of a small child and of a very tall adult, with some room."""

SIDES = ("left", "right")

STANDING_SHARE = 0.8
"""Least share of the vertical in the direction from the ankles to the neck of a rest pose."""

LEG_SHARE = 0.48
"""Leg length over stature."""

BONES = {
    JOINT_INDEX[f"{side}_{part}"]: JOINT_INDEX[f"{side}_{following}"]
    for side in SIDES
    for part, following in (
        ("hip", "knee"), ("knee", "ankle"), ("ankle", "foot"),
        ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "hand"),
    )
}  # fmt: skip
"""Joints whose part is laid along the source's bone, and the joint at the bone's other end."""

FLAT = frozenset(JOINT_INDEX[f"{side}_ankle"] for side in SIDES)
"""Feet: of these only the heading is aligned."""

HANDS = frozenset(JOINT_INDEX[f"{side}_hand"] for side in SIDES)
"""Fingers stay straight: files have a single finger, which does not determine the hand."""

TIPS = HANDS | {JOINT_INDEX[f"{side}_foot"] for side in SIDES}

SPINE = tuple(
    JOINT_INDEX[name] for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
)

SHAPE_TOLERANCE_M = 0.03
"""Error of a body length that weighs as much as one standard deviation of shape."""

SHAPE_ITERATIONS = 4


@dataclass(frozen=True, eq=False)
class _Figure:
    """The source in metres and in our joint order; joints that it lacks are NaN."""

    rest: Float[Tensor, "24 3"]
    rotations: Float[Tensor, "frame 24 3 3"]
    joints: Float[Tensor, "frame 24 3"]
    has: frozenset[int]


def retarget(source: SourceMotion, body: Body, unit_m: float | None = None) -> PairMotion:
    """Retarget one person's motion to `body`.

    Args:
        source: World y or z up, as the rest pose stands; in any unit.
        body: The free body or SMPL.
        unit_m: Metres per unit of the source; None: what the file or its kind implies, else
            metres, centimetres or millimetres, whichever makes a person.

    Returns:
        Motion of one person (axis of size 1) in metres at the source's frame rate; the shape is
        the most usual one that has about the source's leg, arm and torso lengths.

    Raises:
        InputError: The skeleton is of no known kind, or of no human size, or values are missing.
    """
    body = body.to(device="cpu", dtype=torch.float64)
    figure = _figure(source, unit_m)
    betas = fit_shape(body, body_lengths(figure.rest))
    rest = body.rest(betas)
    world = _copied_rotations(figure, rest.joints)
    pelvis = _placed_pelvis(figure, world[:, 0], rest.joints)
    return PairMotion(
        rotations=local_rotations(world)[:, None].float().numpy(),
        pelvis_m=pelvis[:, None].float().numpy(),
        betas=betas[None].float().numpy(),
        fps=np.array(source.fps),
        body_name=np.array(body.name),
        name=np.array(source.name),
    )


def body_lengths(joints: Float[Tensor, "joint 3"]) -> Float[Tensor, "3"]:
    """Length of a leg (hip to ankle), of an arm (shoulder to wrist) and of the torso (to the neck).

    Limbs are measured along their bones and averaged over both sides.
    """

    def chain(*parts: str) -> Tensor:
        sides = [[JOINT_INDEX[f"{side}_{part}"] for part in parts] for side in SIDES]
        bones = joints[torch.tensor(sides)].diff(dim=1)
        length: Tensor = torch.linalg.vector_norm(bones, dim=-1).sum(dim=1).mean()
        return length

    hips = joints[[JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]].mean(dim=0)
    torso = (joints[JOINT_INDEX["neck"]] - hips).norm()
    return torch.stack([chain("hip", "knee", "ankle"), chain("shoulder", "elbow", "wrist"), torso])


def fit_shape(body: Body, lengths: Float[Tensor, "3"]) -> Float[Tensor, "10"]:
    """Find the most usual shape that has about these `body_lengths`, by Gauss-Newton steps."""

    def measured(betas: Tensor) -> Tensor:
        return body_lengths(body.rest(betas).joints)

    betas = lengths.new_zeros(10)
    for _ in range(SHAPE_ITERATIONS):
        slope = torch.autograd.functional.jacobian(measured, betas) / SHAPE_TOLERANCE_M
        missing = (lengths - measured(betas)) / SHAPE_TOLERANCE_M + slope @ betas
        normal = slope.T @ slope + torch.eye(10, dtype=slope.dtype)
        betas = torch.linalg.solve(normal, slope.T @ missing)
    return betas


def _figure(source: SourceMotion, unit_m: float | None) -> _Figure:
    """Bring the source into our joint order and metres, and check it."""
    layout, found = match_layout(source.joint_names, source.origin)
    source = _with_y_up(source, source.rest_joints[found["neck"]] - _mid_ankles(source, found))
    has = {JOINT_INDEX[name]: index for name, index in found.items()}
    frames = len(source.joints)
    rest = torch.full((24, 3), torch.nan, dtype=torch.float64)
    joints = rest.repeat(frames, 1, 1)
    rotations = torch.full((frames, 24, 3, 3), torch.nan, dtype=torch.float64)
    ours, theirs = list(has), list(has.values())
    rest[ours] = torch.from_numpy(source.rest_joints[theirs])
    joints[:, ours] = torch.from_numpy(source.joints[:, theirs])
    rotations[:, ours] = torch.from_numpy(source.rotations_world[:, theirs])
    for values in (rest[ours], joints[:, ours], rotations[:, ours]):
        if not values.isfinite().all():
            raise InputError(
                f"`{source.origin}` holds values that are not numbers",
                hint="fill or cut the frames that are missing in the file",
            )
    leg = float(body_lengths(rest)[0])
    unit = unit_m or source.unit_m or layout.unit_m or guess_unit(leg)
    check_leg_length(leg * unit, source.origin)
    return _Figure(rest=rest * unit, rotations=rotations, joints=joints * unit, has=frozenset(has))


def _mid_ankles(source: SourceMotion, found: Mapping[str, int]) -> Float[np.ndarray, "3"]:
    """Point between the ankles of the rest pose."""
    middle: np.ndarray = source.rest_joints[[found[f"{side}_ankle"] for side in SIDES]].mean(axis=0)
    return middle


def _with_y_up(source: SourceMotion, upright: Float[np.ndarray, "3"]) -> SourceMotion:
    """Turn a file whose rest pose stands along z, as some programs write them.

    Raises:
        InputError: The rest pose does not stand.
    """
    share = upright / max(float(np.linalg.norm(upright)), 1e-12)
    if share[1] > STANDING_SHARE:
        return source
    if share[2] > STANDING_SHARE:
        return source.turned(Z_UP_TO_Y_UP)
    raise InputError(
        f"the rest pose of `{source.origin}` does not stand (ankles to neck: "
        f"{', '.join(f'{value:.3g}' for value in upright)})",
        hint="export the motion with a standing rest pose, arms stretched out or hanging",
    )


def guess_unit(leg_length: float) -> float:
    """Metres per unit that make a human leg; 1 where none of the usual units does."""
    low, high = LEG_LENGTHS_M
    fitting = (unit for unit in GUESSED_UNITS_M if low <= leg_length * unit <= high)
    return next(fitting, 1.0)


def check_leg_length(length_m: float, origin: str) -> None:
    """Refuse skeletons of no human size.

    Raises:
        InputError: The leg is too short or too long.
    """
    low, high = LEG_LENGTHS_M
    if not low <= length_m <= high:
        raise InputError(
            f"the person in `{origin}` is about {length_m / LEG_SHARE:.3g} m tall "
            f"(legs of {length_m:.3g} m)",
            hint="give the length of one unit of the file in metres with --unit",
        )


def _copied_rotations(
    figure: _Figure, rest: Float[Tensor, "24 3"]
) -> Float[Tensor, "frame 24 3 3"]:
    """World rotations of our parts."""
    facing = _facing(figure.rest)
    align = facing.repeat(24, 1, 1)
    for joint, following in BONES.items():
        if following not in figure.has:
            align[joint] = align[PARENTS[joint]]
            continue
        ours = facing @ (rest[following] - rest[joint])
        theirs = figure.rest[following] - figure.rest[joint]
        if joint in FLAT:
            ours, theirs = _level(ours), _level(theirs)
        align[joint] = rotation_between(ours, theirs) @ facing
    for joint in TIPS:
        align[joint] = align[PARENTS[joint]]
    world = figure.rotations @ align
    for joint in range(1, 24):
        if joint not in figure.has or joint in HANDS:
            world[:, joint] = world[:, PARENTS[joint]]
    return _with_whole_spine(world, figure.has)


def _with_whole_spine(
    world: Float[Tensor, "frame 24 3 3"], has: frozenset[int]
) -> Float[Tensor, "frame 24 3 3"]:
    """Interpolate the rotations of spine joints that the source lacks from their neighbours."""
    known = [place for place, joint in enumerate(SPINE) if joint in has]
    for low, high in itertools.pairwise(known):
        for place in range(low + 1, high):
            share = (place - low) / (high - low)
            start, end = world[:, SPINE[low]], world[:, SPINE[high]]
            world[:, SPINE[place]] = interpolate_rotations(start, end, start.new_tensor(share))
    return world


def _placed_pelvis(
    figure: _Figure, root: Float[Tensor, "frame 3 3"], rest: Float[Tensor, "24 3"]
) -> Float[Tensor, "frame 3"]:
    """Put the middle of our hips where the source's is, at a height for our legs."""
    hips = [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]
    place = figure.joints[:, hips].mean(dim=1)
    place[:, 1] *= body_lengths(rest)[0] / body_lengths(figure.rest)[0]
    return place - root @ (rest[hips].mean(dim=0) - rest[0])


def _facing(rest: Float[Tensor, "24 3"]) -> Float[Tensor, "3 3"]:
    """Turn about the vertical from our rest pose, which faces +z, to the way `rest` faces."""
    left = rest[JOINT_INDEX["left_hip"]] - rest[JOINT_INDEX["right_hip"]]
    x = torch.nn.functional.normalize(_level(left), dim=0)
    y = left.new_tensor([0.0, 1.0, 0.0])
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=1)


def _level(vector: Float[Tensor, "3"]) -> Float[Tensor, "3"]:
    """The part of a direction along the floor."""
    return vector * vector.new_tensor([1.0, 0.0, 1.0])
