"""Pairs of single people: two who happen to stand, walk or dance near each other."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float

from closefit.body.model import Body
from closefit.errors import InputError
from closefit.learning.motions.editing import cut, join_people, resample
from closefit.learning.motions.floor import joints_in_world, world_pose
from closefit.records import PairMotion

DISTANCES_M = (0.4, 1.5)
"""Distance of the two pelvises in one random frame of the pair."""

PIECE_S = 5.0
"""Longest piece: people who walk are near each other only for so long."""

SHORTEST_PIECE_S = 1.0

CLEARANCE_M = 0.16
"""Joints of the two people stay this far apart: limbs are about as thick."""

TORSO_CLEARANCE_M = 0.26
"""The same for joints of the torso and the head."""

TORSO = (0, 1, 2, 3, 6, 9, 12, 13, 14, 15)

ATTEMPTS = 24
"""Random placements that are tried before a pair of pieces is dropped."""


def compose_pairs(
    singles: Sequence[PairMotion], seed: int, body: Body, *, fps: float = 30.0
) -> Iterator[PairMotion]:
    """Put each piece of each motion beside or in front of a piece of another one.

    Each person is turned about the vertical and moved on the floor, so that in one frame of the
    piece the two are `DISTANCES_M` apart; placements with gross overlap are rejected.

    Args:
        singles: Motions of one person each; at least one.
        seed: The same seed gives the same pairs.
        body: The body that the motions are for.
        fps: Frame rate of the pairs.

    Raises:
        InputError: A motion has two people, or all are too short.
    """
    for motion in singles:
        if motion.rotations.shape[1] != 1:
            raise InputError(
                f"`{motion.name}` has {motion.rotations.shape[1]} people, not one",
                hint="compose pairs only from motion of single people",
            )
    random = np.random.default_rng(seed)
    body = body.to(device="cpu", dtype=torch.float32)
    at_least = 2 if len(singles) == 1 else 1
    pieces = [piece for motion in singles for piece in _pieces(resample(motion, fps), at_least)]
    if singles and len(pieces) < 2:
        raise InputError(
            f"`{singles[0].name}` is too short to make pairs of",
            hint=f"give motion of at least {2 * SHORTEST_PIECE_S:g} s",
        )
    partners = random.permutation(len(pieces))
    for index, piece in enumerate(pieces):
        other = int(partners[index])
        if other == index:
            other = (index + 1) % len(pieces)
        pair = _placed(piece, pieces[other], body, random)
        if pair is not None:
            yield pair


def _pieces(motion: PairMotion, at_least: int) -> Iterator[PairMotion]:
    """Cut a motion into equal pieces of at most `PIECE_S`, so many where it is long enough."""
    frames, fps = len(motion.pelvis_m), float(motion.fps)
    if frames < SHORTEST_PIECE_S * fps:
        return
    most = int(frames / (SHORTEST_PIECE_S * fps))
    count = max(int(np.ceil(frames / (PIECE_S * fps))), min(at_least, most))
    edges = [frames * place // count for place in range(count + 1)]
    for start, stop in itertools.pairwise(edges):
        piece = cut(motion, start, stop)
        yield dataclasses.replace(piece, name=np.array(f"{motion.name}@{start / fps:.1f}s"))


def _placed(
    first: PairMotion, second: PairMotion, body: Body, random: np.random.Generator
) -> PairMotion | None:
    """Try placements until one has no gross overlap."""
    pair = join_people(first, second)
    joints = joints_in_world(world_pose(pair), body).numpy()
    frames = len(pair.pelvis_m)
    for _ in range(ATTEMPTS):
        moment = random.integers(frames)
        yaw = random.uniform(-np.pi, np.pi, size=2)
        turns = _yaw_matrices(yaw)
        side = random.uniform(-np.pi, np.pi)
        # Squared: near places are tried more often, as overlap rules out more of them.
        distance = DISTANCES_M[0] + (DISTANCES_M[1] - DISTANCES_M[0]) * random.random() ** 2
        apart = distance * np.array([np.sin(side), 0.0, np.cos(side)])
        middle = pair.pelvis_m[moment] * np.array([1.0, 0.0, 1.0])
        target = np.stack([-0.5 * apart, 0.5 * apart])
        shift = target - np.einsum("pij,pj->pi", turns, middle)
        moved = np.einsum("pij,fpkj->fpki", turns, joints) + shift[:, None]
        if not _overlap(moved):
            return _moved(pair, turns, shift)
    return None


def _overlap(joints: Float[np.ndarray, "frame 2 24 3"]) -> bool:
    gaps = np.linalg.norm(joints[:, 0, :, None] - joints[:, 1, None], axis=-1)
    torso = gaps[:, TORSO][:, :, TORSO]
    return bool(gaps.min() < CLEARANCE_M or torso.min() < TORSO_CLEARANCE_M)


def _moved(
    pair: PairMotion, turns: Float[np.ndarray, "2 3 3"], shift: Float[np.ndarray, "2 3"]
) -> PairMotion:
    rotations = pair.rotations.copy()
    rotations[:, :, 0] = turns.astype(np.float32) @ rotations[:, :, 0]
    pelvis = np.einsum("pij,fpj->fpi", turns, pair.pelvis_m) + shift
    return dataclasses.replace(pair, rotations=rotations, pelvis_m=pelvis.astype(np.float32))


def _yaw_matrices(angles: Float[np.ndarray, " person"]) -> Float[np.ndarray, "person 3 3"]:
    c, s, zero = np.cos(angles), np.sin(angles), np.zeros_like(angles)
    rows = [[c, zero, s], [zero, zero + 1.0, zero], [-s, zero, c]]
    return np.moveaxis(np.array(rows), -1, 0)
