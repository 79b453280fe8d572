import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from closefit.exporters.mesh_raster import SUPERSAMPLING, MeshPainter
from closefit.exporters.overlay import OverlayFrame, OverlayScene, draw_overlay
from closefit.exporters.views import (
    FLOOR_COLOUR,
    GRID_COLOUR,
    SIDE_AXES,
    TOP_AXES,
    ParallelView,
    Projected,
    project_perspective,
)
from closefit.geometry.contact import CONTACT_M, LIT_M, lit_skin
from closefit.palette import CONTACT_COLOUR, PERSON_COLOURS

BALL = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
WHITE = np.ones((1, 3))
TOWARDS_VIEWER = np.array([0.0, 0.0, -1.0])
K = np.array([[100.0, 0.0, 50.0], [0.0, 100.0, 40.0], [0.0, 0.0, 1.0]])


def camera_ball(x: float, z: float) -> np.ndarray:
    return np.asarray(BALL.vertices) + np.array([x, 0.0, z])


def draw(balls: list[np.ndarray], colours: np.ndarray, opacity: float = 1.0) -> np.ndarray:
    painter = MeshPainter(np.asarray(BALL.faces), 100, 80)
    bodies = np.stack(balls)
    background = np.zeros((80, 100, 3), np.uint8)
    projected = project_perspective(bodies, K, 0.1)
    return painter.draw(background, bodies, projected, TOWARDS_VIEWER, colours, opacity)


def test_a_ball_covers_its_disc_and_is_brightest_in_the_middle() -> None:
    picture = draw([camera_ball(0.0, 5.0)], WHITE)
    # Half the angle under which a ball is seen is asin(radius / distance).
    radius = 100.0 * np.tan(np.arcsin(0.5 / 5.0))
    radius += 1 / SUPERSAMPLING  # the light seam
    assert (picture[..., 0] > 0).sum() == pytest.approx(np.pi * radius**2, rel=0.15)
    assert picture[40, 50, 0] >= 250
    rows, columns = np.nonzero(picture[..., 0])
    assert np.abs([rows.mean() + 0.5 - 40, columns.mean() + 0.5 - 50]).max() < 0.1


def test_the_nearer_body_hides_the_farther_one_whatever_the_order() -> None:
    red, blue = np.eye(3)[0], np.eye(3)[2]
    near, far = camera_ball(0.0, 3.0), camera_ball(0.0, 6.0)
    one = draw([near, far], np.stack([red, blue]))
    other = draw([far, near], np.stack([blue, red]))
    np.testing.assert_array_equal(one, other)
    assert one[40, 50, 0] > 200
    assert one[28:52, 38:62, 2].max() == 0


def test_ink_follows_the_edge_of_the_nearer_body_and_a_light_seam_crosses_the_farther() -> None:
    red, blue = np.eye(3)[0], np.eye(3)[2]
    painter = MeshPainter(np.asarray(BALL.faces), 400, 320)
    bodies = np.stack([camera_ball(0.0, 3.0), camera_ball(1.0, 6.0)])
    large = K * [[4.0], [4.0], [1.0]]
    projected = project_perspective(bodies, large, 0.1)
    background = np.full((320, 400, 3), 120, np.uint8)
    colours = np.stack([red, blue])
    picture = painter.draw(background, bodies, projected, TOWARDS_VIEWER, colours, 1.0)
    # Along the row of both centres: nearer ball, its ink, the seam, the farther ball.
    row = picture[160].astype(int)
    edge = 200 + 400.0 * np.tan(np.arcsin(0.5 / 3.0))
    inside, seam, beyond = row[int(edge) - 1], row[int(edge)], row[int(edge) + 4]
    assert 40 < inside[0] < 90
    assert inside[1] == inside[2] == 0
    assert seam.min() > 100
    assert beyond[2] > 60
    assert beyond[0] == beyond[1] == 0
    # The farther one is before the background: it has ink of its own there, no seam on the nearer.
    assert row[150:250, 1].max() == 0


