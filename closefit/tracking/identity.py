"""Finds the frames in which a detector exchanged two people, over the whole clip at once.

Each frame is either kept or exchanged. Where a person goes next is predicted from the last
`MEMORY` frames, so the state of the exact search (Viterbi) is kept/exchanged for each of those:
2^MEMORY states. What a choice costs: how far keypoints and box lie from the prediction, how
unusual the clothes' colours would be, and a price for every change between kept and exchanged.
The same sums, forwards and backwards, give the probability of each choice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import logsumexp

from closefit.tracking.mask_evidence import continued_iou, newest_iou
from closefit.tracking.people import PairDetections

MEMORY = 4
STATES = 2**MEMORY

CHANGE_COST = 3.0
"""Price of a change, as a negative log likelihood: about one frame in twenty."""

CORRELATION = 0.3
"""Keypoints err together, so each counts as this share of an independent witness."""

PREDICTION_NOISE = 0.03
"""Noise of a predicted keypoint without motion, in person heights."""

UNFORESEEN_SPEED = 0.6
"""Motion that no prediction knows of, in person heights per second."""

UNKNOWN_COST = float(np.log1p(3.0**2))
"""Cost of a keypoint where nothing can be predicted: as much as at three standard deviations."""

CLOTHES_CORRELATION = 0.25
"""Successive frames show much the same colours: each counts as this share of a witness."""

MAX_COLOUR_EVIDENCE = 0.5
"""Shadows mislead for many frames in a row, so one frame's colours never count for more."""

MASK_COST = 4.0
"""Cost of a mask that shares no pixel with the person's mask in the frame before.

Measured on real detections that were exchanged, lost and blurred: the more, up to this, the better,
and nothing is worse than without masks (benchmarks/mask_cue.py).
"""

FORGETTING_FRAMES = 5.0
"""After so many frames without anybody, a change costs half as much: trackers start anew."""

MAX_AHEAD_FRAMES = 3.0
"""A motion is extrapolated over so many frames at most."""

FORBIDDEN = 1e4
"""Cost of contradicting what was told."""

Costs = Float[np.ndarray, "frame state choice"]


@dataclass(frozen=True, eq=False)
class Told:
    """What a person who has looked at the clip says about the two people.

    Attributes:
        kept: 0 where the detections are the right way round, 1 where they are exchanged, -1 where
            nothing is said.
        swapped: From these frames on, until the next one, the two are to be exchanged against
            what is found here.
        reversed: The two are numbered the other way round in all frames.
        believed: Somebody else has told the two apart, and is right except where `kept` says no.
    """

    kept: Int[np.ndarray, " frame"]
    swapped: Bool[np.ndarray, " frame"]
    reversed: bool = False
    believed: bool = False

    @classmethod
    def nothing(cls, frames: int, swaps: Iterable[int] = ()) -> "Told":
        """Nothing is said but that there are swaps in these frames."""
        swapped = np.zeros(frames, dtype=bool)
        swapped[list(swaps)] = True
        return cls(np.full(frames, -1), swapped)

    def of(self, frames: Int[np.ndarray, " chosen"]) -> "Told":
        """What this says about some of the frames."""
        swapped = np.diff(self.toggled[frames].astype(int), prepend=0) != 0
        return replace(self, kept=self.kept[frames], swapped=swapped)

    @property
    def toggled(self) -> Bool[np.ndarray, " frame"]:
        """Frames in which an odd number of swaps is in force."""
        toggled: Bool[np.ndarray, " frame"] = np.cumsum(self.swapped) % 2 == 1
        return toggled


def find_exchanged(
    pair: PairDetections, fps: float, told: Told | None = None
) -> tuple[Bool[np.ndarray, " frame"], Float[np.ndarray, " frame"]]:
    """Tell in which frames the two people are exchanged, and how sure that is.

    Args:
        pair: Detections whose order of people may be wrong in some frames.
        fps: Frames per second.
        told: What is known for certain.

    Returns:
        Frames to exchange, never more than half of them unless it was told so; and the probability
        per frame that, once this is done, each person is the one of that number in the frames that
        were told, or else in the clearest one.
    """
    told = told or Told.nothing(len(pair.boxes_xyxy))
    if told.believed and not (told.kept >= 0).any():
        return told.toggled ^ told.reversed, np.ones(len(told.kept))
    # Frames in which nobody is detected say nothing; the search remembers those before them.
    known = np.flatnonzero(pair.seen.any(axis=1))
    if len(known) == 0:
        return told.toggled ^ told.reversed, np.ones(len(told.kept))
    exchanged, confidence = _solve(pair.of(known), known, fps, told.of(known))
    nearest = np.searchsorted(known, np.arange(len(told.kept)), side="right") - 1
    nearest = nearest.clip(0)
    return exchanged[nearest] ^ told.toggled ^ told.reversed, confidence[nearest]


