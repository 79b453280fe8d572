"""Sampling of two people and of their actions over time, as arrays of one size for a batch."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from closefit.body.model import Body
from closefit.body.stature import Stature
from closefit.learning.choreography.angles import angle_row, rotations_from_angles
from closefit.learning.choreography.authored import POSES, SCENES, Moment, Pose, Scene
from closefit.learning.choreography.capsules import NAMES
from closefit.learning.choreography.objective import Constraints
from closefit.learning.choreography.sites import SITE_INDEX

FPS = 30.0
MEAN_STATURE_M = 1.7
SHORTEST_M, TALLEST_M = 1.2, 2.0
SHAPE_SPREAD = 0.8
"""Standard deviation of the shape coefficients that do not make the stature."""
FASTEST_M_S = 1.5
"""Average speed at which people come and go, at most."""
FASTEST_TURN_DEG_S = 120.0
MAX_MOMENTS = 8
MAX_CONTACTS = 20
PAIR_FIRST = ("betas", "sites", "turn_rad_s", "walk_m_s", "lively", "cycle_s")
"""Fields whose first axis is the pair; in the others it is the moment or the frame."""


@dataclass(frozen=True, eq=False)
class Scripts:
    """A batch of sampled scenes.

    Attributes:
        names: Kind of each pair.
        betas: Shapes.
        rotations: Authored local rotations at each moment; joint 0 is without heading.
        place: Pelvis in the pair's frame at each moment: left, ahead (metres).
        heading: In the pair's frame, radians.
        up: Height of the second pelvis above the first where the second floats.
        floating, stiff: As in `authored.Pose`.
        constraints: What the scene requires at each moment.
        before, after: Moments that each frame lies between.
        progress: How far it is from one to the other, 0 in a hold.
        turn_rad_s, walk_m_s, lively, cycle_s: How the pair moves.
        seeds: For the pair's small variation.
        swap, mirror: Whether people change places in the output, and left and right.
    """

    names: tuple[str, ...]
    betas: Float[Tensor, "pair 2 10"]
    rotations: Float[Tensor, "moment pair 2 24 3 3"]
    place: Float[Tensor, "moment pair 2 2"]
    heading: Float[Tensor, "moment pair 2"]
    up: Float[Tensor, "moment pair"]
    floating: Bool[Tensor, "moment pair 2"]
    stiff: Float[Tensor, "moment pair 2"]
    constraints: Constraints
    before: Int[Tensor, "frame pair"]
    after: Int[Tensor, "frame pair"]
    progress: Float[Tensor, "frame pair"]
    turn_rad_s: Float[Tensor, " pair"]
    walk_m_s: Float[Tensor, " pair"]
    lively: Float[Tensor, " pair"]
    cycle_s: Float[Tensor, " pair"]
    seeds: tuple[int, ...]
    swap: tuple[bool, ...]
    mirror: tuple[bool, ...]


def sample_scripts(
    body: Body, frames: int, seed: int, indices: Sequence[int], kinds: Sequence[str]
) -> Scripts:
    """Sample the scenes with these indices of a seed; each depends on its own index only."""
    stature = _StatureTable(body)
    drawn = [
        _draw(stature, frames, np.random.default_rng([seed, index]), kinds) for index in indices
    ]

    def stacked(name: str) -> Any:
        values = [one[name] for one in drawn]
        if not isinstance(values[0], np.ndarray):
            return tuple(values)
        arrays = np.stack(values, axis=0 if name in PAIR_FIRST else 1)
        kind = torch.get_default_dtype() if arrays.dtype.kind == "f" else None
        return torch.as_tensor(arrays, dtype=kind)

    columns = {name: stacked(name) for name in drawn[0]}
    required = {field.name: columns.pop(field.name) for field in dataclasses.fields(Constraints)}
    rotations = rotations_from_angles(columns.pop("angles"))
    return Scripts(rotations=rotations, constraints=Constraints(**required), **columns)


class _StatureTable:
    """Stature as a linear function of shape, and shapes of a wanted stature."""

    def __init__(self, body: Body) -> None:
        measure = Stature(body)
        heights = measure(torch.cat([torch.zeros(1, 10), torch.eye(10)])).double().numpy()
        self._base = float(heights[0])
        self._slope = heights[1:] - heights[0]

    def betas(self, stature_m: float, rng: np.random.Generator) -> Float[np.ndarray, "10"]:
        """Draw a shape; its first coefficient, which is size, makes the stature."""
        betas: np.ndarray = SHAPE_SPREAD * rng.standard_normal(10)
        rest = self._base + float(self._slope[1:] @ betas[1:])
        betas[0] = (stature_m - rest) / self._slope[0]
        return betas


def _draw(
    stature: _StatureTable, frames: int, rng: np.random.Generator, kinds: Sequence[str]
) -> dict[str, Any]:
    """Sample one scene: fields of `Scripts` and `Constraints`, padded to one size."""
    name = kinds[int(rng.integers(len(kinds)))]
    scenes = SCENES[name]
    scene = scenes[int(rng.integers(len(scenes)))]
    heights = _statures(scene, rng)
    # A single moment is repeated and varied, so that people do not freeze.
    moments = scene.moments if len(scene.moments) > 1 else scene.moments * 3
    scale = float(heights.mean()) / MEAN_STATURE_M
    place, heading = _places(moments, scale, rng)
    reach = [_reach_s(moments, place, heading, index, rng) for index in range(len(moments))]
    before, after, progress = _timeline(moments, reach, frames, rng)
    sites, touching = _contacts(moments)
    poses = [[POSES[name] for name in moment.poses] for moment in moments]

    def padded(values: np.ndarray) -> np.ndarray:
        filling = np.repeat(values[-1:], MAX_MOMENTS - len(values), axis=0)
        return np.concatenate([values, filling])

    def of_poses(field: str) -> np.ndarray:
        return padded(np.array([[getattr(pose, field) for pose in pair] for pair in poses]))

    planted = [[[side in pose.planted for side in ("left", "right")] for pose in pair]
               for pair in poses]  # fmt: skip
    return dict(
        names=name,
        betas=np.stack([stature.betas(float(height), rng) for height in heights]),
        angles=padded(_angles(moments, rng)),
        place=padded(place),
        heading=padded(heading),
        up=padded(scale * np.array([moment.up_m for moment in moments])),
        planted=padded(np.array(planted, dtype=float)),
        floating=of_poses("floating"),
        resting=padded(np.array([[_resting(pose) for pose in pair] for pair in poses])),
        seat_m=of_poses("seat_m").astype(float) * float(heights.min()) / MEAN_STATURE_M,
        stiff=of_poses("stiff").astype(float),
        sites=sites,
        touching=padded(touching),
        before=before,
        after=after,
        progress=progress,
        turn_rad_s=np.array(np.deg2rad(scene.turn_deg_s) * rng.uniform(-1.0, 1.0)),
        walk_m_s=np.array(scene.walk_m_s * rng.uniform(0.0, 1.0)),
        cycle_s=np.array(rng.uniform(*scene.cycle_s)),
        lively=np.array(scene.lively * rng.uniform(0.5, 1.5)),
        seeds=int(rng.integers(2**31)),
        swap=bool(rng.integers(2)),
        mirror=bool(rng.integers(2)),
    )


def _resting(pose: Pose) -> Float[np.ndarray, " cone"]:
    """Return 1 for the cones that lie on the floor or the seat."""
    named = [*pose.rests_on, *(["hips"] if pose.seat_m else [])]
    return np.array([any(cone.endswith(name) for name in named) for cone in NAMES], dtype=float)


def _statures(scene: Scene, rng: np.random.Generator) -> Float[np.ndarray, "2"]:
    """Draw both statures within the scene's bounds."""
    ratio = rng.uniform(*scene.ratio)
    low, high = scene.stature_m
    # The shorter one must not be shorter than the body can be.
    least = max(low, SHORTEST_M * max(ratio, 1.0 / ratio))
    tall = rng.uniform(min(least, high), high)
    first = tall if ratio <= 1.0 else tall / ratio
    both: np.ndarray = np.clip([first, first * ratio], SHORTEST_M, TALLEST_M)
    return both