def test_a_limb_far_before_its_own_body_has_an_outline() -> None:
    ball = trimesh.util.concatenate(
        [
            BALL.copy().apply_translation([0, 0, 5]),
            BALL.copy().apply_scale(0.2).apply_translation([0.1, 0, 4]),
        ]
    )
    painter = MeshPainter(np.asarray(ball.faces), 400, 320)
    body = np.asarray(ball.vertices)[None]
    projected = project_perspective(body, K * [[4.0], [4.0], [1.0]], 0.1)
    background = np.zeros((320, 400, 3), np.uint8)
    row = painter.draw(background, body, projected, TOWARDS_VIEWER, WHITE, 1.0)[160, :, 0]
    edge = 210 + 400.0 * np.tan(np.arcsin(0.1 / 4.0))
    assert row[int(edge) - 1 : int(edge) + 1].min() < 100
    assert row[int(edge) + 3] > 200
    assert row[203:216].min() > 200


def test_opacity_blends_with_what_is_behind() -> None:
    picture = draw([camera_ball(0.0, 5.0)], WHITE, opacity=0.5)
    assert picture[40, 50, 0] in (127, 128)


def test_lit_skin_has_the_colour_of_contacts() -> None:
    painter = MeshPainter(np.asarray(BALL.faces), 100, 80)
    bodies = camera_ball(0.0, 5.0)[None]
    projected = project_perspective(bodies, K, 0.1)
    lit = (bodies[..., 0] > 0.0)[:1]
    background, blue = np.zeros((80, 100, 3), np.uint8), np.eye(3)[2:]
    picture = painter.draw(background, bodies, projected, TOWARDS_VIEWER, blue, 1.0, lit)
    yellow = 255.0 * np.array(CONTACT_COLOUR)
    np.testing.assert_allclose(picture[40, 54] / picture[40, 54].max(), yellow / 255.0, atol=0.02)
    assert picture[40, 45].argmax() == 2
    assert picture[40, 45, 0] == 0


@pytest.mark.parametrize("gap_m", [0.004, 0.1])
def test_skin_is_lit_only_while_two_touch(gap_m: float) -> None:
    points = np.random.default_rng(0).uniform(0, 1, (20_000, 3))
    pair = np.stack([points, points + np.array([1.0 + gap_m, 0.0, 0.0])])
    lit = lit_skin(pair)
    if gap_m > CONTACT_M:
        assert not lit.any()
        return
    for person, other in ((0, 1), (1, 0)):
        distance = cKDTree(pair[other]).query(pair[person])[0]
        np.testing.assert_array_equal(lit[person], distance < LIT_M)
    assert 0 < lit.sum() < 0.1 * lit.size


def test_what_is_behind_the_camera_is_not_drawn() -> None:
    assert draw([camera_ball(0.0, -3.0)], WHITE).max() == 0


def test_a_parallel_view_shows_all_joints_to_scale() -> None:
    joints = np.random.default_rng(0).uniform([-2, 0, -4], [2, 2, -1], size=(50, 2, 24, 3))
    for axes in (SIDE_AXES, TOP_AXES):
        assert np.linalg.det(axes) == pytest.approx(1.0)
        view = ParallelView.around(joints, axes, (200, 160))
        pixels = view.project(joints.reshape(1, -1, 3)).pixels
        assert (pixels > 0).all()
        assert (pixels < [200, 160]).all()
        step = view.project(joints.reshape(1, -1, 3) + axes[0]).pixels - pixels
        np.testing.assert_allclose(step, np.broadcast_to([view.px_per_m, 0], step.shape))


def test_side_and_top_look_from_the_right_and_from_above() -> None:
    points = np.array([[[0.0, 1.0, -2.0], [1.0, 1.0, -2.0], [0.0, 2.0, -2.0], [0.0, 1.0, -3.0]]])
    side, top = (
        ParallelView.around(points, axes, (200, 200)).project(points)
        for axes in (SIDE_AXES, TOP_AXES)
    )
    x, y = np.moveaxis(side.pixels[0], 1, 0)
    assert y[2] < y[0]  # higher is up
    assert x[3] > x[0]  # the camera, at the origin, is on the left
    assert side.nearness[0, 1] > side.nearness[0, 0]  # person's +x is towards the viewer
    x, y = np.moveaxis(top.pixels[0], 1, 0)
    assert x[1] > x[0]
    assert y[3] < y[0]  # the camera is at the bottom
    assert top.nearness[0, 2] > top.nearness[0, 0]


