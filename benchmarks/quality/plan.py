"""Which runs there are: an endless list, of which any beginning is balanced."""

import itertools
from collections.abc import Iterator

import numpy as np

from benchmarks.quality.damage import KINDS
from benchmarks.quality.runs import DETECTORS, Spec

DETECTOR_SHARES = (0.42, 0.26, 0.32)
UNDAMAGED = 0.3
LONGER_SHARE = 0.15
SETTINGS_SHARES = {"fast": 0.89, "quick": 0.1, "draft": 0.01}
FRAMES, LONGER = 16, 24
STRENGTHS = (0.25, 0.5, 0.75, 1.0)


def plan(clips: dict[str, int], count: int, seed: int = 0) -> Iterator[Spec]:
    """Yield runs; `clips` has the number of frames by name.

    Clips take turns, so that each has as many runs; the rest is drawn.
    """
    rng = np.random.default_rng(seed)
    turns = itertools.chain.from_iterable(rng.permutation(list(clips)) for _ in itertools.count())
    damaged = [kind for kind in KINDS if kind != "none"]
    for number, name in zip(range(count), turns, strict=False):
        clip = str(name)
        frames = LONGER if rng.random() < LONGER_SHARE else FRAMES
        kind = "none" if rng.random() < UNDAMAGED else str(rng.choice(damaged))
        strength = 0.0 if kind == "none" else float(rng.choice(STRENGTHS))
        yield Spec(
            number=number,
            clip=clip,
            detector=str(rng.choice(DETECTORS, p=DETECTOR_SHARES)),
            start=int(rng.integers(clips[clip] - frames + 1)),
            frames=frames,
            kind=kind,
            strength=strength,
            settings=str(rng.choice(list(SETTINGS_SHARES), p=list(SETTINGS_SHARES.values()))),
            check_order=kind != "depths exchanged" or bool(rng.random() < 0.3),
        )
