"""Triangulation over calibrated views: exact where views are exact, robust where one is not."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def views():
    from views import View

    def look(angle: float) -> View:
        """A camera 4 m away that looks at the origin."""
        sine, cosine = np.sin(angle), np.cos(angle)
        R = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
        K = np.array([[1000.0, 0.0, 320.0], [0.0, 1000.0, 240.0], [0.0, 0.0, 1.0]])
        return View(f"{angle:g}", K, np.array([-0.05, 0.1, 5e-4, 3e-4]), R, np.array([0, 0, 4.0]))

    return [look(angle) for angle in (0.0, 1.2, 2.6, 4.0)]


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (50, 3))


def test_exact_views_give_the_points(views, points):
    from views import triangulate

    pixels = np.stack([view.project(points) for view in views])
    found = triangulate(views, pixels, np.ones(pixels.shape[:2], bool), 1.0, 3)
    assert np.allclose(found.points_m, points, atol=1e-9)
    assert (found.num_views == 4).all()


def test_one_wrong_view_is_left_out(views, points):
    from views import triangulate

    pixels = np.stack([view.project(points) for view in views])
    pixels[2] += 80.0
    found = triangulate(views, pixels, np.ones(pixels.shape[:2], bool), 5.0, 3)
    assert np.allclose(found.points_m, points, atol=1e-9)
    assert (found.num_views == 3).all()


def test_two_views_prove_nothing(views, points):
    from views import triangulate

    pixels = np.stack([view.project(points) for view in views])
    known = np.ones(pixels.shape[:2], bool)
    known[:2] = False
    assert np.isnan(triangulate(views, pixels, known, 5.0, 3).points_m).all()


def test_people_are_matched_over_the_views(views, points):
    from views import same_people

    people = points[:48].reshape(3, 2, 8, 3)
    pixels = np.stack([view.project(people) for view in views])
    pixels[1], pixels[3] = pixels[1, :, ::-1].copy(), pixels[3, :, ::-1].copy()
    orders, error = same_people(views, pixels, np.ones(pixels.shape[:-1], bool))
    assert orders == [(0, 1), (1, 0), (0, 1), (1, 0)]
    assert error < 1e-6


def test_undistorting_inverts_the_lens(views, points):
    view = views[0]
    x, y = ((view.project(points) - view.K[:2, 2]) / 1000.0).T
    k1, k2, p1, p2 = view.distortion
    square = x * x + y * y
    radial = 1 + k1 * square + k2 * square**2
    bent = np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x),
            y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y,
        ],
        axis=-1,
    )
    assert np.allclose(view.undistorted(1000.0 * bent + view.K[:2, 2]), view.project(points))


def test_the_shared_calibration_places_four_upright_cameras_in_a_room(shared: Path):
    from views import read_qualisys

    views = read_qualisys(shared / "clips" / "real" / "pose2sim" / "Calib.qca.txt")
    assert [view.name for view in views] == ["cam01", "cam02", "cam03", "cam04"]
    for view in views:
        assert np.allclose(view.R @ view.R.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(view.R) == pytest.approx(1.0)
        assert 1.0 < (-view.R.T @ view.t)[2] < 3.0, "it stands above the floor, z up"
        assert view.R[1, 2] < -0.5, "its image is upright"