def test_the_floor_is_drawn_at_height_zero() -> None:
    joints = np.array([[0.0, 0.2, -3.0], [0.0, 1.8, -2.0]])
    view = ParallelView.around(joints, SIDE_AXES, (200, 160))
    panel = view.empty_panel()
    row = int(view.project(np.zeros((1, 1, 3))).pixels[0, 0, 1])
    floor_rows = np.flatnonzero((panel == FLOOR_COLOUR).all(-1).all(1))
    assert np.abs(floor_rows - row).max() <= 1
    assert (panel == GRID_COLOUR).all(-1).any()
    top = ParallelView.around(joints, TOP_AXES, (200, 160)).empty_panel()
    assert not (top == FLOOR_COLOUR).all(-1).any()


@pytest.mark.parametrize(("size_wh", "grid"), [((90, 120), (1, 4)), ((160, 90), (2, 2))])
def test_a_frame_has_four_panels_with_the_bodies_in_place(
    size_wh: tuple[int, int], grid: tuple[int, int]
) -> None:
    width, height = size_wh
    bodies = np.stack([camera_ball(-0.6, 5.0), camera_ball(0.6, 5.0)])
    scene = OverlayScene(
        faces=np.asarray(BALL.faces),
        T_scene_camera=np.diag([1.0, -1.0, -1.0, 1.0]),
        joints=np.tile(bodies.mean(1)[:, None] * [1, -1, -1], (3, 1, 24, 1)),
        size_wh=size_wh,
        panel_height_px=2 * height,
    )
    assert scene.panel_wh == (2 * width, 2 * height)
    image = np.full((2 * height, 2 * width, 3), 60, np.uint8)
    camera = np.array([[50.0, 0, width / 2], [0, 50.0, height / 2], [0, 0, 1]])
    frames = [
        OverlayFrame(
            number=n,
            time_s=n / 25.0,
            image=image,
            vertices=bodies,
            K=camera,
            valid=np.array(valid),
            contacts=np.zeros((0, 3)),
            depths_mm=np.zeros(0),
        )
        for n, valid in enumerate([[True, True], [True, False], [True, True]])
    ]
    pictures = list(draw_overlay(scene, frames))
    assert [picture.shape for picture in pictures] == [
        (grid[0] * 2 * height, grid[1] * 2 * width, 3)
    ] * 3
    overlay = pictures[0][: 2 * height, 2 * width : 4 * width]
    for person, x in enumerate((-0.6, 0.6)):
        pixel = overlay[height, int(2 * (50 * x / 5 + width / 2))].astype(float)
        hue = pixel - 0.2 * 60
        share = PERSON_COLOURS[person] / PERSON_COLOURS[person].max()
        np.testing.assert_allclose(hue / hue.max(), share, atol=0.05)
    # A number in the corner changes from frame to frame; a guessed body is greyer.
    first, second, third = (p[: 2 * height, : 2 * width].astype(int) for p in pictures)
    assert np.abs(third - first).max() > 0
    assert np.abs(second - first).sum() < 0.05 * first.size * 255
    right = int(2 * (50 * 0.6 / 5 + width / 2)) + 2 * width
    assert np.ptp(pictures[1][height, right]) < np.ptp(pictures[0][height, right])


def test_points_out_of_sight_do_not_upset_the_painter() -> None:
    painter = MeshPainter(np.asarray(BALL.faces), 20, 20)
    vertices = np.asarray(BALL.vertices)[None]
    projected = Projected(
        pixels=np.full((*vertices.shape[:2], 2), np.nan),
        nearness=np.ones(vertices.shape[:2]),
        nearness_per_m=1.0,
    )
    background = np.full((20, 20, 3), 7, np.uint8)
    picture = painter.draw(background, vertices, projected, TOWARDS_VIEWER, WHITE, 1.0)
    np.testing.assert_array_equal(picture, background)
