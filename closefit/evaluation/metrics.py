"""Measures of a predicted two-person motion against the truth: pure functions of arrays.

Positions are metres in the camera frame, errors are millimetres. `valid` marks the person-frames
that count; the others are left out. A measure over nothing is NaN. Joints are a chosen set of
points (for example `skeleton.EVALUATION_JOINTS`), the same for both motions.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from closefit.geometry.units import MM_PER_M

CONTACT_TOLERANCE_FRAMES = 2
"""A contact between two body parts may be found this many frames too early or too late."""

MIN_DEPTH_DIFFERENCE_M = 0.05
"""Depth order is scored only where the true pelvises differ by more in depth."""

Points = Float[np.ndarray, "frame person point 3"]
PersonFrames = Bool[np.ndarray, "frame person"]
Frames = Bool[np.ndarray, " frame"]
PartContacts = Bool[np.ndarray, "frame part part"]


def mpjpe(
    predicted: Points, truth: Points, valid: PersonFrames, hips: tuple[int, int] = (0, 1)
) -> float:
    """Mean joint error after moving each person's hip midpoint onto the true one."""
    return mpvpe(predicted, truth, _midpoint(predicted, hips), _midpoint(truth, hips), valid)


def mpvpe(
    predicted: Points,
    truth: Points,
    predicted_root: Float[np.ndarray, "frame person 3"],
    truth_root: Float[np.ndarray, "frame person 3"],
    valid: PersonFrames,
) -> float:
    """Mean point error (vertices, usually) about each person's own root (hip midpoint)."""
    difference = (predicted - predicted_root[:, :, None]) - (truth - truth_root[:, :, None])
    return _mean_mm(np.linalg.norm(difference, axis=-1)[valid])


def pa_mpjpe(predicted: Points, truth: Points, valid: PersonFrames) -> float:
    """Mean joint error after the best similarity transform per frame and person."""
    return _aligned_error(predicted[valid], truth[valid])


def pair_pa_mpjpe(predicted: Points, truth: Points, valid: PersonFrames) -> float:
    """Mean joint error after one similarity transform per frame for both people together.

    Unlike `pa_mpjpe` it sees where the people stand relative to each other ("joint PA-MPJPE" of
    the paper's section 4). Only frames in which both are valid count.
    """
    both = valid.all(axis=1)
    people, points = predicted.shape[1:3]
    return _aligned_error(
        predicted[both].reshape(-1, people * points, 3), truth[both].reshape(-1, people * points, 3)
    )


def interaction_error(predicted: Points, truth: Points, valid: PersonFrames) -> float:
    """Mean error of the distances between every joint of one person and every one of the other.

    Absolute camera coordinates, no alignment, frames in which both are valid.
    """
    both = valid.all(axis=1)
    difference = _pair_distances(predicted[both]) - _pair_distances(truth[both])
    return _mean_mm(np.abs(difference))


def acceleration_error(predicted: Points, truth: Points, valid: PersonFrames) -> float:
    """Mean error of the joints' second differences, in mm per frame squared.

    Camera coordinates, so a trembling depth counts; three valid frames in a row are needed.
    """
    error = _second_difference(predicted) - _second_difference(truth)
    usable = valid[2:] & valid[1:-1] & valid[:-2]
    return _mean_mm(np.linalg.norm(error, axis=-1)[usable])


def image_error(
    predicted_px: Float[np.ndarray, "frame person point 2"],
    truth_px: Float[np.ndarray, "frame person point 2"],
    valid: PersonFrames,
) -> float:
    """Mean distance of points in the image, in mean heights of a person there."""
    height = np.ptp(truth_px[..., 1], axis=-1)[valid]
    distance = np.linalg.norm(predicted_px - truth_px, axis=-1)[valid]
    return float(distance.mean() / height.mean()) if height.any() else float("nan")


@dataclass(frozen=True)
class DepthOrder:
    """Frames with wrong depth order among those in which the order is clear."""

    wrong: int
    scored: int

    @property
    def wrong_share(self) -> float:
        """Share of the scored frames; NaN when none is scored."""
        return self.wrong / self.scored if self.scored else float("nan")


def depth_order_error(
    predicted_pelvis: Float[np.ndarray, "frame 2 3"],
    truth_pelvis: Float[np.ndarray, "frame 2 3"],
    order: Int[np.ndarray, " frame"],
    valid: PersonFrames,
) -> DepthOrder:
    """Count frames in which the wrong person is predicted in front.

    A frame is scored where `order` (+1: person 1 covers person 0 in the image, -1: the reverse,
    0: no overlap) is not 0, the true pelvises are more than `MIN_DEPTH_DIFFERENCE_M` apart in
    depth, and their order agrees with `order`.
    """
    # Positive when person 1 is nearer to the camera, as in `order`.
    truth_difference = truth_pelvis[:, 0, 2] - truth_pelvis[:, 1, 2]
    predicted_difference = predicted_pelvis[:, 0, 2] - predicted_pelvis[:, 1, 2]
    scored = (
        (np.abs(truth_difference) > MIN_DEPTH_DIFFERENCE_M)
        & (truth_difference * order > 0)
        & valid.all(axis=1)
    )
    wrong = scored & (np.sign(predicted_difference) != order)
    return DepthOrder(wrong=int(wrong.sum()), scored=int(scored.sum()))


