"""How probable it is that two body parts truly touch, and which contacts are therefore reported.

Poses are off by centimetres, so that parts may touch in them and not in truth. The probability is
a logistic function of how near the parts are around the frame, how deep they are inside each other,
how surely the poses are known, whether the parts move together, and whether they are hands. It says
how often such parts touch in the truth at most 2 frames away, at any distance that they are found
at. `benchmarks/contact_probability.py` fits and measures it.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from closefit.body.skeleton import PART_NAMES, PARTS
from closefit.exporters.contacts import NEAR_M, Contacts
from closefit.fit.confidence import CERTAIN_MM, WORTHLESS_MM

SCALE_M = 0.01
"""Distances far below it are alike; far above it, their ratio counts."""

HARMLESS_DEPTH_MM = 30.0
"""Less depth than this says nothing; more of it speaks against a contact."""

AROUND_FRAMES = 3
"""Frames before and after that count for what is averaged over time."""

STILL_M = 0.006
"""Steps per frame far below it are no motion that could agree."""

LEAST_PROBABILITY = 0.05
"""Touching parts that truly touch less often are not reported.

More likely than not would leave out most true contacts (docs/experiments.md).
"""

HANDS = np.array(["hand" in name for name in PART_NAMES])
PLACES = [joints[-1] for joints in PARTS.values()]
"""The joint whose motion is that of a part."""

PartPairs = Float[np.ndarray, "frame part part"]


@dataclass(frozen=True)
class Weights:
    """Log-odds for each unit of a feature of `evidence`, in its order, and of none."""

    distance: float
    depth: float
    error: float
    agreement: float
    hands: float
    intercept: float


WEIGHTS = Weights(
    distance=-0.724,
    depth=-0.343,
    error=-1.30,
    agreement=0.272,
    hands=1.35,
    intercept=-1.36,
)
"""Fitted by `benchmarks/contact_probability.py` to what real detectors found."""


def evidence(
    found: Contacts,
    joints: Float[np.ndarray, "frame 2 24 3"],
    confidence: Float[np.ndarray, "frame 2"],
) -> dict[str, PartPairs]:
    """Return what the probability depends on, by the names of `Weights`.

    Args:
        found: Contacts of the posed bodies.
        joints: Their joints, metres.
        confidence: Of the poses, 0 to 1.

    Returns:
        `distance`: logarithmic, 0 where the parts touch, mean over the frames around. `depth`
        beyond a harmless one, cm. `error`: to expect of both poses, 10 cm. `agreement` of the
        parts' motion. `hands`: how many of the two parts are hands.
    """
    near_m = np.minimum(found.near_m, NEAR_M).astype(np.float64)
    error_mm = WORTHLESS_MM - (WORTHLESS_MM - CERTAIN_MM) * confidence.astype(np.float64)
    hands = HANDS[:, None] + 1.0 * HANDS
    return {
        "distance": _around(np.log1p(near_m / SCALE_M)),
        "depth": np.maximum(found.depth_mm - HARMLESS_DEPTH_MM, 0.0) / 10.0,
        "error": np.broadcast_to((error_mm.mean(axis=1) / 100.0)[:, None, None], near_m.shape),
        "agreement": agreement(joints),
        "hands": np.broadcast_to(hands, near_m.shape),
    }


def agreement(joints: Float[np.ndarray, "frame 2 24 3"]) -> PartPairs:
    """How much alike parts of the two move around each frame: 1 for alike, 0 for one alone."""
    if len(joints) < 2:
        return np.ones((len(joints), len(PARTS), len(PARTS)))
    steps = np.gradient(joints[:, :, PLACES].astype(np.float64), axis=0)
    between = np.linalg.norm(steps[:, 0, :, None] - steps[:, 1, None], axis=-1)
    lengths = np.linalg.norm(steps, axis=-1)
    both = lengths[:, 0, :, None] + lengths[:, 1, None]
    shared: PartPairs = 1.0 - _around(between) / (_around(both) + STILL_M)
    return shared


def probability(evident: dict[str, PartPairs], weights: Weights = WEIGHTS) -> PartPairs:
    """Return the probability that parts truly touch at most 2 frames away."""
    log_odds = weights.intercept + sum(
        getattr(weights, name) * values for name, values in evident.items()
    )
    return np.asarray(expit(log_odds), np.float64)


def judged(
    found: Contacts,
    joints: Float[np.ndarray, "frame 2 24 3"],
    confidence: Float[np.ndarray, "frame 2"],
) -> Contacts:
    """Return the contacts that are to be reported, with their probability.

    Left out are improbable ones and implausible depths, which stay in `depth_mm`.

    Args:
        found: Contacts of the posed bodies.
        joints: Their joints, metres.
        confidence: Of the poses, 0 to 1.
    """
    sure = probability(evidence(found, joints, confidence))
    sure[found.implausible] = 0.0
    left_out = sure < LEAST_PROBABILITY
    return replace(
        found,
        distance_m=np.where(left_out, np.inf, found.distance_m),
        place_m=np.where(left_out[..., None], np.float32(np.nan), found.place_m),
        probability=sure,
    )


def _around(values: PartPairs) -> PartPairs:
    """Mean over the frames around each one; the first and last frame stand for what is beyond."""
    padded = np.pad(values, ((AROUND_FRAMES, AROUND_FRAMES), (0, 0), (0, 0)), mode="edge")
    window = np.lib.stride_tricks.sliding_window_view(padded, 2 * AROUND_FRAMES + 1, axis=0)
    mean: PartPairs = window.mean(axis=-1)
    return mean