def _solve(
    pair: PairDetections, frames: Int[np.ndarray, " frame"], fps: float, told: Told
) -> tuple[Bool[np.ndarray, " frame"], Float[np.ndarray, " frame"]]:
    """As `find_exchanged`, before swaps; `frames` are the numbers of the frames in the clip."""
    costs = _motion_costs(pair, frames, fps)
    stated = told.kept >= 0
    choice = (told.kept == 1) ^ told.toggled ^ told.reversed
    costs[stated, :, np.where(choice, 0, 1)[stated]] += FORBIDDEN
    exchanged = _cheapest(costs)
    evidence = _colour_evidence(pair.colours, exchanged)
    if evidence.any():
        costs[:, :, 1] += evidence[:, None]
        exchanged = _cheapest(costs)
    confidence = _confidence(costs, exchanged, told, _clearest_frame(pair))
    if exchanged.mean() > 0.5 and not stated.any():
        exchanged = ~exchanged
    return exchanged, confidence


def _motion_costs(pair: PairDetections, frames: Int[np.ndarray, " frame"], fps: float) -> Costs:
    """Cost of keeping (0) or exchanging (1) each frame, given the choices in the frames before.

    Bit j of a state is the choice j + 1 frames ago.
    """
    points, weight = _points(pair)
    ages = np.stack([_ages(frames, bit + 1) for bit in range(MEMORY)])
    # Cost of finding in column `choice` the person who was in the columns that the state says.
    height_px = float(pair.height_px.mean())
    fits: Costs = np.stack(
        [_misfit(points, weight, ages, state, height_px, fps) for state in range(STATES)], axis=1
    )
    if pair.masks is not None:
        overlaps = continued_iou(pair.masks, pair.boxes_xyxy, ages, fps)
        for state in range(STATES):
            columns = [(state >> bit) & 1 for bit in range(MEMORY)]
            fits[:, state] += MASK_COST * (1.0 - newest_iou(overlaps, columns))
    other = fits[:, ::-1, ::-1]  # the other person was, and is, in the other columns
    before = np.arange(STATES) & 1
    price = CHANGE_COST / (1.0 + (ages[0] - 1) / FORGETTING_FRAMES)
    change = price[:, None, None] * (before[:, None] != np.arange(2)[None, :])
    costs: Costs = fits + other + change
    return costs


def _ages(frames: Int[np.ndarray, " frame"], back: int) -> Int[np.ndarray, " frame"]:
    """How many frames of the clip the frame `back` places earlier lies behind; at least `back`."""
    ages = np.full(len(frames), back)
    ages[back:] = frames[back:] - frames[:-back]
    return ages


def _points(
    pair: PairDetections,
) -> tuple[Float[np.ndarray, "frame 2 point 2"], Float[np.ndarray, "frame 2 point"]]:
    """Keypoints and two box corners, with weights that are 0 where unknown."""
    corners = pair.boxes_xyxy.reshape(len(pair.boxes_xyxy), 2, 2, 2)
    corner_weight = np.where(np.isfinite(corners).all(axis=-1), 0.5, 0.0)
    points = np.concatenate([pair.keypoints[..., :2], np.nan_to_num(corners)], axis=2)
    return points, np.concatenate([pair.keypoints[..., 2], corner_weight], axis=2)


