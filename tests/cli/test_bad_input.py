"""Bad input through the real command line and the real stages: the message and the exit code."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from closefit.records import Track
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace
from tests.clips import cut_short, make_audio, make_video

FRAMES, WIDTH, HEIGHT = 12, 96, 64


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A short video without people; its header comes first, as in streamed files."""
    header_first = ("-movflags", "+faststart")
    path = tmp_path / "clip.mp4"
    return make_video(path, FRAMES, (WIDTH, HEIGHT), options=header_first)


@pytest.fixture
def observe(tmp_path: Path) -> Callable[..., Path]:
    """Write detections of two people who stand side by side in the given frames."""

    def write(*frames_of_person: range) -> Path:
        boxes = np.full((FRAMES, 2, 4), np.nan)
        keypoints = np.zeros((FRAMES, 2, 17, 3))
        for person, frames in enumerate(frames_of_person):
            left = 20.0 + 30.0 * person
            boxes[list(frames), person] = (left, 10, left + 20, 60)
            keypoints[list(frames), person] = (left + 10, 35, 0.9)
        path = tmp_path / "observations.npz"
        masks = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
        np.savez(
            path,
            boxes=boxes,
            keypoints=keypoints,
            union_masks=np.packbits(masks),
            union_masks_shape=np.array(masks.shape),
            width=WIDTH,
            height=HEIGHT,
            fps=30.0,
        )
        return path

    return write


@pytest.fixture
def refused(invoke, tmp_path: Path) -> Callable[..., str]:
    """Run the command on a video; check the exit code and that no traceback is shown."""

    def run(video: Path, exit_code: int, *options: object) -> str:
        result = invoke("run", video, "--out", tmp_path / "out", "--offline", *options)
        assert result.exit_code == exit_code, result.stderr
        assert "Traceback" not in result.stderr
        error, hint = result.stderr[result.stderr.index("error: ") :].strip().split("\n\n")
        assert hint.startswith("hint: ")
        return error

    return run


def test_no_such_file(refused, tmp_path: Path) -> None:
    error = refused(tmp_path / "nothing.mp4", 3)
    assert f"`{tmp_path / 'nothing.mp4'}`" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"just some text\n" * 50])
