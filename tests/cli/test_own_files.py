"""closefit neither removes nor overwrites what it did not write."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from closefit.errors import OutputFolderError
from closefit.storage import artifacts
from closefit.storage.artifacts import TEMPORARY_PREFIX, Provenance
from closefit.storage.workspace import FOREIGN_LIMIT, Workspace
from tests.clips import make_video
from tests.samples import make_track, make_video_info

OWN_RUN = '{"closefit": "0.1"}'
LINKS = {"itself": None, "symbolic link": os.symlink, "hard link": os.link}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A results folder with a video in the place of each video that closefit writes."""
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "run.json").write_text(OWN_RUN)
    for name in ("overlay.mp4", "preview.mp4"):
        make_video(folder / name, 12, (96, 64))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("name", ["overlay.mp4", "preview.mp4"])
def test_a_video_in_the_place_of_an_output(
    invoke, out: Path, tmp_path: Path, name: str, link: str
) -> None:
    video, make_link = out / name, LINKS[link]
    if make_link is not None:
        video = tmp_path / "video.mp4"
        make_link(out / name, video)
    before = contents(out)
    result = invoke("run", video, "--out", out, "--offline")
    assert result.exit_code == OutputFolderError.exit_code
    assert "is an input, but closefit would overwrite it" in " ".join(result.stderr.split())
    assert contents(out) == before


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--observations", "motion.npz"),
        ("--corrections", "contacts.json"),
        ("--camera", "artifacts/track.npz"),
        ("--init-from", "person_0_amass.npz"),
    ],
)
def test_another_input_in_the_place_of_an_output(
    invoke, out: Path, tmp_path: Path, option: str, name: str
) -> None:
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_bytes(b"mine")
    video = make_video(tmp_path / "clip.mp4", 12, (96, 64))
    result = invoke("run", video, "--out", out, option, out / name, "--offline")
    assert result.exit_code == OutputFolderError.exit_code, result.stderr
    assert (out / name).read_bytes() == b"mine"


def test_inputs_beside_the_outputs_are_welcome(out: Path) -> None:
    Workspace(out).check_inputs([out / "clip.mp4", out / "corrections.json", out.parent])


def test_links_that_lead_in_a_circle(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    Workspace(tmp_path).check_inputs([circle])
    with pytest.raises(OutputFolderError):
        Workspace(circle).create()


@pytest.mark.parametrize("place", ["/", "~"])
def test_the_disk_and_a_home_are_not_for_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(OutputFolderError, match="not a folder for results"):
        Workspace(Path(place).expanduser()).create()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["scene.glb", "run.json", "artifacts/track.npz"])
def test_a_file_of_somebody_else_under_the_name_of_a_result(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b'{"who": "me"}')
    with pytest.raises(OutputFolderError, match="did not write"):
        Workspace(tmp_path).create()
    assert (tmp_path / name).read_bytes() == b'{"who": "me"}'


def test_a_folder_without_its_damaged_run_json_is_still_known(tmp_path: Path) -> None:
    """What the hint of a damaged `run.json` leads to."""
    workspace = Workspace(tmp_path)
    workspace.create()
    track = workspace.artifact("track")
    artifacts.write(track, make_track(4), Provenance(stage="track", fingerprint="x"))
    workspace.glb.touch()
    workspace.create()
    track.unlink()
    with pytest.raises(OutputFolderError, match="did not write"):
        workspace.create()


def test_a_probe_does_not_follow_a_link(tmp_path: Path) -> None:
    mine, folder = tmp_path / "mine.txt", tmp_path / "results"
    mine.write_text("mine")
    folder.mkdir()
    (folder / f"{TEMPORARY_PREFIX}{os.getpid()}-probe").symlink_to(mine)
    (folder / ".closefit-partial-clip.mp4").symlink_to(mine)
    Workspace(folder).create()
    make_video(folder / "clip.mp4", 2, (16, 16))
    assert mine.read_text() == "mine"


def test_the_demo_leaves_another_clip_alone(invoke, tmp_path: Path) -> None:
    video = tmp_path / "clip" / "video.mp4"
    video.parent.mkdir()
    video.write_bytes(b"mine")
    for run in (None, OWN_RUN[:-1] + ', "video": ' + json.dumps(asdict(make_video_info(4))) + "}"):
        if run is not None:
            (tmp_path / "run.json").write_text(run)
        failed = invoke("demo", "--out", tmp_path)
        assert failed.exit_code == OutputFolderError.exit_code, failed.stderr
        assert "but that is something else" in failed.stderr
        assert contents(video.parent) == {"video.mp4": b"mine"}


@pytest.mark.parametrize("foreign", [FOREIGN_LIMIT, FOREIGN_LIMIT + 1])
def test_a_folder_full_of_other_files(tmp_path: Path, foreign: int) -> None:
    for number in range(foreign):
        (tmp_path / f"{number}.jpg").touch()
    if foreign > FOREIGN_LIMIT:
        with pytest.raises(OutputFolderError, match="other files"):
            Workspace(tmp_path).create()
        (tmp_path / "run.json").write_text(OWN_RUN)  # a results folder may hold anything
    Workspace(tmp_path).create()


def test_partial_files_of_a_run_below_stay(tmp_path: Path) -> None:
    parent, child = Workspace(tmp_path), Workspace(tmp_path / "child")
    for workspace in (parent, child):
        workspace.create()
        (workspace.artifacts / f"{TEMPORARY_PREFIX}1-track.npz").touch()
    with parent.locked():
        pass
    left = [path.parent.parent.name for path in tmp_path.rglob(f"{TEMPORARY_PREFIX}*")]
    assert left == ["child"]
