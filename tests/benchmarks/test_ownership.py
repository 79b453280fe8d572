"""The ownership measure on poses that are known exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from closefit.body.model import Body
from closefit.models import weights
from closefit.records import Motion

SIZE_WH = (160, 120)
K = np.array([[150.0, 0.0, 80.0], [0.0, 150.0, 60.0], [0.0, 0.0, 1.0]])
UPRIGHT = np.diag([1.0, -1.0, -1.0])
"""Joint 0 of somebody who stands in front of the camera and faces it."""


@pytest.fixture(scope="module")
def body() -> Body:
    return Body.load(weights.locate("closefit_body"))


def standing(body: Body, *places_m: tuple[float, float]) -> Motion:
    """Two people who stand at (x, z) in one frame."""
    rotations = np.tile(np.eye(3, dtype=np.float32), (1, 2, 24, 1, 1))
    rotations[:, :, 0] = UPRIGHT
    transl = np.array([[[x, 0.0, z] for x, z in places_m]], dtype=np.float32)
    posed = body.pose(
        *(torch.from_numpy(a) for a in (rotations, np.zeros((2, 10), np.float32), transl))
    )
    return Motion(
        rotations=rotations,
        betas=np.zeros((2, 10), np.float32),
        transl=transl,
        joints=posed.joints.numpy(),
        K=K[None].astype(np.float32),
        valid=np.ones((1, 2), bool),
        confidence=np.ones((1, 2), np.float32),
        body_name=np.array("closefit"),
        floor=np.array([0.0, -1.0, 0.0, 1.0], np.float32),
        notes=np.array(""),
    )


def masks_of(body: Body, motion: Motion) -> np.ndarray:
    """Visible masks (frame, person, height, width) of a motion."""
    from ownership import body_owners

    frames = range(len(motion.transl))
    owners = np.stack(list(body_owners(body, motion, frames, SIZE_WH)))
    return np.stack([owners == 0, owners == 1], axis=1)


def score(body: Body, motion: Motion, masks: np.ndarray) -> dict:
    from ownership import body_owners, labels_of_masks, shares

    labels = labels_of_masks(masks)
    owners = body_owners(body, motion, list(labels), SIZE_WH)
    return shares({f: lab.count(o) for (f, lab), o in zip(labels.items(), owners, strict=True)})


def swapped(motion: Motion, frames: slice = slice(None)) -> Motion:
    changed = {}
    for name in ("rotations", "transl", "joints"):
        array = getattr(motion, name).copy()
        array[frames] = array[frames, ::-1]
        changed[name] = array
    return replace(motion, **changed)


def in_turn(*motions: Motion) -> Motion:
    names = ("rotations", "transl", "joints", "K", "valid", "confidence")
    frames = {name: np.concatenate([getattr(one, name) for one in motions]) for name in names}
    return replace(motions[0], **frames)


EDGE = 0.02
"""Share of the pixels that both people may cover by half, so that either owns them."""
SIDE_BY_SIDE = ((-1.0, 4.0), (1.0, 4.0))
ONE_BEHIND = ((0.0, 2.5), (0.1, 3.5))


@pytest.mark.parametrize("places", [SIDE_BY_SIDE, ONE_BEHIND])
def test_the_exact_pose_owns_every_pixel(body: Body, places) -> None:
    motion = standing(body, *places)
    found = score(body, motion, masks_of(body, motion))
    assert (found["own"], found["foreign"], found["bare"]) == (1.0, 0.0, 0.0)
    assert found["pixels"] > 1000


def test_the_numbers_of_the_people_do_not_matter(body: Body) -> None:
    motion = standing(body, *ONE_BEHIND)
    found = score(body, swapped(motion), masks_of(body, motion))
    assert found["own"] == pytest.approx(1.0, abs=EDGE)


def test_one_assignment_holds_for_the_whole_clip(body: Body) -> None:
    """Identities that are swapped halfway are wrong in half of the frames."""
    motion = in_turn(standing(body, *SIDE_BY_SIDE), standing(body, *SIDE_BY_SIDE))
    found = score(body, swapped(motion, slice(1, 2)), masks_of(body, motion))
    assert found["own"] == pytest.approx(0.5, abs=EDGE)
    assert found["foreign"] == pytest.approx(0.5, abs=EDGE)


def test_who_is_put_behind_loses_pixels_to_the_other(body: Body) -> None:
    """In the second frame the person behind is moved in front along the line of sight."""
    apart, (front, (x, z)) = standing(body, *SIDE_BY_SIDE), ONE_BEHIND
    truth = in_turn(apart, standing(body, front, (x, z)))
    masks = masks_of(body, truth)
    found = score(body, in_turn(apart, standing(body, front, (x / 2, z / 2))), masks)
    assert found["frames"]["0"] == [masks[0].sum(), 0, 0]
    own, foreign, bare = found["frames"]["1"]
    assert foreign > 0.5 * masks[1, 0].sum()
    assert own + foreign + bare == masks[1].sum()


def test_a_place_with_nobody_is_bare(body: Body) -> None:
    truth = standing(body, *SIDE_BY_SIDE)
    found = score(body, standing(body, SIDE_BY_SIDE[0], (9.0, 4.0)), masks_of(body, truth))
    assert found["bare"] == pytest.approx(0.5, abs=0.02)
    assert found["foreign"] == 0.0


def test_a_point_labels_the_pixel_that_it_names() -> None:
    from ownership import labels_of_points

    owners = np.full((4, 6), 2)
    owners[1, 5] = 0
    owners[3, 2] = 1
    counts = labels_of_points([[[5, 1]], [[2, 3], [0, 0]]]).count(owners)
    np.testing.assert_array_equal(counts, [[1, 0, 0], [0, 1, 1]])


@pytest.mark.parametrize(("confidence", "expected"), [(0.99, 2), (0.5, 0)])
def test_wrong_identities_count_where_they_are_sure(confidence: float, expected: int) -> None:
    from types import SimpleNamespace

    from ownership import sure_and_wrong

    right, wrong = np.array([[9, 1, 0], [0, 9, 0]]), np.array([[1, 5, 0], [5, 0, 0]])
    track = SimpleNamespace(identity_confidence=np.full((2, 2), confidence))
    assert sure_and_wrong(track, {0: right, 1: wrong}) == expected
