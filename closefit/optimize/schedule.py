"""The order in which frames are optimised: the whole plan, fixed by a seed."""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

MARGIN = 2
"""Frames beyond a window's borders that its motion terms include. Accelerations across a border
then count in the windows on both sides, so that no seam appears there."""

Phase = Literal["appearance", "joint"]


@dataclass(frozen=True)
class Minibatch:
    """One step: a window of neighbouring frames, some of which are rendered.

    Attributes:
        phase: `appearance` learns the appearance with frozen motion; `joint` moves both.
        start: First frame of the window.
        stop: One past its last frame.
        rendered: Frames to render, counted from `start`.
        progress: Share of the plan before this step, 0 to 1.
    """

    phase: Phase
    start: int
    stop: int
    rendered: tuple[int, ...]
    progress: float


def plan_minibatches(
    overlap: Float[np.ndarray, " frame"],
    *,
    warmup_passes: int,
    passes: int,
    window: int,
    per_step: int,
    seed: int,
) -> list[Minibatch]:
    """Plan every step: each pass renders every frame once, in windows of at most `window` frames.

    The cost of a step does not depend on the length of the clip. Windows start elsewhere in every
    pass, so that a long clip has no seams. The first half of the warm-up renders only frames in
    which the people overlap little and identities are clear.

    Args:
        overlap: Overlap of the two people in each frame, for example the IoU of their boxes.
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
        for start, stop in _windows(num_frames, window, random):
            frames = random.permutation(stop - start)
            if only_clear and clear[start:stop].any():
                frames = frames[clear[start + frames]]
            groups = -(-len(frames) // per_step)
            first, last = max(0, start - MARGIN), min(num_frames, stop + MARGIN)
            steps.extend(
                (phase, first, last, tuple(int(frame) + start - first for frame in sorted(group)))
                for group in np.array_split(frames, groups)
            )
    return [Minibatch(*step, progress=index / len(steps)) for index, step in enumerate(steps)]


def _windows(num_frames: int, window: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """Cut the clip from a random offset; with its margins a window has `window` frames."""
    if num_frames <= window:
        return [(0, num_frames)]
    length = window - 2 * MARGIN
    cuts = list(range(int(random.integers(length // 2, length + 1)), num_frames, length))
    if num_frames - cuts[-1] < length // 4:
        cuts.pop()
    windows = list(itertools.pairwise([0, *cuts, num_frames]))
    return [windows[index] for index in random.permutation(len(windows))]