def _angles(
    moments: tuple[Moment, ...], rng: np.random.Generator
) -> Float[np.ndarray, "moment 2 angle"]:
    """Draw joint angles: a person varies all poses of the scene alike, and each a little."""
    rows = np.array(
        [[angle_row(POSES[name].angles) for name in moment.poses] for moment in moments]
    )
    jitter = np.array([[POSES[name].jitter_deg for name in moment.poses] for moment in moments])
    habit = rng.standard_normal(rows.shape[1:])
    noise = 0.9 * habit + 0.5 * rng.standard_normal(rows.shape)
    # The heading has its own jitter.
    noise[..., :3] *= 0.5
    drawn: Float[np.ndarray, "moment 2 angle"] = rows + jitter[..., None] * noise
    return drawn


def _places(
    moments: tuple[Moment, ...], scale: float, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "moment 2 2"], Float[np.ndarray, "moment 2"]]:
    """Draw where both stand, and headings."""
    ahead = np.array([[moment.left_m, moment.ahead_m] for moment in moments])
    free = np.array([not moment.contacts for moment in moments])
    stretch = np.where(free, rng.uniform(0.85, 1.35), 1.0)
    relative = scale * ahead * stretch[:, None]
    relative += np.where(free, 0.08, 0.02)[:, None] * rng.standard_normal((len(moments), 2))
    spread = np.where(free, 12.0, 5.0)
    second = np.array([moment.heading_deg for moment in moments])
    heading = np.stack(
        [
            spread * rng.standard_normal(len(moments)) * 0.6,
            second + spread * rng.standard_normal(len(moments)),
        ],
        axis=1,
    )
    touching = relative[~free] if (~free).any() else relative
    nearest = np.stack(
        [touching[np.argmin(np.linalg.norm(touching - row, axis=1))] for row in relative]
    )
    # Either may do the walking.
    first = -rng.uniform(0.0, 1.0) * (relative - nearest)
    return np.stack([first, first + relative], axis=1), np.deg2rad(heading)


