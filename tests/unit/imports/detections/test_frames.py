"""Which frames of an import belong to which frames of the video, and what does not fit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from closefit.errors import ObservationsError
from tests.unit.imports.detections import writers
from tests.unit.imports.detections.writers import FRAMES, VIDEO, People, imported

Write = Callable[[Path, People], Path]

EVERY_FRAME = [writers.openpose, writers.masks_per_person, writers.masks_labelled]
SOME_FRAMES = [writers.coco_results, writers.alphapose, writers.mot]


@pytest.fixture(scope="module")
def people() -> People:
    return writers.make_people()


def target(folder: Path, write: Write) -> Path:
    return folder / ("tracks.txt" if write is writers.mot else "given.json")


@pytest.mark.parametrize("write", [*EVERY_FRAME, *SOME_FRAMES])
def test_a_part_is_cut_from_an_import_of_the_whole_video(
    tmp_path: Path, people: People, write: Write
) -> None:
    path = write(target(tmp_path, write), people)
    whole, part = imported(path), imported(path, frames=slice(1, 5))
    inside = np.flatnonzero((whole.frame >= 1) & (whole.frame < 5))
    assert len(inside)
    np.testing.assert_array_equal(part.frame, whole.frame[inside] - 1)
    np.testing.assert_array_equal(part.boxes_xyxy, whole.boxes_xyxy[inside])
    np.testing.assert_array_equal(part.keypoints, whole.keypoints[inside])
    np.testing.assert_array_equal(part.identity, whole.identity[inside])


@pytest.mark.parametrize("write", EVERY_FRAME)
def test_an_import_of_the_part_only(tmp_path: Path, people: People, write: Write) -> None:
    path = write(tmp_path / "given", people)
    longer = replace(VIDEO, num_frames=40)
    part = imported(path, frames=slice(20, 20 + FRAMES), video=longer)
    whole = imported(path)
    np.testing.assert_array_equal(part.frame, whole.frame)
    np.testing.assert_array_equal(part.boxes_xyxy, whole.boxes_xyxy)


@pytest.mark.parametrize("write", EVERY_FRAME)
def test_another_number_of_frames_names_both(tmp_path: Path, people: People, write: Write) -> None:
    path = write(tmp_path / "given", people)
    with pytest.raises(ObservationsError, match=r"given`.* for 6 frames, but the video has 9"):
        imported(path, frames=slice(0, 9), video=replace(VIDEO, num_frames=9))
    with pytest.raises(ObservationsError, match="but the video has 40 and the chosen part 9"):
        imported(path, frames=slice(20, 29), video=replace(VIDEO, num_frames=40))


@pytest.mark.parametrize("write", SOME_FRAMES)
def test_frames_beyond_the_end_name_both(tmp_path: Path, people: People, write: Write) -> None:
    path = write(target(tmp_path, write), people)
    with pytest.raises(ObservationsError, match=r"in frame [56] .* but the video has 4 frames"):
        imported(path, frames=slice(0, 4), video=replace(VIDEO, num_frames=4))


@pytest.mark.parametrize("write", EVERY_FRAME)
def test_a_gap_in_the_numbers_is_named(tmp_path: Path, people: People, write: Write) -> None:
    folder = write(tmp_path / "given", people)
    for file in [*folder.rglob("*4.png"), *folder.rglob("*4_keypoints.json")]:
        file.unlink()
    with pytest.raises(ObservationsError, match=r"no file for frame 4: .* jump from 3 to 5"):
        imported(folder)


def test_files_are_in_the_order_of_their_numbers_not_of_their_letters(tmp_path: Path) -> None:
    people = writers.make_people(12)
    folder = writers.masks_labelled(tmp_path / "labels", people, first=0)  # frame_2, frame_10
    video = replace(VIDEO, num_frames=12)
    given = imported(folder, frames=slice(0, 12), video=video)
    boxes = np.full((12, 2, 4), np.nan)
    boxes[given.frame, given.identity - 1] = given.boxes_xyxy
    np.testing.assert_array_equal(boxes[:7], people.boxes[:7])


def test_a_number_twice_or_none_at_all(tmp_path: Path, people: People) -> None:
    folder = writers.openpose(tmp_path / "openpose", people)
    (folder / "copy_4_keypoints.json").write_text('{"people": []}')
    with pytest.raises(ObservationsError, match="two files with frame number 4"):
        imported(folder)
    (folder / "copy_4_keypoints.json").rename(folder / "copy_keypoints.json")
    with pytest.raises(ObservationsError, match=r"`copy_keypoints.json` without a frame number"):
        imported(folder)


def test_images_of_an_annotation_file_are_frames(tmp_path: Path, people: People) -> None:
    path = writers.coco_annotations(tmp_path / "all.json", people)
    part = imported(path, frames=slice(1, 3))
    np.testing.assert_allclose(part.boxes_xyxy[:2], people.boxes[1])
    with pytest.raises(ObservationsError, match="for 6 frames, but the video has 9"):
        imported(path, frames=slice(0, 9), video=replace(VIDEO, num_frames=9))
    with pytest.raises(ObservationsError, match=r"pixels of a 64x48 video, but .* has 128x96"):
        imported(path, video=replace(VIDEO, width=128, height=96))
    with pytest.raises(ObservationsError, match=r"with 30 frames per second, but .* has 60"):
        imported(path, video=replace(VIDEO, fps=60.0))


def test_the_description_of_a_mot_sequence_is_compared(tmp_path: Path, people: People) -> None:
    (tmp_path / "det").mkdir()
    path = writers.mot(tmp_path / "det" / "det.txt", people)
    info = tmp_path / "seqinfo.ini"
    text = "[Sequence]\nname=x\nframeRate=30\nseqLength=6\nimWidth=64\nimHeight=48\n"
    info.write_text(text)
    assert len(imported(path).frame) == len(people.seen)
    for wrong, message in [
        (text.replace("=30", "=25"), "25 frames per second, but .* has 30"),
        (text.replace("seqLength=6", "seqLength=600"), "it is of 600 frames, but the video has 6"),
        (text.replace("64", "640"), "640x48 video, but .* has 64x48"),
        ("frameRate", "seqinfo.ini` cannot be used: it is not a description"),
    ]:
        info.write_text(wrong)
        with pytest.raises(ObservationsError, match=message):
            imported(path)


def test_fps_of_arrays_is_compared(tmp_path: Path, people: People) -> None:
    np.savez(tmp_path / "masks.npz", masks=people.masks, fps=12.0)
    with pytest.raises(ObservationsError, match=r"with 12 frames per second, but .* has 30"):
        imported(tmp_path / "masks.npz")