def _misfit(
    points: Float[np.ndarray, "frame 2 point 2"],
    weight: Float[np.ndarray, "frame 2 point"],
    ages: Int[np.ndarray, "age frame"],
    state: int,
    height_px: float,
    fps: float,
) -> Float[np.ndarray, "frame 2"]:
    """Cost of each column of a frame as the next position of the person whom `state` follows."""
    predicted, trust, newest = _predicted(points, weight, ages, state)
    foreseen = PREDICTION_NOISE + UNFORESEEN_SPEED / fps
    sigma = PREDICTION_NOISE + UNFORESEEN_SPEED * np.sqrt(newest) / fps
    distance = (points - predicted[:, None]) / (height_px * sigma)[:, None, :, None]
    # The same density for all: who was seen long ago is not a better fit for being vague.
    vague = 2.0 * np.log(sigma / foreseen)
    unlikely = np.log1p((distance**2).sum(axis=-1)) + vague[:, None]
    known = trust[:, None] * unlikely + (1.0 - trust[:, None]) * UNKNOWN_COST
    cost: Float[np.ndarray, "frame 2"] = CORRELATION * (weight * known).sum(axis=-1)
    return cost


def _predicted(
    points: Float[np.ndarray, "frame 2 point 2"],
    weight: Float[np.ndarray, "frame 2 point"],
    ages: Int[np.ndarray, "age frame"],
    state: int,
) -> tuple[
    Float[np.ndarray, "frame point 2"],
    Float[np.ndarray, "frame point"],
    Float[np.ndarray, "frame point"],
]:
    """Extrapolate a line through the last frames; recent ones and sure keypoints weigh more.

    Returns:
        Each point's predicted place, how much is known of it, and the age of its last sighting.
    """
    total = np.zeros((3, points.shape[0], points.shape[2]))
    moments = np.zeros((2, points.shape[0], points.shape[2], 2))
    newest = np.ones(total.shape[1:])
    for bit in reversed(range(MEMORY)):
        back = bit + 1
        column = (state >> bit) & 1
        w = np.zeros_like(total[0])
        x = np.zeros_like(moments[0])
        recent = 0.7 ** (ages[bit] - ages[0])[back:, None]
        w[back:] = weight[:-back, column] * recent
        x[back:] = points[:-back, column]
        age = ages[bit][:, None].astype(np.float64)
        total += np.stack([w, -age * w, age**2 * w])
        moments += np.stack([w[..., None] * x, -age[..., None] * w[..., None] * x])
        newest = np.where(w > 0.1, age, newest)
    mass, first, second = total[0], total[1], total[2] + 1.0  # the 1 holds back wild speeds
    centre = moments[0] / np.maximum(mass, 1e-9)[..., None]
    mean_time = first / np.maximum(mass, 1e-9)
    spread = np.maximum(second - mean_time * first, 1e-9)
    slope = (moments[1] - mean_time[..., None] * moments[0]) / spread[..., None]
    # Nobody goes straight on for long.
    ahead = np.minimum(newest, MAX_AHEAD_FRAMES) - newest - mean_time
    # After a gap the whole body is somewhere else: its keypoints err together even more.
    trust = np.minimum(mass, 1.0) / np.sqrt(ages[0])[:, None]
    return centre + ahead[..., None] * slope, trust, newest


def _colour_evidence(
    colours: Float[np.ndarray, "frame 2 colour"], exchanged: Bool[np.ndarray, " frame"]
) -> Float[np.ndarray, " frame"]:
    """Log likelihood ratio of kept against exchanged, from how the two are dressed.

    The difference between the two people's colours has the same direction in all frames but the
    exchanged ones, where it is reversed. That direction is found without knowing the frames.
    """
    difference = colours[:, 0] - colours[:, 1]
    known = np.isfinite(difference).any(axis=-1)
    if known.sum() < 2 * MEMORY:
        return np.zeros(len(colours))
    difference = np.nan_to_num(difference)
    direction = np.linalg.svd(difference, full_matrices=False)[2][0]
    along = difference @ direction
    if (along * np.where(exchanged, -1.0, 1.0)).sum() < 0:
        along = -along
    size = np.abs(along[known])
    mean, variance = float(size.mean()), float(size.var()) + 1e-12
    # Of pure noise the ratio is below 2; from 10 on the two are told apart in every frame.
    trust = np.clip((mean**2 / variance - 2.0) / 8.0, 0.0, 1.0)
    ratio = CLOTHES_CORRELATION * trust * 2.0 * mean * along / variance
    evidence: Float[np.ndarray, " frame"] = ratio.clip(-MAX_COLOUR_EVIDENCE, MAX_COLOUR_EVIDENCE)
    return evidence