def _reach_s(
    moments: tuple[Moment, ...],
    place: Float[np.ndarray, "moment 2 2"],
    heading: Float[np.ndarray, "moment 2"],
    index: int,
    rng: np.random.Generator,
) -> float:
    """Draw the time from the moment before, long enough for the way."""
    way = np.linalg.norm(place[index] - place[index - 1], axis=-1).max()
    turn = np.abs(np.rad2deg(heading[index] - heading[index - 1])).max()
    least = max(way / (0.55 * FASTEST_M_S), turn / FASTEST_TURN_DEG_S)
    return max(float(rng.uniform(*moments[index].reach_s)), float(least))


def _timeline(
    moments: tuple[Moment, ...], reach: list[float], frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay the moments out in time, from a random place in the scene on."""
    duration = frames / FPS
    count = len(moments)
    starts: list[float] = []
    ends: list[float] = []
    order: list[int] = []
    time, index = 0.0, 0
    lap = sum(reach) + sum(moment.hold_s[0] for moment in moments)
    offset = rng.uniform(0.0, lap) if lap > 0 else 0.0
    while not ends or ends[-1] < offset + duration or len(order) < 2:
        which = index % count
        if index:
            time += reach[which]
        starts.append(time)
        time += float(rng.uniform(*moments[which].hold_s)) if count > 1 else duration + offset + 1
        ends.append(time)
        order.append(which)
        index += 1
    at = offset + np.arange(frames) / FPS
    position = np.clip(np.searchsorted(starts, at, side="right") - 1, 0, len(order) - 1)
    following = np.minimum(position + 1, len(order) - 1)
    start, end = np.array(starts), np.array(ends)
    gap = np.maximum(start[following] - end[position], 1e-6)
    progress = np.clip((at - end[position]) / gap, 0.0, 1.0)
    progress = np.where(following == position, 0.0, progress)
    steps = np.array(order)
    return steps[position], steps[following], progress


def _contacts(moments: tuple[Moment, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return all contacts of a scene and which of them hold at which moment."""
    pairs = list(dict.fromkeys(pair for moment in moments for pair in moment.contacts))
    sites = np.zeros((MAX_CONTACTS, 2), np.int64)
    touching = np.zeros((len(moments), MAX_CONTACTS))
    for slot, pair in enumerate(pairs):
        sites[slot] = SITE_INDEX[pair[0]], SITE_INDEX[pair[1]]
        touching[:, slot] = [pair in moment.contacts for moment in moments]
    return sites, touching
