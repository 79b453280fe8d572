"""Which runs there are: an endless list, of which any beginning is balanced."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.quality.damage import KINDS
from benchmarks.quality.runs import DETECTORS, Spec

LONGER_SHARE = 0.15
QUICK_SHARE = 0.11
FRAMES, LONGER = 16, 24


@dataclass(frozen=True)
class Mix:
    """What runs are drawn from.

    Attributes:
        until: Number of the first run that the next mix holds for.
        undamaged: Share of runs without damage.
        detectors: Shares of `DETECTORS`.
        strengths: Of the damage.
        settings: Key of `SETTINGS` for all runs but those with `quick`.
    """

    until: float
    undamaged: float
    detectors: tuple[float, ...]
    strengths: tuple[float, ...]
    settings: str


MIXES = (
    Mix(52, 0.3, (0.42, 0.26, 0.32), (0.25, 0.5, 0.75, 1.0), "fast"),
    Mix(225, 0.45, (0.3, 0.25, 0.45), (0.1, 0.25, 0.5, 1.0), "fast"),
    Mix(227, 0.4, (0.3, 0.25, 0.45), (0.1, 0.25, 0.5, 1.0), "better"),
    Mix(math.inf, 0.3, (0.2, 0.2, 0.6), (0.1, 0.25, 0.5, 1.0), "better"),
)
"""Of the first 41 runs with a result only 9 were to be kept, and many more nearly were: since then
there is less damage, and later the first motion is as good as that of a whole run."""


def plan(clips: dict[str, int], count: int, seed: int = 0) -> Iterator[Spec]:
    """Yield runs; `clips` has the number of frames by name.

    Clips take turns, so that each has as many runs; the rest is drawn.
    """
    rng = np.random.default_rng(seed)
    turns = itertools.chain.from_iterable(rng.permutation(list(clips)) for _ in itertools.count())
    damaged = [kind for kind in KINDS if kind != "none"]
    for number, name in zip(range(count), turns, strict=False):
        mix = next(mix for mix in MIXES if number < mix.until)
        clip = str(name)
        frames = LONGER if rng.random() < LONGER_SHARE else FRAMES
        kind = "none" if rng.random() < mix.undamaged else str(rng.choice(damaged))
        strength = 0.0 if kind == "none" else float(rng.choice(mix.strengths))
        yield Spec(
            number=number,
            clip=clip,
            detector=str(rng.choice(DETECTORS, p=mix.detectors)),
            start=int(rng.integers(clips[clip] - frames + 1)),
            frames=frames,
            kind=kind,
            strength=strength,
            settings="quick" if rng.choice(2, p=(1.0 - QUICK_SHARE, QUICK_SHARE)) else mix.settings,
            check_order=kind != "depths exchanged" or bool(rng.random() < 0.3),
        )
