"""A results folder from somebody else is data: damaged or hostile files end in a sentence."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closefit.errors import ArtifactDamagedError
from closefit.exporters.contact_file import read_contacts
from closefit.exporters.motion import read_motion, write_motion
from closefit.pipeline import freshness
from closefit.storage.artifacts import Provenance
from closefit.storage.workspace import Workspace
from tests.samples import make_motion, make_video_info

RUN: dict[str, Any] = {
    "video": asdict(make_video_info(4)),
    "settings": {"optimize.passes": 5},
    "quality": {"track": {"frames": 4}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A started folder without results."""
    root = tmp_path / "results"
    root.mkdir()
    (root / "run.json").write_text(json.dumps(RUN))
    return root


def test_a_setting_out_of_range_names_the_file_that_has_it(invoke, folder: Path) -> None:
    video = RUN["video"] | {"path": str(folder / "run.json")}  # any file that is there
    run = RUN | {"video": video, "settings": {"optimize.passes": -3}}
    (folder / "run.json").write_text(json.dumps(run))
    for words in (("status", folder), ("stage", "init", folder)):
        failed = invoke(*words)
        assert failed.exit_code == 4
        assert f"`{folder / 'run.json'}` cannot be used: `optimize.passes`" in failed.stderr
        assert "--set optimize.passes=VALUE" in failed.stderr


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("camera", []),
        ("quality", {"track": {"not_seen_frames": 7}}),
        ("quality", {"export": {"confidence": ["high"]}}),
        ("settings", {"preset": {"deep": {"er": 1}}}),
        ("stages", {"track": {"seconds": -1.0}}),
    ],
)
def test_entries_of_another_kind_are_refused(invoke, folder: Path, key: str, value: object) -> None:
    (folder / "run.json").write_text(json.dumps(RUN | {key: value}))
    for words in (("status", folder), ("report", folder)):
        failed = invoke(*words)
        assert failed.exit_code == 6
        assert f"`{folder / 'run.json'}` cannot be used: it does not follow" in failed.stderr


CONTACTS: dict[str, Any] = {
    "fps": 30.0, "num_frames": 4, "start_s": 0.0, "contact_distance_m": 0.02,
    "frames_in_contact": [[1, 2]],
    "contacts": [
        {
            "person_0": "left hand", "person_1": "head", "num_frames": 2, "frames": [[1, 2]],
            "seconds": [[0.033, 0.067]],
            "smallest_distance_m": 0.0, "max_penetration_mm": 1.0, "distance_mm": [0.0, 1.0],
            "penetration_mm": [0.0, 1.0], "place_m": [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]],
            "probability": [0.5, 0.6],
        }
    ],
    "plausible_depth_mm": 40.0,
    "implausible": [
        {"person_0": "torso", "person_1": "head", "frames": [[3, 3]], "max_penetration_mm": 77.0},
    ],
    "per_frame": {
        "gap_m": [0.1, 0.0, 0.0, 0.1], "mean_penetration_mm": [0.0, 0.0, 0.1, 0.0],
        "max_penetration_mm": [0.0, 0.0, 1.0, 0.0],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("per_frame"),
        lambda c: c.update(frames_in_contact=[[2, 1]]),
        lambda c: c.update(frames_in_contact=[[0, 4]]),
        lambda c: c["per_frame"].update(gap_m=[0.1]),
        lambda c: c["contacts"][0].update(num_frames=3),
        lambda c: c["contacts"][0].update(place_m=[]),
        lambda c: c["contacts"][0].update(probability=[0.5, 1.1]),
        lambda c: c["implausible"][0].update(frames=[[3, 4]]),
        lambda c: c["contacts"][0].update(distance_mm=[1e300, 0.0]),
        lambda c: c["contacts"][0].update(person_0="x" * 5000),
    ],
)
def test_contacts_that_cannot_be_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path, content = tmp_path / "contacts.json", json.loads(json.dumps(CONTACTS))
    path.write_text(json.dumps(content))
    assert read_contacts(path, 4, "")["contacts"][0]["num_frames"] == 2
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactDamagedError, match=r"contacts.json` cannot be used"):
        read_contacts(path, 4, "")