def test_not_a_video(refused, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "notes.mp4"
    file.write_bytes(content)
    assert "notes.mp4`" in refused(file, 3)


def test_a_folder_is_not_a_video(refused, tmp_path: Path) -> None:
    assert f"`{tmp_path}`" in refused(tmp_path, 3)


def test_a_truncated_video(refused, video: Path, tmp_path: Path) -> None:
    assert "cut.mp4`" in refused(cut_short(video, tmp_path / "cut.mp4", 0.6), 3)


def test_a_video_cut_before_its_header(refused, tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", FRAMES)
    assert "cut.mp4`" in refused(cut_short(whole, tmp_path / "cut.mp4"), 3)


def test_audio_only(refused, tmp_path: Path) -> None:
    assert "song.m4a`" in refused(make_audio(tmp_path / "song.m4a"), 3)


def test_no_frame_in_the_chosen_part(refused, video: Path, observe) -> None:
    observations = observe(range(FRAMES), range(FRAMES))
    refused(video, 3, "--observations", observations, "--start", 100)


def test_nobody(refused, video: Path, observe) -> None:
    refused(video, 9, "--observations", observe())


def test_one_person(refused, video: Path, observe) -> None:
    refused(video, 9, "--observations", observe(range(FRAMES)))


def test_people_who_never_meet(refused, video: Path, observe) -> None:
    half = FRAMES // 2
    refused(video, 9, "--observations", observe(range(half), range(half, FRAMES)))


@pytest.mark.slow
def test_nobody_seen_by_a_detector(refused, video: Path, shared: Path) -> None:
    weights = shared / "weights"
    refused(video, 9, "--perception", "yolo", "--weights", weights, "--device", "cpu")


def test_no_such_observations(refused, video: Path, tmp_path: Path) -> None:
    error = refused(video, 3, "--observations", tmp_path / "none.npz")
    assert "none.npz`" in error


def test_observations_that_are_something_else(refused, video: Path, tmp_path: Path) -> None:
    file = tmp_path / "observations.npz"
    file.write_bytes(b"something else")
    assert "observations.npz`" in refused(video, 3, "--observations", file)


def test_missing_weights(refused, video: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    error = refused(video, 5, "--perception", "yolo", "--device", "cpu")
    assert "`yolo11n-pose.pt`" in error


def test_damaged_weights(refused, video: Path, tmp_path: Path, observe) -> None:
    (tmp_path / "closefit_body.npz").write_bytes(b"not a body")
    observations = observe(range(FRAMES), range(FRAMES))
    error = refused(video, 5, "--observations", observations, "--weights", tmp_path)
    assert "closefit_body.npz` is damaged" in error


@pytest.mark.parametrize(
    ("perception", "names"),
    [
        ("lite", ("rtmdet_nano_person_320.onnx", "pose_landmark_full.tflite")),
        ("yolo", ("yolo11n-pose.pt", "yolo11n-seg.pt", "pose_landmark_full.tflite")),
    ],
)
def test_a_damaged_network(refused, video: Path, tmp_path: Path, perception: str, names) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"not a network")
    error = refused(video, 5, "--perception", perception, "--weights", tmp_path)
    assert any(f"{name}` is damaged" in error for name in names)
    assert not Workspace(tmp_path / "out").artifact("track").exists()


@pytest.mark.parametrize("setting", ["optimize.pases=3", "init.steps=many", "init.steps=0"])
def test_wrong_settings(refused, video: Path, setting: str) -> None:
    key, value = setting.split("=")
    error = refused(video, 4, "--set", setting)
    assert key.split(".")[1] in error or value in error


def test_a_missing_settings_file(refused, video: Path, tmp_path: Path) -> None:
    refused(video, 3, "--config", tmp_path / "none.toml")


@pytest.fixture
def artifact(invoke, video: Path, observe, tmp_path: Path) -> Path:
    """What `track` writes for an import, in the folder `out`."""
    out = tmp_path / "out"
    observations = observe(range(FRAMES), range(FRAMES))
    tracked = invoke("stage", "track", video, "--out", out, "--observations", observations)
    assert tracked.exit_code == 0, tracked.stderr
    return Workspace(out).artifact("track")


def changed(artifact: Path, **changes: np.ndarray) -> None:
    """Write other arrays into an artifact, and leave the rest as it is."""
    with np.load(artifact) as archive:
        arrays = dict(archive)
    np.savez(artifact, **{**arrays, **changes})


def with_version(artifact: Path, version: int) -> None:
    with np.load(artifact) as archive:
        meta = json.loads(str(archive["__meta__"]))
    changed(artifact, __meta__=np.array(json.dumps({**meta, "version": version})))


def test_an_artifact_cut_short_or_of_another_version(invoke, artifact: Path) -> None:
    out, content = artifact.parent.parent, artifact.read_bytes()

    artifact.write_bytes(content[:-50])
    result = invoke("stage", "init", out)
    assert result.exit_code == 6
    assert "track.npz`: it is cut short" in result.stderr
    assert f"hint: run `closefit stage track {out}`" in result.stderr

    artifact.write_bytes(content)
    with_version(artifact, 99)
    result = invoke("stage", "init", out)
    assert result.exit_code == 6
    assert f"layout version `99`; this closefit reads {Track.VERSION}" in result.stderr

    artifact.unlink()
    result = invoke("stage", "init", out)
    assert result.exit_code == 6
    assert f"there is no `{artifact}`" in result.stderr


@pytest.mark.parametrize("masks", ["union", "person"])
def test_masks_that_are_garbage(invoke, artifact: Path, masks: str) -> None:
    """A file that is whole and follows the schema, but for the bytes of its masks."""
    garbage = np.random.default_rng(0).integers(0, 256, 24 * FRAMES, dtype=np.uint8)
    ends = np.arange(1, 2 * FRAMES + 1) * 12
    ends = ends[1::2] if masks == "union" else ends.reshape(FRAMES, 2)
    changed(artifact, **{f"{masks}_mask_bytes": garbage, f"{masks}_mask_ends": ends})
    out = artifact.parent.parent
    result = invoke("stage", "init", out)
    assert result.exit_code == 6
    assert "track.npz`: its masks cannot be read" in result.stderr
    assert f"hint: run `closefit stage track {out}`" in result.stderr
    assert "Traceback" not in result.stderr
    assert invoke("stage", "track", out).exit_code == 0  # it does not take them for its own
    artifacts.read(artifact, Track)


def test_a_folder_of_an_older_layout(invoke, artifact: Path) -> None:
    """Single stages name the command that makes the artifact again."""
    with_version(artifact, Track.VERSION - 1)
    out = artifact.parent.parent
    result = invoke("stage", "init", out)
    assert result.exit_code == 6
    assert f"layout version `{Track.VERSION - 1}`" in result.stderr
    assert f"hint: run `closefit stage track {out}` to make it again" in result.stderr
    result = invoke("stage", "track", out)
    assert result.exit_code == 0
    assert "older version" in result.stderr
    artifacts.read(artifact, Track)


def test_a_full_disk(video: Path, observe, tmp_path: Path) -> None:
    """A real process with a limit on the size of its files, which fails as a full disk does."""
    observations = observe(range(FRAMES), range(FRAMES))
    out = tmp_path / "out"
    arguments = ["run", video, "--out", out, "--observations", observations, "--until", "track"]
    result = subprocess.run(
        [sys.executable, "-c", "from closefit.cli.main import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)),
    )
    assert result.returncode == 10, result.stderr
    assert "error: no space left to write `" in result.stderr
    assert "hint: free some space" in result.stderr
    assert not Workspace(out).artifact("track").exists()
