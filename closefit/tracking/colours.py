"""Describes the colours of clothes, so that people can be identified after a crossing.

Colours are sampled on the trunk and the thighs, located by keypoints, and counted in histograms
that are compared by the Hellinger distance (between square roots of shares).
"""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP, LEFT_KNEE, RIGHT_KNEE = 5, 6, 11, 12, 13, 14
"""Indices in COCO-17."""

TRUNK = (LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP)
THIGHS = (LEFT_HIP, RIGHT_HIP, LEFT_KNEE, RIGHT_KNEE)

MIN_CONFIDENCE = 0.4
"""Of the keypoints that locate a part of the body."""

MIN_SAMPLES = 20
"""With fewer visible samples a part counts as unknown."""

LIGHTNESS_BINS, CHROMA_BINS = 6, 5
CHROMA_RANGE = 60.0
PART_SIZE = LIGHTNESS_BINS + CHROMA_BINS**2
COLOUR_SIZE = 2 * PART_SIZE

ACROSS, DOWN = (
    axis.ravel() for axis in np.meshgrid(np.linspace(0.1, 0.9, 9), np.linspace(0.1, 0.9, 9))
)


def describe_clothes(
    image: UInt8[np.ndarray, "height width 3"],
    keypoints: Float[np.ndarray, "person 17 3"],
    masks: Bool[np.ndarray, "person height width"] | None = None,
) -> Float[np.ndarray, "person colour"]:
    """Describe the colours of each person's clothes.

    Args:
        image: RGB picture.
        keypoints: COCO-17 in its pixels, with confidence.
        masks: Pixels of each person. Without them, samples that also lie on another person's
            trunk or thighs are left out.

    Returns:
        `COLOUR_SIZE` numbers per person: trunk, then thighs; NaN for a part that is hardly visible.
    """
    described = np.zeros((len(keypoints), COLOUR_SIZE))
    points = np.stack([_samples(keypoints, corners) for corners in (TRUNK, THIGHS)], axis=1)
    for person, parts in enumerate(points):
        others = np.delete(points, person, axis=0).reshape(-1, len(ACROSS), 2)
        histograms = []
        for samples in parts:
            column, row = _pixel(samples, image.shape)
            visible = np.isfinite(samples).all(axis=-1)
            if masks is not None:
                visible &= masks[person, row, column]
            else:
                visible &= ~_covered(samples, others)
            histograms.append(_histogram(image[row, column][visible]))
        described[person] = np.concatenate(histograms)
    return described


def _samples(
    keypoints: Float[np.ndarray, "person 17 3"], corners: tuple[int, int, int, int]
) -> Float[np.ndarray, "person sample 2"]:
    """Points inside the quadrilateral of four keypoints; NaN if one of them is uncertain."""
    top_left, top_right, low_left, low_right = (keypoints[:, [corner], :2] for corner in corners)
    u, v = ACROSS[:, None], DOWN[:, None]
    points: Float[np.ndarray, "person sample 2"] = (1 - v) * (
        (1 - u) * top_left + u * top_right
    ) + v * ((1 - u) * low_left + u * low_right)
    sure = (keypoints[:, corners, 2] >= MIN_CONFIDENCE).all(axis=1)
    points[~sure] = np.nan
    return points


def _pixel(
    samples: Float[np.ndarray, "sample 2"], shape: tuple[int, ...]
) -> tuple[Int[np.ndarray, " sample"], Int[np.ndarray, " sample"]]:
    whole = np.floor(np.nan_to_num(samples)).astype(np.int64)
    return whole[:, 0].clip(0, shape[1] - 1), whole[:, 1].clip(0, shape[0] - 1)


def _covered(
    samples: Float[np.ndarray, "sample 2"], others: Float[np.ndarray, "part sample 2"]
) -> Bool[np.ndarray, " sample"]:
    """Samples within the reach of another person's samples (their spacing, times two)."""
    covered = np.zeros(len(samples), dtype=bool)
    for part in others:
        reach = 2.0 * np.linalg.norm(part[1] - part[0])
        distance = np.linalg.norm(samples[:, None] - part[None], axis=-1)
        covered |= (distance < reach).any(axis=1)
    return covered


def _histogram(colours: UInt8[np.ndarray, "sample 3"]) -> Float[np.ndarray, " part"]:
    """Square roots of the shares of lightness and of chroma; NaN for too few samples."""
    if len(colours) < MIN_SAMPLES:
        return np.full(PART_SIZE, np.nan)
    red, green, blue = colours.astype(np.float64).T
    lightness = _shares((red + green + blue) / (3.0 * 255.0), LIGHTNESS_BINS)
    warm = _shares(((red - green) / CHROMA_RANGE + 1.0) / 2.0, CHROMA_BINS)
    blond = _shares((((red + green) / 2.0 - blue) / CHROMA_RANGE + 1.0) / 2.0, CHROMA_BINS)
    chroma = warm[:, :, None] * blond[:, None, :]
    counts = np.concatenate([lightness.sum(axis=0), chroma.sum(axis=0).ravel()])
    return np.sqrt(counts / len(colours))


def _shares(values: Float[np.ndarray, " sample"], bins: int) -> Float[np.ndarray, "sample bin"]:
    """Weights of each sample (0 to 1) in its two nearest bins, by linear interpolation."""
    position = values.clip(0.0, 1.0)[:, None] * (bins - 1)
    return np.maximum(1.0 - np.abs(position - np.arange(bins)), 0.0)


def colour_distance(
    colours: Float[np.ndarray, "*#batch colour"],
    others: Float[np.ndarray, "*#batch colour"],
    unknown: float,
) -> Float[np.ndarray, "*batch"]:
    """Hellinger distance, 0 to 1, over the parts known of both; `unknown` where there is none."""
    square = (colours - others) ** 2
    known = np.isfinite(square)
    share = known.mean(axis=-1)
    total = np.where(known, square, 0.0).sum(axis=-1)
    # Four histograms if all is known, each with a squared distance of at most 2.
    distance: Float[np.ndarray, "*batch"] = np.sqrt(total / np.maximum(8.0 * share, 1e-9))
    return np.where(share > 0, distance, unknown)


def mean_colour(
    colours: Float[np.ndarray, "detection colour"],
) -> Float[np.ndarray, " colour"]:
    """Mean description over the detections in which each part is known; NaN if in none."""
    known = np.isfinite(colours)
    total = np.where(known, colours, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
