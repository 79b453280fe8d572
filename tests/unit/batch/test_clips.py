"""Which clips a batch has, and what their folders are called."""

from pathlib import Path

import pytest

from closefit.batch.clips import Clip, find_clips
from closefit.batch.folder import assign_names
from closefit.errors import InputError, OutputFolderError


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Videos on two levels, and what looks like some but is none."""
    names = (
        "b.mp4", "a.MOV", "deep/er/c.mkv", ".hidden.mp4", ".cache/d.mp4", "notes.txt",
        "old/run.json", "old/overlay.mp4", "old/artifacts/film.mp4", "out/x/overlay.mp4",
    )  # fmt: skip
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names_of(clips: list[Clip]) -> list[str]:
    return [Path(clip.video).name for clip in clips]


def test_a_folder_gives_its_videos_but_no_results(footage: Path) -> None:
    found = find_clips([str(footage)], footage / "out", {})
    assert names_of(found) == ["a.MOV", "b.mp4", "c.mkv"]
    assert all(Path(clip.video).is_absolute() for clip in found)


def test_patterns_and_files_are_joined_and_each_clip_counts_once(footage: Path) -> None:
    arguments = [f"{footage}/**/*.mkv", f"{footage}/b.mp4", f"{footage}/[ab].*", "gone.mp4"]
    found = find_clips(arguments, footage / "out", {})
    assert names_of(found) == ["c.mkv", "b.mp4", "a.MOV", "gone.mp4"]


def test_a_file_with_a_pattern_in_its_name_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "take[1].mp4").touch()
    assert names_of(find_clips([f"{tmp_path}/take[1].mp4"], tmp_path, {})) == ["take[1].mp4"]


@pytest.mark.parametrize(("argument", "problem"), [("", "no video"), ("/*.mp4", "no file")])
def test_what_names_no_clip_is_refused(tmp_path: Path, argument: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        find_clips([f"{tmp_path}{argument}"], tmp_path / "out", {})


@pytest.mark.parametrize(
    "text", ["clip,focal\na.mp4,500\na.mp4,600\n", "clip,name\na.mp4,hug\nb.mp4,hug\n"]
)
def test_two_clips_in_one_place_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=r"list.csv` line 2 and by .*list.csv` line 3"):
        find_clips([f"{tmp_path}/list.csv"], tmp_path / "out", {})


def test_a_name_once_given_stays_whatever_comes_later() -> None:
    one, other = Clip(video="/a/hug.mp4"), Clip(video="/b/hug.mp4")
    part = Clip(video="/a/hug.mp4", values={"track.start_s": 1.0, "track.end_s": 2.5})
    first = assign_names([one], {})
    later = assign_names([other, part, one], first)
    assert first == {one.key: "hug"}
    assert later[one.key] == "hug"
    assert later[part.key] == "hug_1.00-2.50"
    assert later[other.key].startswith("hug-")
    assert len(set(later.values())) == 3
    assert assign_names([part, other, one], later) == later


@pytest.mark.parametrize("name", ["index.jsonl", "hug"])
def test_a_name_of_a_list_that_is_taken_is_refused(name: str) -> None:
    known = {"/a/hug.mp4": "hug"}
    with pytest.raises(OutputFolderError, match="is taken"):
        assign_names([Clip(video="/b/x.mp4", name=name, origin="line 2")], known)


def test_a_clip_called_as_the_mark_of_results_gets_another_name() -> None:
    assert "run.json" not in assign_names([Clip(video="/a/run.json.mp4")], {}).values()


def test_a_file_called_as_a_file_of_the_batch_gets_another_name() -> None:
    (name,) = assign_names([Clip(video="/a/index.jsonl.mp4")], {}).values()
    assert name.startswith("index.jsonl-")