def test_an_exported_file_with_one_other_bit_is_noticed(folder: Path) -> None:
    workspace = Workspace(folder)
    workspace.artifacts.mkdir()
    workspace.contacts.write_text(json.dumps(CONTACTS))
    freshness.write_export_manifest(workspace, Provenance(stage="export", fingerprint="x"))
    assert freshness._recorded_export(workspace).fingerprint == "x"
    content = bytearray(workspace.contacts.read_bytes())
    content[9] ^= 1
    workspace.contacts.write_bytes(content)
    with pytest.raises(ArtifactDamagedError, match=r"contacts.json` is missing or was"):
        freshness._recorded_export(workspace)


@pytest.mark.parametrize("option", ["no\x1b[31msuch", "--no\x1b]0;title\x07such", "a\u202eb"])
def test_words_of_the_command_line_do_not_command_the_terminal(invoke, option: str) -> None:
    for words in ((option,), ("status", "a", option), ("stage", option, "x")):
        failed = invoke(*words)
        assert failed.exit_code != 0
        shown = failed.stdout + failed.stderr
        assert all(c.isprintable() or c in "\n\r\t" for c in shown), shown


def test_an_error_is_one_short_line_whatever_a_file_is_called(invoke) -> None:
    for name in ("x" * 5000, "a\nerror: all is well", "a\r\n" * 900):
        for words in (("status", name), ("run", name), ("report", name)):
            failed = invoke(*words)
            lines = failed.stderr.splitlines()
            assert [line[:5] for line in lines] == ["error", "", "hint:"], failed.stderr
            assert max(map(len, lines)) < 1000


@pytest.mark.parametrize("size", ["nan", "-1", "0", "1e9"])
def test_the_limit_on_input_is_a_size(invoke, tmp_path: Path, size: str) -> None:
    for words in (
        ("prior", "prepare", tmp_path, "--out", tmp_path / "out"),
        ("import-smpl", tmp_path / "smpl.pkl", "--weights", tmp_path),
        ("evaluate", tmp_path, "--truth", tmp_path / "truth.npz"),
    ):
        failed = invoke(*words, "--max-input-size", size)
        assert failed.exit_code == 4, failed.stderr


def test_the_limit_on_input_holds(invoke, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "walk_poses.npz", poses=np.zeros((40_000, 72)))
    np.savez_compressed(tmp_path / "smpl.npz", v_template=np.zeros((400_000, 3)))
    for words in (
        ("prior", "prepare", tmp_path / "walk_poses.npz", "--out", tmp_path / "out"),
        ("import-smpl", tmp_path / "smpl.npz", "--weights", tmp_path),
    ):
        failed = invoke(*words, "--max-input-size", "0.005")
        assert failed.exit_code in (3, 5), failed.stderr
        assert "--max-input-size" in failed.stderr, failed.stderr


def test_the_motion_of_a_folder_is_checked(tmp_path: Path) -> None:
    path, motion = tmp_path / "motion.npz", make_motion(4)
    further = {"K": motion.K[0], "time_s": np.arange(4) / 30.0}
    write_motion(path, motion, np.zeros((4, 2, 17, 2)), 30.0, (96, 64), further)
    with np.load(path) as archive:
        arrays = dict(archive)
    assert len(read_motion(path).valid) == 4
    for name, wrong in (
        ("fps", np.array(np.nan, np.float32)), ("joints", arrays["joints"] * np.inf),
        ("transl", arrays["transl"][:2]), ("width", np.array(0, np.int32)),
        ("K", np.zeros((3, 3, 3), np.float32)), ("time_s", arrays["time_s"][::-1]),
        ("confidence", arrays["confidence"] + 7), ("body", np.array(1.0)),
    ):  # fmt: skip
        np.savez(path, **{**arrays, name: wrong})
        with pytest.raises(ArtifactDamagedError, match=r"motion.npz` cannot be used"):
            read_motion(path)