@dataclass(frozen=True)
class ContactScore:
    """Predicted contacts against true ones; NaN where there are none to share out."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of both, 0 without a hit; NaN where nothing is predicted and true."""
        if np.isnan(self.precision) and np.isnan(self.recall):
            return float("nan")
        both = np.nan_to_num([self.precision, self.recall])
        return float(2.0 * both.prod() / both.sum()) if both.all() else 0.0


def contact_score(predicted: Frames, truth: Frames) -> ContactScore:
    """Precision and recall of the frames in contact; NaN where nothing is predicted or true."""
    return ContactScore(precision=_share(truth, predicted), recall=_share(predicted, truth))


def part_contact_score(
    predicted: PartContacts,
    truth: PartContacts,
    frames: Frames,
    tolerance: int = CONTACT_TOLERANCE_FRAMES,
) -> ContactScore:
    """Precision and recall of contacts between one part of each person, frame by frame.

    A predicted contact is right if the same two parts truly touch at most `tolerance` frames before
    or after; a true one is found likewise.

    Args:
        predicted: Which part of person 0 touches which part of person 1.
        truth: The same of the truth, with its people in the same order.
        frames: Frames whose contacts count.
        tolerance: In frames.
    """
    counted = frames[:, None, None]
    return ContactScore(
        precision=_share(_widened(truth, tolerance), predicted & counted),
        recall=_share(_widened(predicted, tolerance), truth & counted),
    )


def _share(hit: Bool[np.ndarray, "*shape"], chosen: Bool[np.ndarray, "*shape"]) -> float:
    """Share of the chosen entries that are hit; NaN of none."""
    return float(hit[chosen].mean()) if chosen.any() else float("nan")


def _widened(contacts: PartContacts, reach: int) -> PartContacts:
    """True where there is a contact at most `reach` frames away."""
    padded = np.pad(contacts, ((reach, reach), (0, 0), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    widened: PartContacts = np.any(windows, axis=-1)
    return widened


def mean_over(values: Float[np.ndarray, " frame"], frames: Frames) -> float:
    """Mean of a quantity per frame over some frames; NaN over none."""
    return float(values[frames].mean()) if frames.any() else float("nan")


@dataclass(frozen=True)
class Assignment:
    """Which predicted person is which true one.

    Attributes:
        people: `people[i]` is the predicted person that stands for true person i, all clip long.
        swapped: Frames in which the other assignment fits the image better.
    """

    people: tuple[int, int]
    swapped: Frames


def assign_people(
    predicted_px: Float[np.ndarray, "frame 2 point 2"],
    truth_px: Float[np.ndarray, "frame 2 point 2"],
    valid: PersonFrames,
) -> Assignment:
    """Match people over the whole clip by their points in the image, and find frames that differ.

    Identity is decided in the image and not in space, so that a wrong depth order does not count
    as a swap of identities.
    """
    both = valid.all(axis=1)
    straight = _pixel_distance(predicted_px, truth_px)
    crossed = _pixel_distance(predicted_px[:, ::-1], truth_px)
    if straight[both].sum() <= crossed[both].sum():
        return Assignment(people=(0, 1), swapped=both & (crossed < straight))
    return Assignment(people=(1, 0), swapped=both & (straight < crossed))


def _midpoint(
    points: Float[np.ndarray, "frame person point 3"], pair: tuple[int, int]
) -> Float[np.ndarray, "frame person 3"]:
    middle: np.ndarray = points[:, :, list(pair)].mean(axis=2)
    return middle


def _mean_mm(errors_m: Float[np.ndarray, "..."]) -> float:
    return float(errors_m.mean()) * MM_PER_M if errors_m.size else float("nan")


def _second_difference(points: Points) -> Float[np.ndarray, "inner_frame person point 3"]:
    difference: np.ndarray = points[2:] - 2.0 * points[1:-1] + points[:-2]
    return difference


def _pair_distances(points: Points) -> Float[np.ndarray, "frame point point"]:
    distances: np.ndarray = np.linalg.norm(points[:, 0, :, None] - points[:, 1, None, :], axis=-1)
    return distances


def _pixel_distance(
    predicted_px: Float[np.ndarray, "frame person point 2"],
    truth_px: Float[np.ndarray, "frame person point 2"],
) -> Float[np.ndarray, " frame"]:
    distance: np.ndarray = np.linalg.norm(predicted_px - truth_px, axis=-1).mean(axis=(1, 2))
    return distance


def _aligned_error(
    predicted: Float[np.ndarray, "set point 3"], truth: Float[np.ndarray, "set point 3"]
) -> float:
    aligned = similarity_align(predicted, truth)
    return _mean_mm(np.linalg.norm(aligned - truth, axis=-1))


def similarity_align(
    source: Float[np.ndarray, "set point 3"], target: Float[np.ndarray, "set point 3"]
) -> Float[np.ndarray, "set point 3"]:
    """Move each set of points onto its target by the best rotation, scale and translation.

    Least squares, without reflections (Umeyama 1991). A source that is one point moves only.
    """
    source_mean = source.mean(axis=1, keepdims=True)
    target_mean = target.mean(axis=1, keepdims=True)
    source_centred, target_centred = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(np.swapaxes(target_centred, 1, 2) @ source_centred)
    signs = np.ones_like(singular)
    signs[:, 2] = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    rotation = (u * signs[:, None, :]) @ vt
    variance = (source_centred**2).sum(axis=(1, 2))
    scale = (singular * signs).sum(axis=1) / np.where(variance > 0, variance, 1.0)
    rotated = source_centred @ np.swapaxes(rotation, 1, 2)
    aligned: np.ndarray = scale[:, None, None] * rotated + target_mean
    return aligned
