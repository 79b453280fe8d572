"""What comes from outside is checked once, and what is wrong ends in one sentence."""

import dataclasses
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from closefit import video
from closefit.boundary.arrays import Npz, read_npy
from closefit.boundary.files import input_limit, parse_json, parse_toml, read_text, to_json
from closefit.boundary.values import RefusedError
from closefit.cli.console import Console
from closefit.config import CameraConfig, Config
from closefit.errors import (
    ArtifactDamagedError,
    ConfigError,
    InputError,
    NotAVideoError,
    OutputFolderError,
    ResultError,
)
from closefit.geometry.camera import intrinsics
from closefit.optimize.phases import Phases
from closefit.records import Motion, OptimizedMotion, Track
from closefit.stages.inputs import read_camera
from closefit.stages.optimize import CHECKPOINT_FORMAT, _resumed
from closefit.storage import artifacts, checkpoints
from closefit.storage.artifacts import META_KEY, Provenance
from closefit.storage.job import Job
from closefit.storage.workspace import Workspace
from tests.clips import make_video
from tests.samples import make_motion, make_optimized_motion, make_track, make_video_info

RECORDS = {Motion: make_motion, OptimizedMotion: make_optimized_motion, Track: make_track}
PROVENANCE = Provenance(stage="init", fingerprint="abc")
UNCHECKED = {"boxes_xyxy", "curves", "kept_keypoints"}
"""Fields in which NaN means unknown, and figures for people."""


def floats(kind: type) -> list[str]:
    record = RECORDS[kind]()
    names = [f.name for f in dataclasses.fields(kind) if f.name not in UNCHECKED]
    arrays = {name: getattr(record, name) for name in names}
    return [name for name, array in arrays.items() if array.dtype.kind == "f" and array.size]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", RECORDS)
def test_no_value_that_is_not_finite_is_saved_or_read(tmp_path: Path, kind, wrong: float) -> None:
    path, record = tmp_path / "a.npz", RECORDS[kind]()
    artifacts.write(path, record, PROVENANCE)
    with np.load(path) as archive:
        before, stored = path.read_bytes(), dict(archive)
    for name in floats(kind):
        array = getattr(record, name).copy()
        array.flat[-1] = wrong
        with pytest.raises(ResultError, match=f"`init` cannot be right.*{name}"):
            artifacts.write(path, dataclasses.replace(record, **{name: array}), PROVENANCE)
        assert path.read_bytes() == before
        np.savez(tmp_path / "b.npz", **{**stored, name: array})
        with pytest.raises(ArtifactDamagedError, match="has a value that is not a number"):
            artifacts.read(tmp_path / "b.npz", kind)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rotations": np.zeros((5, 2, 24, 3, 3))}, "not rotations"),
        ({"rotations": np.tile(-np.eye(3), (5, 2, 24, 1, 1))}, "not rotations"),
        ({"rotations": np.full((5, 2, 24, 3, 3), 0.5, np.float16)}, "not rotations"),
        ({"joints": make_motion().joints - (0, 0, 20)}, "behind the camera"),
        ({"joints": make_motion().joints * 9}, "reach"),
        ({"joints": np.tile([0.0, 0.0, 3.0], (5, 2, 24, 1))}, "reach"),
        ({"body_name": np.array("../cat")}, "unknown body"),
        ({"K": np.zeros((5, 3, 3))}, "focal length"),
    ],
)
def test_what_cannot_be_two_people_before_a_camera_is_refused(
    tmp_path: Path, changes: dict[str, np.ndarray], problem: str
) -> None:
    record = dataclasses.replace(make_motion(), **changes)
    with pytest.raises(ResultError, match=problem):
        artifacts.write(tmp_path / "a.npz", record, PROVENANCE)
    assert not list(tmp_path.iterdir())


def test_only_plain_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    places = [tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / ("x" * 5000)]
    for place in [*places, tmp_path / "none", Path("a\0b")]:
        with pytest.raises(RefusedError, match=r"it is not a file|it cannot be read"):
            read_text(place)
        with pytest.raises(RefusedError, match=r"it is not a file|it cannot be read"):
            Npz(place)


@pytest.mark.parametrize("nested", ["[" * 100_000, "[" * 900 + "]" * 900, "1" * 5000, "{"])
def test_no_text_is_too_deep_or_too_long_to_be_refused(nested: str) -> None:
    for parse, text in ((parse_json, nested + "x"), (parse_toml, f"a = {nested}x")):
        with pytest.raises(RefusedError, match="it"):
            parse(text)


def test_json_is_always_json() -> None:
    content = {"a": [np.nan, (np.inf, 1.5)], "b": float("-inf"), "c": "\x1b[31m"}
    text = to_json(content)
    assert json.loads(text) == {"a": [None, [None, 1.5]], "b": None, "c": "\x1b[31m"}
    assert "\x1b" not in text


