"""In which order frames are visited: the whole plan of an optimisation, fixed by a seed."""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

REACH = 2
"""Frames beyond a stretch's borders that its motion terms take in: accelerations across a border
then count in the stretches on both sides, which keeps the motion from breaking there."""

Phase = Literal["appearance", "joint"]


@dataclass(frozen=True)
class Visit:
    """One step: a stretch of neighbouring frames, some of which are rendered.

    Attributes:
        phase: `appearance` learns looks with the motion frozen; `joint` moves both.
        start: First frame of the stretch.
        stop: One past its last frame.
        rendered: Frames to render, counted from `start`.
        progress: Share of the plan that lies before this step, 0 to 1.
    """

    phase: Phase
    start: int
    stop: int
    rendered: tuple[int, ...]
    progress: float


def plan_visits(
    overlap: Float[np.ndarray, " frame"],
    *,
    warmup_passes: int,
    passes: int,
    window: int,
    per_step: int,
    seed: int,
) -> list[Visit]:
    """Plan every step: each pass renders every frame once, in stretches of at most `window`.

    A step costs the same for a short clip and a long one, and stretches start elsewhere in every
    pass, so that a long clip has no seams. The first half of the warm-up sees only frames in which
    people overlap little: looks are learned where it is clear who is who.

    Args:
        overlap: How much the two people overlap in each frame, for example the IoU of boxes.
        warmup_passes: Passes that learn appearance only.
        passes: Passes that follow.
        window: Largest number of frames in a step's motion terms.
        per_step: Number of frames rendered in a step.
        seed: Seed of the order.
    """
    random = np.random.default_rng(seed)
    num_frames = len(overlap)
    clear = overlap <= np.median(overlap)
    steps: list[tuple[Phase, int, int, tuple[int, ...]]] = []
    for number in range(warmup_passes + passes):
        phase: Phase = "appearance" if number < warmup_passes else "joint"
        only_clear = number < (warmup_passes + 1) // 2
        for start, stop in _stretches(num_frames, window, random):
            frames = random.permutation(stop - start)
            if only_clear and clear[start:stop].any():
                frames = frames[clear[start + frames]]
            groups = -(-len(frames) // per_step)
            first, last = max(0, start - REACH), min(num_frames, stop + REACH)
            steps.extend(
                (phase, first, last, tuple(int(frame) + start - first for frame in sorted(group)))
                for group in np.array_split(frames, groups)
            )
    return [
        Visit(phase, start, stop, rendered, index / len(steps))
        for index, (phase, start, stop, rendered) in enumerate(steps)
    ]


def _stretches(num_frames: int, window: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """Cut the clip from a random offset; `REACH` included a stretch has `window` frames."""
    if num_frames <= window:
        return [(0, num_frames)]
    length = window - 2 * REACH
    cuts = list(range(int(random.integers(length // 2, length + 1)), num_frames, length))
    if num_frames - cuts[-1] < length // 4:
        cuts.pop()
    edges = [0, *cuts, num_frames]
    stretches = list(itertools.pairwise(edges))
    return [stretches[index] for index in random.permutation(len(stretches))]
