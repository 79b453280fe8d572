"""Where the viewer's picture and clock put things."""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from closefit.errors import ConfigError
from closefit.storage.workspace import Workspace, write_json
from closefit.tracking import corrections
from closefit.viewer.clock import Clock
from closefit.viewer.corrections import Swapped, apply_marks
from closefit.viewer.results import Results, read_results
from closefit.viewer.scene import Stand, _borders
from tests.pipeline.test_track import SIZE_WH
from tests.samples import make_video_info
from tests.viewer.conftest import Page


def test_a_place_on_the_canvas_is_a_pixel_of_the_picture_from_anywhere() -> None:
    generator = np.random.default_rng(0)
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec([np.pi, 0.1, 0.0]).as_matrix()
    T[:3, 3] = [0.2, 1.1, 0.3]
    K = np.array([[300.0, 0.0, 170.0], [0.0, 310.0, 110.0], [0.0, 0.0, 1.0]])
    root = np.array([1.5, 0.0, 0.0])
    stand = SimpleNamespace(
        _T_scene_camera=T,
        root=SimpleNamespace(position=root),
        _motion=SimpleNamespace(K=K[None]),
        _picture_m=0.5,
    )
    for _ in range(20):
        pixel = generator.uniform([0, 0], [320, 240])
        point = T[:3, :3] @ (0.5 * np.linalg.inv(K) @ [*pixel, 1.0]) + T[:3, 3] + root
        turn = Rotation.from_matrix(T[:3, :3]) * Rotation.from_rotvec(generator.normal(0, 0.1, 3))
        position = T[:3, 3] + root + T[:3, :3] @ generator.normal([0, 0, -0.3], 0.05)
        seen = turn.inv().apply(point - position)
        half, aspect = np.tan(0.4), 1.6
        screen = 0.5 + 0.5 * seen[:2] / seen[2] / [half * aspect, half]
        camera = SimpleNamespace(
            wxyz=np.roll(turn.as_quat(), 1), position=position, fov=0.8, aspect=aspect
        )
        np.testing.assert_allclose(Stand.pixel_at(stand, camera, tuple(screen)), pixel, atol=1e-6)
        camera.wxyz = np.roll((turn * Rotation.from_rotvec([np.pi, 0, 0])).as_quat(), 1)
        assert Stand.pixel_at(stand, camera, (0.5, 0.5)) is None


@pytest.mark.parametrize("middle", [(160.0, 120.0), (150.0, 130.5), (200.0, 60.0)])
def test_borders_put_the_principal_point_in_the_middle(middle: tuple[float, float]) -> None:
    K = np.array([[300.0, 0.0, middle[0]], [0.0, 300.0, middle[1]], [0.0, 0.0, 1.0]])
    (top, bottom), (left, right) = _borders(K, (320, 240))
    assert middle[0] + left == pytest.approx((320 + left + right) / 2, abs=0.5)
    assert middle[1] + top == pytest.approx((240 + top + bottom) / 2, abs=0.5)
    assert min(top, bottom) == min(left, right) == 0


def folder(first_s: float, fps: float, frames: int, video: str) -> Results:
    """Only the times of a folder."""
    results = object.__new__(Results)
    object.__setattr__(results, "times_s", first_s + np.arange(frames) / fps)
    object.__setattr__(results, "video", SimpleNamespace(content_sha256=video))
    return results


def test_folders_of_one_video_meet_at_its_time() -> None:
    whole, part = folder(0.0, 25.0, 100, "a"), folder(1.0, 25.0, 25, "a")
    clock = Clock([part, whole])
    assert len(clock.times_s) == 100
    assert [clock.frame_in(whole, step) for step in (0, 30, 99)] == [0, 30, 99]
    assert [clock.frame_in(part, step) for step in (0, 25, 30, 99)] == [0, 0, 5, 24]


def test_folders_of_different_videos_begin_together() -> None:
    slow, fast = folder(3.0, 25.0, 50, "a"), folder(0.0, 50.0, 90, "b")
    clock = Clock([slow, fast])
    assert len(clock.times_s) == 50
    assert [clock.frame_in(fast, step) for step in (0, 10, 49)] == [0, 20, 89]


def test_a_rectangle_with_the_pointer_is_the_box(page: Page, results) -> None:
    read = read_results(results.root)
    page.until(lambda p: "Left, top" in p.controls)
    turn, move = read.T_scene_camera[0, :3, :3], read.T_scene_camera[0, :3, 3]
    x = (read.motions["result"].joints @ turn.T + move)[..., 0]
    width, height = SIZE_WH
    lens = 2.0 * np.arctan(0.5 * height / read.motions["result"].K[0, 1, 1])
    page._send(
        "ViewerCameraMessage",
        wxyz=np.roll(Rotation.from_matrix(turn).as_quat(), 1).tolist(),
        position=(move - [0.5 * (x.min() + x.max()), 0.0, 0.0]).tolist(),
        fov=float(lens), near=0.1, far=10.0, look_at=(0, 0, 0), up_direction=(0, 1, 0),
        image_height=height, image_width=width,
    )  # fmt: skip
    page._send(
        "ScenePointerMessage", event_type="rect-select", modifier="shift", ray_origin=None,
        ray_direction=None, screen_pos=((0.25, 0.5), (0.75, 1.2)),
    )  # fmt: skip
    corners = (width / 4, height / 2), (3 * width / 4, height)
    for label, corner in zip(("Left, top", "Right, bottom"), corners, strict=True):
        page.until(lambda p: np.allclose(p.controls[label]["value"], corner, atol=1.0))  # noqa: B023


def test_marks_are_written_into_the_folder_only(tmp_path: Path) -> None:
    """Whatever a folder from somebody else names."""
    workspace, video = Workspace(tmp_path / "results"), tmp_path / "home" / "dance.mp4"
    workspace.create()
    video.parent.mkdir()
    video.touch()
    named, beside = video.with_name("named.json"), video.with_name("corrections.json")
    named.write_text("{}")
    facts = asdict(make_video_info(30)) | {"path": str(video)}
    for path in (named, beside):
        settings = {"track.corrections": str(named)} if path == named else {}
        write_json(workspace.run_json, {"video": facts, "settings": settings})
        marks = [Swapped(10, 19)]
        if path == beside:
            beside.write_text('{"drop": [{"person": 1, "frame": 3}]}')
        before = sorted(entry.name for entry in video.parent.iterdir())
        written, command = apply_marks(workspace, marks, 30, (64, 48))
        assert written == workspace.corrections
        assert sorted(entry.name for entry in video.parent.iterdir()) == before
        assert f"--corrections {written}" in command
        content = json.loads(written.read_text())
        assert content["swap"] == [10, 20]
        assert ("drop" in content) == (path == beside)
        assert "swap" not in (beside.read_text() if path == beside else "")
        assert corrections.find(video, written, workspace.corrections) == written
        written.unlink()


@pytest.mark.parametrize("value", [7, "\0", ["a", "b"]])
def test_settings_that_cannot_be_are_refused(tmp_path: Path, value: object) -> None:
    workspace = Workspace(tmp_path)
    told = {"track.corrections": value}
    write_json(workspace.run_json, {"video": asdict(make_video_info(30)), "settings": told})
    with pytest.raises(ConfigError, match=r"run\.json` cannot be used"):
        apply_marks(workspace, [Swapped(1, 2)], 30, (64, 48))