def test_a_key_counts_once() -> None:
    with pytest.raises(RefusedError, match="`a` is given twice"):
        parse_json('{"a": 1, "b": {"a": 2, "a": 3}}')


@pytest.mark.parametrize("text", ['"\\ud800"', '{"a\\uDFFF": 1}', '["x", {"a": "\\ud83d!"}]'])
def test_half_a_character_is_refused(text: str) -> None:
    """No file and no terminal takes it."""
    with pytest.raises(RefusedError, match="half a character"):
        parse_json(text)
    assert parse_json('["\\ud83d\\ude00", "\\\\ud800"]') == ["😀", "\\ud800"]


@pytest.mark.parametrize("focal_px", [10.0, 1e6])
def test_a_focal_length_of_no_camera_of_this_video(focal_px: float) -> None:
    with pytest.raises(ConfigError, match=r"focal_px` is .* has to be from"):
        read_camera(CameraConfig(focal_px=focal_px), VIDEO, 4)


@pytest.mark.parametrize("declared", [(1 << 40,), (10_000_000,)])
def test_arrays_are_no_bombs(tmp_path: Path, declared: tuple[int, ...]) -> None:
    """Whatever the header claims, and however small the zeros are packed."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": declared}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(min(8 * declared[0], 80_000_000)))
    (tmp_path / "a.npy").write_bytes(header.getvalue())
    with input_limit(0.05), pytest.raises(RefusedError, match=r"takes .* GB, more than|cut short"):
        Npz(tmp_path / "a.npz")["x"]
    with pytest.raises(RefusedError, match="cut short"):
        read_npy(tmp_path / "a.npy")


SIZE = (640, 480)
VIDEO = dataclasses.replace(make_video_info(), width=SIZE[0], height=SIZE[1])
K = intrinsics(*SIZE, 700.0)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((3, 3)),
        np.diag([4.2, 4.2, 1.0]),
        intrinsics(3840, 2160, 3000.0),
        intrinsics(1280, 720, 1000.0),
        K + 0j,
        K * np.nan,
        K * [[1e9], [1e9], [1.0]],
        K.T,
        np.stack([K] * 3),
        np.stack([K * [[1.0 + 0.5 * (n % 2)], [1.0], [1.0]] for n in range(4)]),
        K.astype(str),
        np.array(7.0),
        -K,
    ],
)
def test_a_camera_that_cannot_be_this_videos_is_refused(tmp_path: Path, wrong) -> None:
    path = tmp_path / "camera.npz"
    np.savez(path, K=wrong)
    with pytest.raises(InputError, match=r"camera\.npz` cannot be used") as refusal:
        read_camera(CameraConfig(file=str(path)), VIDEO, 4)
    assert "for this 640x480 video for example [[768, 0, 320]" in refusal.value.hint


@pytest.mark.parametrize("right", [K, np.stack([K] * 4), K.astype(np.float32).astype(int)])
def test_other_cameras_are_read(tmp_path: Path, right) -> None:
    np.savez(tmp_path / "camera.npz", K=right)
    read = read_camera(CameraConfig(file=str(tmp_path / "camera.npz")), VIDEO, 4)
    np.testing.assert_allclose(read.K, np.broadcast_to(right, (4, 3, 3)), rtol=1e-6)


def test_a_file_may_have_a_camera_that_turns_but_none_that_travels(tmp_path: Path) -> None:
    path = tmp_path / "camera.npz"
    R = Rotation.from_rotvec(np.linspace([0.0, 0.0, 0.0], [0.0, 0.1, 0.02], 4)).as_matrix()
    place = np.array([1.0, 2.0, 3.0])
    np.savez(path, K=K, R=R, t=-R @ place)
    assert read_camera(CameraConfig(file=str(path)), VIDEO, 4).turns
    np.savez(path, K=K, R=R, t=-np.einsum("fij,fj->fi", R, place + np.arange(4)[:, None] * 0.2))
    with pytest.raises(InputError, match="a camera that travels"):
        read_camera(CameraConfig(file=str(path)), VIDEO, 4)
    mirrored = R.copy()
    mirrored[2, 0] *= -1.0
    for wrong in (2.0 * R, mirrored):
        np.savez(path, K=K, R=wrong)
        with pytest.raises(InputError, match="not a rotation"):
            read_camera(CameraConfig(file=str(path)), VIDEO, 4)


def test_a_checkpoint_with_any_other_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.checkpoint"
    checkpoints.save(path, ("key", 1), {"x": torch.arange(50.0)})
    key, state = checkpoints.load(path)
    assert key == ("key", 1)
    assert torch.equal(state["x"], torch.arange(50.0))
    content = path.read_bytes()
    for place in range(0, len(content), 37):
        changed = bytearray(content)
        changed[place] ^= 4
        path.write_bytes(changed)
        with pytest.raises(ArtifactDamagedError, match="not those that were written"):
            checkpoints.load(path)
    path.write_bytes(content[:-1])
    with pytest.raises(ArtifactDamagedError, match="not those that were written"):
        checkpoints.load(path)


@pytest.mark.parametrize("damage", ["bytes", "state", "folder"])
def test_a_damaged_checkpoint_is_set_aside_and_the_fit_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    workspace, events, made = Workspace(tmp_path), [], []
    path = workspace.optimize_checkpoint
    path.parent.mkdir()
    if damage == "folder":
        path.mkdir()
    else:
        checkpoints.save(path, (CHECKPOINT_FORMAT, "abc"), {"weight": torch.zeros(2, 1)})
    if damage == "bytes":
        path.write_bytes(path.read_bytes()[:-9])

    def load(_: Phases, state: dict) -> None:
        torch.nn.Linear(1, 1).load_state_dict(state)

    monkeypatch.setattr(Phases, "load_state_dict", load)
    job = Job(
        workspace=workspace,
        config=Config(),
        video=make_video_info(),
        device="cpu",
        emit=events.append,
        provenance=PROVENANCE,
    )

    def prepare() -> Phases:
        made.append(Phases.__new__(Phases))
        return made[-1]

    assert _resumed(job, prepare) is made[1]
    assert "the checkpoint is damaged; it is kept as" in events[0].text
    assert [file.name for file in path.parent.iterdir()] == ["optimize.checkpoint.damaged"]


@pytest.mark.parametrize("name", ["log.txt", "artifacts/.lock", "artifacts", "meshes"])
def test_a_folder_with_planted_links_is_refused(tmp_path: Path, name: str) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    root = tmp_path / "results"
    (root / name).parent.mkdir(parents=True)
    is_file = name in ("log.txt", "artifacts/.lock")
    (root / name).symlink_to(target / "notes.txt" if is_file else target)
    with pytest.raises(OutputFolderError, match="is a link"):
        Workspace(root).create()
    assert [path.name for path in target.iterdir()] == ["notes.txt"]
    assert (target / "notes.txt").read_text() == "mine"


RUN = {
    "video": dataclasses.asdict(make_video_info()),
    "settings": {"seed": 1},
    "stages": {"init": {"seconds": 1.0}},
}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"video": NaN}',
        *(
            json.dumps(RUN | change)
            for change in (
                {"video": None},
                {"video": {"path": 3}},
                {"video": RUN["video"] | {"fps": 0}},
                {"video": RUN["video"] | {"width": 10**30}},
                {"settings": []},
                {"stages": {"init": None}},
                {"stages": {"init": {}}},
                {"stages": {"init": {"seconds": "long"}}},
                {"stages": {"optimize": {"seconds": 1, "diverged": {"hint": 1}}}},
                {"quality": {"init": 3}},
            )
        ),
    ],
)
def test_a_run_json_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    workspace = Workspace(tmp_path)
    workspace.run_json.write_text(content)
    with pytest.raises(ArtifactDamagedError, match=r"run\.json` cannot be used") as refusal:
        workspace.read_run()
    assert f"mv {workspace.run_json}" in refusal.value.hint
    workspace.run_json.write_text(json.dumps(RUN))
    assert workspace.read_run() == RUN


@pytest.mark.parametrize("field", ["fingerprint", "inputs", "settings", "revision", "weights"])
def test_a_record_of_unknown_origin_is_refused(tmp_path: Path, field: str) -> None:
    path = tmp_path / "init.npz"
    artifacts.write(path, make_motion(), PROVENANCE)
    with np.load(path) as archive:
        arrays = dict(archive)
    meta = json.loads(str(arrays[META_KEY]))
    np.savez(path, **{**arrays, META_KEY: np.array(json.dumps(meta | {field: [1.5]}))})
    with pytest.raises(ArtifactDamagedError, match="its origin is missing"):
        artifacts.read_provenance(path, Motion)


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile other.mp4\n", "#EXTM3U\n#EXTINF:1,\nother.mp4\n"]
)
def test_a_playlist_opens_no_other_file(tmp_path: Path, text: str) -> None:
    make_video(tmp_path / "other.mp4", 4, (64, 48))
    path = tmp_path / "clip.mp4"
    path.write_text(text)
    with pytest.raises(NotAVideoError, match="is not a video"):
        video.probe(path)


def test_a_video_that_is_replaced_is_noticed(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", 6, (64, 48))
    info = video.probe(path)
    pictures = video.frames(info)
    next(pictures)
    os.replace(make_video(tmp_path / "new.mp4", 6, (64, 48), options=("-g", "1")), path)
    with pytest.raises(NotAVideoError, match="has changed since"):
        list(pictures)


def test_no_name_commands_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b]0;title\x07\x1b[2J\x9b31m\u202eb.mp4"
    console = Console()
    console.line(evil)
    console.error(InputError(evil, hint=evil))
    console.table(["name"], [[evil]])
    console.check("x", "problem", evil, evil)
    console.bug(ValueError(evil))
    written = "".join(capfd.readouterr())
    assert "a\\x1b]0;title" in written
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(written)
