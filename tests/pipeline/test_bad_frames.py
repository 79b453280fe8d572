"""Clips and detections with bad frames through all stages: a sound result or one clear error."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from closefit import video
from closefit.config import Config
from closefit.demo import DemoClip
from closefit.errors import ClosefitError, ObservationsError, PeopleError
from closefit.pipeline import runner
from closefit.records import Motion, OptimizedMotion, Track
from closefit.settings import build_config
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace
from tests.demo_clips import demo_clip
from tests.quick_run import QUICK

FRAMES, SIZE = 10, (160, 120)
UNKNOWN = {"boxes_xyxy": "nobody is there", "curves": "the step has no such term"}
"""Arrays in which NaN is documented."""

MUCH_M, FAR_M = 0.04, 0.15
"""Bounds on differences from the motion of the sound clip: on average, and in the worst frame."""

Spoil = Callable[[dict[str, np.ndarray]], None]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DemoClip:
    return demo_clip(tmp_path_factory.mktemp("clip"), FRAMES, SIZE)


def _config(observations: Path, *assignments: str) -> Config:
    return build_config(assignments=[*QUICK, f"track.observations={observations}", *assignments])


def _run(clip: DemoClip, out: Path, spoil: Spoil, *assignments: str) -> Workspace:
    """Spoil the clip's detections, run everything, check that all numbers are numbers."""
    with np.load(clip.observations) as archive:
        arrays = dict(archive)
    spoil(arrays)
    observations = out.with_suffix(".npz")
    np.savez(observations, **arrays)
    runner.run(clip.video, out, _config(observations, *assignments), lambda _: None)
    workspace = Workspace(out)
    _check_arrays(workspace)
    _check_exports(workspace)
    return workspace


def _check_arrays(workspace: Workspace) -> None:
    files = [*workspace.artifacts.glob("*.npz"), *workspace.root.glob("*.npz")]
    assert len(files) >= 6
    for file in files:
        with np.load(file) as archive:
            for name, array in archive.items():
                if array.dtype.kind == "f" and name not in UNKNOWN and file.stem != "detections":
                    assert np.isfinite(array).all(), (file.name, name)


def _check_exports(workspace: Workspace) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    for file in workspace.root.glob("*.json"):
        json.loads(file.read_text(encoding="utf-8"), parse_constant=refuse)
    for file in workspace.root.glob("*.bvh"):
        assert "nan" not in file.read_text(encoding="utf-8").lower()
    for file in (workspace.root / "gaussians").glob("*.ply"):
        assert np.isfinite(np.frombuffer(file.read_bytes().split(b"end_header\n")[1], "<f4")).all()
    content = workspace.glb.read_bytes()
    length = struct.unpack("<I", content[12:16])[0]
    scene = json.loads(content[20 : 20 + length], parse_constant=refuse)
    floats = [entry for entry in scene["accessors"] if entry["componentType"] == 5126]
    views = scene["bufferViews"]
    for entry in floats:
        view = views[entry["bufferView"]]
        start = 28 + length + view.get("byteOffset", 0)
        values = np.frombuffer(content[start : start + view["byteLength"]], "<f4")
        assert np.isfinite(values).all()


@pytest.fixture(scope="module")
def sound(clip: DemoClip, tmp_path_factory: pytest.TempPathFactory) -> OptimizedMotion:
    """The motion where nothing is spoiled."""
    return _motion(_run(clip, tmp_path_factory.mktemp("sound") / "out", lambda _: None))


def _motion(workspace: Workspace) -> OptimizedMotion:
    return artifacts.read(workspace.artifact("optimize"), OptimizedMotion)


def _error_m(found: OptimizedMotion, expected: OptimizedMotion) -> np.ndarray:
    """(frame, person): mean distance of the joints about each pelvis."""
    first, second = (motion.joints - motion.joints[:, :, :1] for motion in (found, expected))
    error: np.ndarray = np.linalg.norm(first - second, axis=-1).mean(-1)
    return error


def _valid(workspace: Workspace) -> np.ndarray:
    return _motion(workspace).valid


def _show_the_truth(arrays: dict[str, np.ndarray], path: Path) -> None:
    """The output of a perfect detector."""
    with np.load(path) as truth:
        arrays["boxes"] = truth["boxes"].astype(arrays["boxes"].dtype)
        sure = np.ones_like(truth["keypoints2d"][..., :1])
        arrays["keypoints"] = np.concatenate([truth["keypoints2d"], sure], axis=-1)


def _hide(arrays: dict[str, np.ndarray], frames: slice, person: slice = slice(None)) -> None:
    arrays["boxes"][frames, person] = np.nan
    arrays["keypoints"][frames, person] = np.nan


def _fill_mask(arrays: dict[str, np.ndarray], frames: slice, value: bool) -> None:
    shape = tuple(arrays["union_masks_shape"])
    masks = np.unpackbits(arrays["union_masks"], count=int(np.prod(shape))).reshape(shape)
    masks[frames] = value
    arrays["union_masks"] = np.packbits(masks)


