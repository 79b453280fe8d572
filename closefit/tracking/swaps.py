"""Finds the frames in which a detector swapped two people, over the whole clip at once.

Each frame is either kept or swapped. A person's next position is predicted from the last `MEMORY`
frames, so a state of the exact search (Viterbi) is the choice in each of these: 2^MEMORY states.
The cost of a choice is the sum of three terms: the distance of keypoints and box from the
prediction, the improbability of the clothes' colours, and a price for each change between kept and
swapped. The forward-backward algorithm on the same costs gives the probability of each choice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import logsumexp

from closefit.tracking.mask_evidence import continued_iou, newest_iou
from closefit.tracking.pair import Pair

MEMORY = 4
STATES = 2**MEMORY

CHANGE_COST = 3.0
"""Price of a change, as a negative log likelihood: about one frame in twenty."""

CORRELATION = 0.3
"""Errors of keypoints are correlated: each counts as this share of an independent observation."""

PREDICTION_NOISE = 0.03
"""Noise of a predicted keypoint without motion, in person heights."""

UNFORESEEN_SPEED = 0.6
"""Motion that the prediction does not contain, in person heights per second."""

UNKNOWN_COST = float(np.log1p(3.0**2))
"""Cost of a keypoint that cannot be predicted: as much as at three standard deviations."""

CLOTHES_CORRELATION = 0.25
"""Colours in successive frames are correlated: each frame counts as this share of one."""

MAX_COLOUR_EVIDENCE = 0.5
"""Limit for one frame's colours, because shadows can mislead for many frames in a row."""

MASK_COST = 4.0
"""Cost of a mask that shares no pixel with the person's mask in the frame before.

Measured on real detections that were swapped, removed and blurred: results improve with the cost up
to this value, and none is worse than without masks (benchmarks/mask_cue.py).
"""

FORGETTING_FRAMES = 5.0
"""After so many frames without anybody, a change costs half as much: trackers start anew."""

MAX_AHEAD_FRAMES = 3.0
"""A motion is extrapolated over so many frames at most."""

FORBIDDEN = 1e4
"""Cost of contradicting a constraint."""

Costs = Float[np.ndarray, "frame state choice"]


@dataclass(frozen=True, eq=False)
class SwapConstraints:
    """What the user or an import states about the two people.

    Attributes:
        order: 0 where the columns are right, 1 where they are swapped, -1 where nothing is stated.
        swap_starts: From each of these frames on, until the next one, the result is swapped.
        reversed: The two are numbered the other way round in all frames.
        trusted: The columns are right except where `order` differs.
    """

    order: Int[np.ndarray, " frame"]
    swap_starts: Bool[np.ndarray, " frame"]
    reversed: bool = False
    trusted: bool = False

    @classmethod
    def none(
        cls, frames: int, swaps: Iterable[int] = (), *, trusted: bool = False
    ) -> "SwapConstraints":
        """Nothing is stated except swaps from these frames on."""
        swap_starts = np.zeros(frames, dtype=bool)
        swap_starts[list(swaps)] = True
        return cls(np.full(frames, -1), swap_starts, trusted=trusted)

    def at(self, frames: Int[np.ndarray, " chosen"]) -> "SwapConstraints":
        """SwapConstraints for some of the frames."""
        starts = np.diff(self.after_swaps[frames].astype(int), prepend=0) != 0
        return replace(self, order=self.order[frames], swap_starts=starts)

    @property
    def after_swaps(self) -> Bool[np.ndarray, " frame"]:
        """Frames in which the result is swapped."""
        return np.asarray(np.cumsum(self.swap_starts) % 2 == 1)


def find_swapped(
    pair: Pair, fps: float, known: SwapConstraints | None = None
) -> tuple[Bool[np.ndarray, " frame"], Float[np.ndarray, " frame"]]:
    """Find the frames in which the two people are swapped.

    Args:
        pair: Detections whose order of people may be wrong in some frames.
        fps: Frames per second.
        known: What is certain.

    Returns:
        Frames to swap, never more than half of them unless constraints require it; and the
        probability per frame that, after this, each person is the one of that number in the
        constrained frames, or else in the frame where the two are farthest apart.
    """
    known = known or SwapConstraints.none(len(pair.boxes_xyxy))
    stated = known.after_swaps ^ known.reversed
    # Frames without detections hold no information; the search skips them.
    frames = np.flatnonzero(pair.seen.any(axis=1))
    if len(frames) == 0 or (known.trusted and not (known.order >= 0).any()):
        return stated, np.ones(len(stated))
    swapped, confidence = _solve(pair.at(frames), frames, fps, known.at(frames))
    nearest = np.searchsorted(frames, np.arange(len(stated)), side="right") - 1
    nearest = nearest.clip(0)
    return swapped[nearest] ^ stated, confidence[nearest]


def _solve(
    pair: Pair, frames: Int[np.ndarray, " frame"], fps: float, known: SwapConstraints
) -> tuple[Bool[np.ndarray, " frame"], Float[np.ndarray, " frame"]]:
    """As `find_swapped`, before swaps; `frames` are the numbers of the frames in the clip."""
    costs = _motion_costs(pair, frames, fps)
    stated = known.order >= 0
    choice = (known.order == 1) ^ known.after_swaps ^ known.reversed
    costs[stated, :, np.where(choice, 0, 1)[stated]] += FORBIDDEN
    swapped = _cheapest(costs)
    evidence = _colour_evidence(pair.colours, swapped)
    if evidence.any():
        costs[:, :, 1] += evidence[:, None]
        swapped = _cheapest(costs)
    confidence = _confidence(costs, swapped, known, _clearest_frame(pair))
    if swapped.mean() > 0.5 and not stated.any():
        swapped = ~swapped
    return swapped, confidence