def _clearest_frame(pair: PairDetections) -> int:
    """Frame in which the two people are farthest apart."""
    centres = pair.boxes_xyxy.reshape(-1, 2, 2, 2).mean(axis=2)
    distance = np.linalg.norm(centres[:, 0] - centres[:, 1], axis=-1)
    return int(np.nan_to_num(distance, nan=-1.0).argmax())


PREVIOUS = np.arange(STATES)[:, None] >> 1 | np.array([0, STATES // 2])[None, :]
"""The two states that can come before each state."""

FOLLOWING = (np.arange(STATES)[:, None] << 1) % STATES | np.array([0, 1])[None, :]
"""The two states that can come after each state, by choice."""

CHOICE = np.arange(STATES) & 1
"""The newest choice of each state."""


def _start(state: int = 0) -> Float[np.ndarray, " state"]:
    """Costs of the states before the first frame; before the clip, everything counts as kept."""
    return np.where(np.arange(STATES) == state, 0.0, np.inf)


def _cheapest(costs: Costs) -> Bool[np.ndarray, " frame"]:
    """Choices with the smallest sum of costs (Viterbi)."""
    total = _start()
    origin = np.zeros((len(costs), STATES), dtype=np.int64)
    for frame, cost in enumerate(costs):
        candidates = total[PREVIOUS] + cost[PREVIOUS, CHOICE[:, None]]
        origin[frame] = PREVIOUS[np.arange(STATES), candidates.argmin(axis=1)]
        total = candidates.min(axis=1)
    state = int(total.argmin())
    chosen = np.zeros(len(costs), dtype=bool)
    for frame in reversed(range(len(costs))):
        chosen[frame] = CHOICE[state]
        state = int(origin[frame, state])
    return chosen


def _confidence(
    costs: Costs, chosen: Bool[np.ndarray, " frame"], told: Told, clearest: int
) -> Float[np.ndarray, " frame"]:
    """Probability of each frame's choice, between one told swap and the next.

    Whoever tells that the two are exchanged at a frame vouches for both sides of it.
    """
    anchors = told.kept >= 0
    anchors |= told.swapped
    anchors[:-1] |= told.swapped[1:]
    if not anchors.any():
        anchors[clearest] = True
    bounds = sorted({0, *map(int, np.flatnonzero(told.swapped)), len(chosen)})
    confidence = np.zeros(len(chosen))
    for first, end in pairwise(bounds):
        recent = chosen[max(first - MEMORY, 0) : first][::-1]
        state = sum(int(choice) << bit for bit, choice in enumerate(recent))
        part = slice(first, end)
        confidence[part] = _probability(costs[part], chosen[part], anchors[part], _start(state))
    return confidence


def _probability(
    costs: Costs,
    chosen: Bool[np.ndarray, " frame"],
    anchors: Bool[np.ndarray, " frame"],
    start: Float[np.ndarray, " state"],
) -> Float[np.ndarray, " frame"]:
    """Probability of each frame's choice, given that those in the frames `anchors` are right."""
    wrong = (chosen[:, None] != (CHOICE == 1)[None, :]) & anchors[:, None]
    forbidden = np.where(wrong, -np.inf, 0.0)
    forward = np.zeros((len(costs), STATES))
    past = -start
    for frame, cost in enumerate(costs):
        past = logsumexp(past[PREVIOUS] - cost[PREVIOUS, CHOICE[:, None]], axis=1)
        past = past - past.max() + forbidden[frame]
        forward[frame] = past
    both = np.zeros_like(forward)
    future = np.zeros(STATES)
    for frame in reversed(range(len(costs))):
        both[frame] = forward[frame] + future
        # A state goes on to its two followers, by the choice that each of them stands for.
        allowed = future + forbidden[frame]
        future = logsumexp(allowed[FOLLOWING] - costs[frame], axis=1)
        future = future - future.max()
    share = np.exp(both - logsumexp(both, axis=1, keepdims=True))
    probability: Float[np.ndarray, " frame"] = np.where(
        chosen, share[:, CHOICE == 1].sum(axis=1), share[:, CHOICE == 0].sum(axis=1)
    )
    return probability.clip(0.0, 1.0)