def test_frames_without_one_person_or_both(
    clip: DemoClip, tmp_path: Path, sound: OptimizedMotion
) -> None:
    """The motion goes on through the gaps, and the other frames hardly notice."""

    def spoil(arrays: dict[str, np.ndarray]) -> None:
        _hide(arrays, slice(3, 5), slice(0, 1))
        _hide(arrays, slice(6, 8))

    workspace = _run(clip, tmp_path / "out", spoil)
    assert _valid(workspace).all()
    error_m = _error_m(_motion(workspace), sound)
    assert error_m.mean() < MUCH_M, error_m
    assert error_m.max() < FAR_M, error_m


@pytest.mark.slow
def test_a_person_who_leaves_for_long_is_marked_invalid(tmp_path: Path) -> None:
    """Seen in the first half second only, so the last frames rest on nothing."""
    slow = demo_clip(tmp_path / "slow", 40, SIZE)

    def spoil(arrays: dict[str, np.ndarray]) -> None:
        _show_the_truth(arrays, slow.truth)  # without identities that are swapped
        _hide(arrays, slice(15, None), slice(1, 2))

    workspace = _run(slow, tmp_path / "out", spoil, "export.overlay=false")
    valid = _valid(workspace)
    assert valid[:, 0].all()
    assert valid[:15, 1].all()
    assert not valid[35:, 1].any()


@pytest.mark.parametrize("value", [False, True], ids=["empty", "everything"])
@pytest.mark.parametrize("frames", [slice(2, 4), slice(None)], ids=["some", "all"])
def test_masks_that_are_empty_or_cover_everything(
    clip: DemoClip, tmp_path: Path, value: bool, frames: slice
) -> None:
    workspace = _run(clip, tmp_path / "out", lambda a: _fill_mask(a, frames, value))
    assert _valid(workspace).all()


def test_keypoints_without_confidence_in_some_frames(
    clip: DemoClip, tmp_path: Path, sound: OptimizedMotion
) -> None:
    def spoil(arrays: dict[str, np.ndarray]) -> None:
        arrays["keypoints"][2:5, :, :, 2] = 0.0

    workspace = _run(clip, tmp_path / "out", spoil)
    error_m = _error_m(_motion(workspace), sound)
    assert error_m.mean() < MUCH_M, error_m
    assert error_m.max() < FAR_M, error_m
    assert (_motion(workspace).confidence[2:5] < sound.confidence[2:5] - 0.05).all()


def test_no_confident_keypoint_at_all_is_refused(clip: DemoClip, tmp_path: Path) -> None:
    def spoil(arrays: dict[str, np.ndarray]) -> None:
        arrays["keypoints"][..., 2] = 0.0

    with pytest.raises(ClosefitError, match="keypoints"):
        _run(clip, tmp_path / "out", spoil)


def test_keypoints_all_below_the_threshold_are_refused(clip: DemoClip, tmp_path: Path) -> None:
    def spoil(arrays: dict[str, np.ndarray]) -> None:
        arrays["keypoints"][..., 2] = 0.1

    with pytest.raises(PeopleError, match="keypoint"):
        _run(clip, tmp_path / "out", spoil)


def test_nan_keypoints_are_unknown_keypoints(clip: DemoClip, tmp_path: Path) -> None:
    def spoil(arrays: dict[str, np.ndarray]) -> None:
        arrays["keypoints"][1, 0, 5:9] = np.nan
        arrays["keypoints"][4, 1, :, 0] = np.nan

    workspace = _run(clip, tmp_path / "out", spoil)
    track = artifacts.read(workspace.artifact("track"), Track)
    assert (track.keypoints[4, 1, :, 2] == 0).all()


@pytest.mark.parametrize("key", ["boxes", "keypoints"])
def test_an_infinite_detection_is_refused(clip: DemoClip, tmp_path: Path, key: str) -> None:
    def spoil(arrays: dict[str, np.ndarray]) -> None:
        arrays[key][3, 0, 0] = np.inf

    with pytest.raises(ObservationsError, match=f"`{key}` has the value inf in row 3"):
        _run(clip, tmp_path / "out", spoil)


def test_a_video_of_one_colour(clip: DemoClip, tmp_path: Path, sound: OptimizedMotion) -> None:
    """Pixels that show nobody do not pull the motion away from the keypoints."""
    grey = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    plain = tmp_path / "plain.mp4"
    video.write(plain, (grey for _ in range(FRAMES)), 30.0)
    grey_clip = DemoClip(plain, clip.observations, clip.truth)
    workspace = _run(grey_clip, tmp_path / "out", lambda _: None)
    error_m = _error_m(_motion(workspace), sound)
    assert error_m.max() < MUCH_M, error_m


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("motion", ["direct", "prior", "both"])
def test_very_short_clips(tmp_path: Path, frames: int, motion: str) -> None:
    short = demo_clip(tmp_path / "short", frames, SIZE)
    workspace = _run(
        short,
        tmp_path / "out",
        lambda arrays: _show_the_truth(arrays, short.truth),
        f"optimize.motion={motion}",
    )
    motion_found = artifacts.read(workspace.artifact("init"), Motion)
    assert motion_found.joints.shape[0] == frames