def _motion_costs(pair: Pair, frames: Int[np.ndarray, " frame"], fps: float) -> Costs:
    """Cost of keeping (0) or swapping (1) each frame, given the choices in the frames before.

    Bit j of a state is the choice j + 1 frames ago.
    """
    points, weight = _points(pair)
    ages = np.stack([_ages(frames, bit + 1) for bit in range(MEMORY)])
    # Cost of finding in column `choice` the person who was in the columns given by the state.
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
    return np.asarray(fits + other + change)


def _ages(frames: Int[np.ndarray, " frame"], back: int) -> Int[np.ndarray, " frame"]:
    """Distance in the clip from each frame to the one `back` places earlier; at least `back`."""
    ages = np.full(len(frames), back)
    ages[back:] = frames[back:] - frames[:-back]
    return ages


def _points(
    pair: Pair,
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
    """Cost of each column as the next position of the person whose past columns `state` gives."""
    predicted, trust, newest = _predicted(points, weight, ages, state)
    foreseen = PREDICTION_NOISE + UNFORESEEN_SPEED / fps
    sigma = PREDICTION_NOISE + UNFORESEEN_SPEED * np.sqrt(newest) / fps
    distance = (points - predicted[:, None]) / (height_px * sigma)[:, None, :, None]
    # Normalised density: a person who was seen long ago is not a better fit for being vague.
    vague = 2.0 * np.log(sigma / foreseen)
    unlikely = np.log1p((distance**2).sum(axis=-1)) + vague[:, None]
    known = trust[:, None] * unlikely + (1.0 - trust[:, None]) * UNKNOWN_COST
    return np.asarray(CORRELATION * (weight * known).sum(axis=-1))


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
        Each point's predicted position, the trust in it (0 to 1), and its age in frames.
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
    mass, first, second = total[0], total[1], total[2] + 1.0  # the 1 damps implausible speeds
    centre = moments[0] / np.maximum(mass, 1e-9)[..., None]
    mean_time = first / np.maximum(mass, 1e-9)
    spread = np.maximum(second - mean_time * first, 1e-9)
    slope = (moments[1] - mean_time[..., None] * moments[0]) / spread[..., None]
    # People do not move in straight lines for long.
    ahead = np.minimum(newest, MAX_AHEAD_FRAMES) - newest - mean_time
    # After a gap the whole body has moved: the errors of its keypoints are even more correlated.
    trust = np.minimum(mass, 1.0) / np.sqrt(ages[0])[:, None]
    return centre + ahead[..., None] * slope, trust, newest


def _colour_evidence(
    colours: Float[np.ndarray, "frame 2 colour"], swapped: Bool[np.ndarray, " frame"]
) -> Float[np.ndarray, " frame"]:
    """Log likelihood ratio of kept against swapped, from the colours of the clothes.

    The difference between the two people's colours has the same direction in all frames except the
    swapped ones, where it is reversed. The direction is the first singular vector of all frames.
    """
    difference = colours[:, 0] - colours[:, 1]
    known = np.isfinite(difference).any(axis=-1)
    if known.sum() < 2 * MEMORY:
        return np.zeros(len(colours))
    difference = np.nan_to_num(difference)
    direction = np.linalg.svd(difference, full_matrices=False)[2][0]
    along = difference @ direction
    if (along * np.where(swapped, -1.0, 1.0)).sum() < 0:
        along = -along
    size = np.abs(along[known])
    mean, variance = float(size.mean()), float(size.var()) + 1e-12
    # For pure noise the ratio is below 2; from 10 on, colours separate the two in every frame.
    trust = np.clip((mean**2 / variance - 2.0) / 8.0, 0.0, 1.0)
    ratio = CLOTHES_CORRELATION * trust * 2.0 * mean * along / variance
    return np.asarray(ratio.clip(-MAX_COLOUR_EVIDENCE, MAX_COLOUR_EVIDENCE))


def _clearest_frame(pair: Pair) -> int:
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
    """Costs of the states before the first frame; by default all earlier frames are kept."""
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
    costs: Costs, chosen: Bool[np.ndarray, " frame"], known: SwapConstraints, clearest: int
) -> Float[np.ndarray, " frame"]:
    """Probability of each frame's choice, from each swap of the user to the next.

    A swap of the user makes the frames on both sides of it certain.
    """
    anchors = known.order >= 0
    anchors |= known.swap_starts
    anchors[:-1] |= known.swap_starts[1:]
    if not anchors.any():
        anchors[clearest] = True
    bounds = sorted({0, *map(int, np.flatnonzero(known.swap_starts)), len(chosen)})
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
    """Probability of each frame's choice, given that the choices at `anchors` are right."""
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
        allowed = future + forbidden[frame]
        future = logsumexp(allowed[FOLLOWING] - costs[frame], axis=1)
        future = future - future.max()
    share = np.exp(both - logsumexp(both, axis=1, keepdims=True))
    kept, swapped = (share[:, choice == CHOICE].sum(axis=1) for choice in (0, 1))
    return np.asarray(np.where(chosen, swapped, kept).clip(0.0, 1.0))
