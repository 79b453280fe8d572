"""The focal length of a clip: laws of the search, and a search on people of known motion."""

import dataclasses

import numpy as np
import pytest
import torch

from closefit.fit.prior_clip import pose_of
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import rest_pelvis
from closefit.geometry.camera import focal_from_fov
from closefit.init.focal_search import (
    FIELDS_DEG,
    USUAL_DEG,
    USUAL_LOG_SIGMA,
    farther,
    most_plausible,
    search_focal,
    with_focal,
)
from closefit.init.from_prior import PriorFit
from closefit.models.weights import PRIOR, locate
from closefit.prior.loading import load_prior
from tests.known_motion import KnownMotion

SIZE_WH = (640, 480)
TRIED = np.log([focal_from_fov(*SIZE_WH, fov_deg) for fov_deg in FIELDS_DEG])


def log_ratio(focal_px: float, fov_deg: float) -> float:
    return float(np.log(focal_px / focal_from_fov(*SIZE_WH, fov_deg)))


def test_without_evidence_it_is_a_usual_lens() -> None:
    found = most_plausible(SIZE_WH, np.full(len(FIELDS_DEG), 7.0))
    assert log_ratio(found.focal_px, USUAL_DEG) == pytest.approx(0.0, abs=0.03)
    assert 0.8 * USUAL_LOG_SIGMA < found.log_sigma <= USUAL_LOG_SIGMA


def test_a_fit_that_diverges_tells_nothing() -> None:
    found = most_plausible(SIZE_WH, np.array([1.0, 2.0, np.nan, 4.0, np.inf]))
    usual = most_plausible(SIZE_WH, np.full(len(FIELDS_DEG), 7.0))
    assert (found.focal_px, found.log_sigma) == pytest.approx((usual.focal_px, usual.log_sigma))


@pytest.mark.parametrize("fov_deg", [45.0, 60.0, 80.0])
def test_strong_evidence_decides(fov_deg: float) -> None:
    """Two Gaussian likelihoods multiply: the mean is weighted by their precisions."""
    true, precision = np.log(focal_from_fov(*SIZE_WH, fov_deg)), 400.0
    found = most_plausible(SIZE_WH, 0.5 * precision * (TRIED - true) ** 2)
    usual, usual_precision = np.log(focal_from_fov(*SIZE_WH, USUAL_DEG)), USUAL_LOG_SIGMA**-2
    mean = (precision * true + usual_precision * usual) / (precision + usual_precision)
    assert np.log(found.focal_px) == pytest.approx(mean, abs=2e-3)
    assert found.log_sigma == pytest.approx((precision + usual_precision) ** -0.5, rel=0.02)


def test_the_unit_of_pixels_does_not_matter() -> None:
    energies = np.array([9.0, 5.0, 4.0, 6.0, 12.0])
    found = [most_plausible((scale * 640, scale * 480), energies) for scale in (1, 3)]
    assert found[1].focal_px == pytest.approx(3.0 * found[0].focal_px, rel=1e-6)
    assert found[1].log_sigma == pytest.approx(found[0].log_sigma, rel=1e-6)


def test_farther_people_through_a_longer_lens_are_as_large(known: KnownMotion) -> None:
    pose = pose_of(known.variables)
    moved, lens = farther(pose, 1.7), with_focal(known.targets, 1.7)
    before = known.targets.K[:, None, 0, 0] / pose.pelvis_m[..., 2]
    after = lens.K[:, None, 0, 0] / moved.pelvis_m[..., 2]
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(lens.K[:, :2, 2], known.targets.K[:, :2, 2])


def seen_through(known: KnownMotion, focal_px: float) -> KeypointTargets:
    """Keypoints of two who stand on one floor, the second a third farther, by a lens."""
    near_m = 2.4 * focal_px / 400.0
    depth = torch.tensor([near_m, 1.35 * near_m])
    below = torch.tensor([-0.1, 0.1]) * 0.35  # the camera, at eye level, looks down a little
    place = torch.stack([torch.tensor([-0.5, 0.5]), below, depth], -1)
    pelvis = place.expand(known.variables.pelvis().shape)
    K = known.targets.K.clone()
    K[:, (0, 1), (0, 1)] = focal_px
    _, points = KeypointProjector(known.body, "coco17")(
        known.variables.rotations(),
        known.variables.betas,
        pelvis - rest_pelvis(known.body, known.variables.betas),
        K,
    )
    return dataclasses.replace(known.targets, points_px=points)


def test_a_wide_lens_is_told_from_a_long_one(known: KnownMotion) -> None:
    network = load_prior(locate(PRIOR))[0]
    wide, long = (
        search_focal(
            *(known.body, seen_through(known, focal_px), known.prior, network, PriorFit()),
            (480, 360),
            lambda *_: None,
        )
        for focal_px in (320.0, 800.0)
    )
    assert 1.1 * wide.focal_px < long.focal_px
    assert wide.log_sigma < USUAL_LOG_SIGMA
