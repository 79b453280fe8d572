"""Two textured people who walk up to each other, overlap and part, before a textured wall."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from closefit.perception.separation import CHUNK, separated_masks
from closefit.tracking.mask_crops import MaskCrop
from closefit.tracking.pair import Pair
from closefit.tracking.repair import IdentifiedPair

FRAMES, WIDTH, HEIGHT = CHUNK + 8, 200, 110
TALL, BROAD = 80, 30
MERGED = slice(14, 27)
"""Frames in which the detector sees one person in place of two."""


def texture(rng: np.random.Generator, colour: tuple[int, int, int], size_wh: tuple[int, int]):
    noise = rng.normal(0.0, 45.0, (size_wh[1], size_wh[0], 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 1.5) * 2.0 + np.array(colour, np.float32)


def paths() -> np.ndarray:
    """Left edge of both people (frame, person): nearest in the middle, half hidden."""
    apart = np.abs(np.linspace(-1.0, 1.0, FRAMES)) * 60.0
    middle = WIDTH / 2 - BROAD / 2
    return np.stack([middle - 8 - apart, middle + 8 + apart], axis=1).round().astype(int)


def upright() -> np.ndarray:
    """Keypoints (frame, person, 17, 3) of both as they stand in the middle of their boxes."""
    across = np.array([0, 1, -1, 2, -2, 7, -7, 9, -9, 9, -9, 5, -5, 5, -5, 5, -5])
    down = np.array([6, 5, 5, 6, 6, 16, 16, 28, 28, 40, 40, 42, 42, 60, 60, 76, 76])
    xy = np.zeros((FRAMES, 2, 17, 2))
    xy[..., 0] = paths()[..., None] + BROAD / 2 + across
    xy[..., 1] = 20 + down
    return np.concatenate([xy, np.full((FRAMES, 2, 17, 1), 0.9)], axis=-1)


class Scene:
    def __init__(self, alike_below: int = TALL) -> None:
        """Both look alike below so many pixels from their heads."""
        rng = np.random.default_rng(1)
        wall = texture(rng, (120, 125, 110), (WIDTH, HEIGHT))
        looks = [texture(rng, c, (BROAD, TALL)) for c in ((170, 70, 60), (60, 80, 170))]
        looks[1][alike_below:] = looks[0][alike_below:]
        self.pictures = np.tile(wall, (FRAMES, 1, 1, 1))
        self.masks = np.zeros((FRAMES, 2, HEIGHT, WIDTH), bool)
        for frame, edges in enumerate(paths()):
            for person in (1, 0):  # person 0 is in front
                area = np.s_[20 : 20 + TALL, edges[person] : edges[person] + BROAD]
                self.pictures[frame][area] = looks[person]
                self.masks[frame, :, area[0], area[1]] = False
                self.masks[frame, person][area] = True
        self.pictures = self.pictures.clip(0, 255).astype(np.uint8)

    def images(self, _task: str) -> Iterator[np.ndarray]:
        yield from self.pictures

    def found(self, masks: np.ndarray, keypoints: np.ndarray | None = None) -> IdentifiedPair:
        """Detections of a detector that gives these masks and keypoints."""
        seen = masks.any(axis=(2, 3))
        left = paths().astype(float)
        boxes = np.stack([left, left * 0 + 20, left + BROAD, left * 0 + 20 + TALL], axis=-1)
        crops = np.empty(seen.shape, object)
        for place in np.ndindex(seen.shape):
            crops[place] = MaskCrop.of(masks[place])
        pair = Pair(
            boxes_xyxy=np.where(seen[..., None], boxes, np.nan),
            keypoints=np.zeros((FRAMES, 2, 17, 3)) if keypoints is None else keypoints,
            colours=np.full((FRAMES, 2, 4), np.nan),
            masks=crops,
        )
        return IdentifiedPair(
            detected=pair,
            boxes_xyxy=pair.boxes_xyxy,
            keypoints=pair.keypoints,
            filled=np.zeros(seen.shape, bool),
            identity_confidence=seen.astype(float),
            swapped=np.zeros(FRAMES, bool),
        )

    def separated(self, detected: np.ndarray, keypoints: np.ndarray | None = None) -> np.ndarray:
        masks = separated_masks(self.found(detected, keypoints), self.images, (WIDTH, HEIGHT))
        assert masks is not None
        return np.stack(list(masks))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def overlap(masks: np.ndarray, truth: np.ndarray) -> float:
    return float((masks & truth).sum() / (masks | truth).sum())


def test_people_whom_a_detector_merges_are_separated(scene: Scene) -> None:
    detected = scene.masks.copy()
    detected[MERGED, 0] = scene.masks[MERGED].any(axis=1)
    detected[MERGED, 1] = False
    masks = scene.separated(detected)
    assert masks.shape == scene.masks.shape
    for person in range(2):
        assert overlap(masks[MERGED, person], scene.masks[MERGED, person]) > 0.85
        assert overlap(masks[:, person], scene.masks[:, person]) > 0.9
    assert overlap(detected[MERGED, 0], scene.masks[MERGED, 0]) < 0.7


def test_legs_that_look_alike_go_to_whose_limbs_are_nearer() -> None:
    alike, legs = Scene(alike_below=TALL // 2), np.s_[MERGED, :, 20 + TALL // 2 :]
    detected = alike.masks.copy()
    detected[MERGED] = alike.masks[MERGED].any(axis=1, keepdims=True)
    wrong = [
        (alike.separated(detected, keypoints)[legs] ^ alike.masks[legs]).sum()
        for keypoints in (None, upright())
    ]
    assert wrong[1] < 0.7 * wrong[0]


def test_right_masks_stay(scene: Scene) -> None:
    masks = scene.separated(scene.masks)
    for person in range(2):
        assert overlap(masks[:, person], scene.masks[:, person]) > 0.95


def test_nobody_is_made_up_after_a_person_has_left() -> None:
    left = np.s_[FRAMES - 6 :]
    others = Scene()
    for frame in range(FRAMES)[left]:
        hole = others.masks[frame, 1]
        others.pictures[frame][hole] = np.roll(others.pictures[frame], 60, axis=1)[hole]
        others.masks[frame, 1] = False
    assert not others.separated(others.masks)[-4:, 1].any()


@pytest.mark.parametrize("known", [(), (0,), (1,)], ids=["nobody", "the first", "the second"])
def test_looks_need_a_mask_of_both(scene: Scene, known: tuple[int, ...]) -> None:
    detected = np.zeros_like(scene.masks)
    detected[:, known] = scene.masks[:, known]
    found = scene.found(detected)
    for_boxes = scene.found(scene.masks)
    found = IdentifiedPair(
        found.detected,
        for_boxes.boxes_xyxy,
        found.keypoints,
        found.filled,
        for_boxes.identity_confidence,
        found.swapped,
    )
    assert separated_masks(found, scene.images, (WIDTH, HEIGHT)) is None


def test_looks_that_tell_nothing_leave_the_masks_of_the_detector() -> None:
    noise = Scene()
    noise.pictures = np.random.default_rng(2).integers(0, 256, noise.pictures.shape, np.uint8)
    assert separated_masks(noise.found(noise.masks), noise.images, (WIDTH, HEIGHT)) is None
