from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from closefit.errors import FileMissingError, ObservationsError
from closefit.imports.detections.frame_range import FrameRange
from closefit.imports.detections.imported import Imported
from closefit.imports.detections.reading import read
from closefit.records import VideoInfo
from tests.samples import make_video_info

FRAMES = 6
VIDEO = make_video_info(FRAMES)  # 64x48 at 30 fps
ALL = slice(0, FRAMES)


def make_arrays(frames: int = FRAMES, mask_wh: tuple[int, int] = (64, 48)) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    boxes = np.tile(np.array([[2.0, 2.0, 20.0, 40.0], [30.0, 4.0, 50.0, 44.0]]), (frames, 1, 1))
    masks = generator.random((frames, mask_wh[1], mask_wh[0])) > 0.5
    return {
        "boxes": boxes + np.arange(frames)[:, None, None],
        "keypoints": generator.uniform(0.1, 1.0, (frames, 2, 17, 3)) * (64, 48, 1),
        "union_masks": np.packbits(masks),
        "union_masks_shape": np.array(masks.shape),
        "width": np.array(64),
        "height": np.array(48),
        "fps": np.array(30.0),
    }


def read_part(path: Path, video: VideoInfo, frames: slice) -> Imported:
    return read(path, FrameRange(video, frames, (video.width, video.height)))


def of_people(imported: Imported, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and keypoints by frame and person."""
    boxes, keypoints = np.full((frames, 2, 4), np.nan), np.zeros((frames, 2, 17, 3))
    boxes[imported.frame, imported.identity] = imported.boxes_xyxy
    keypoints[imported.frame, imported.identity] = imported.keypoints
    return boxes, keypoints


def union_of(imported: Imported) -> np.ndarray:
    assert imported.silhouettes is not None
    return imported.silhouettes[:]


def save(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "observations.npz"


def test_arrays_come_through(path: Path) -> None:
    arrays = make_arrays()
    given = read_part(save(path, arrays), VIDEO, ALL)
    boxes, keypoints = of_people(given, FRAMES)
    np.testing.assert_array_equal(boxes, arrays["boxes"])
    np.testing.assert_array_equal(keypoints, arrays["keypoints"])
    assert given.box_given.all()
    assert not given.identity_trusted
    assert given.silhouettes is not None
    assert given.silhouettes.size_wh == (64, 48)


@pytest.mark.parametrize("mask_wh", [(64, 48), (32, 24), (20, 15), (21, 16)])
def test_masks_are_packed_per_frame(path: Path, mask_wh: tuple[int, int]) -> None:
    """Sizes that are no multiple of eight pixels start in the middle of a byte."""
    arrays = make_arrays(mask_wh=mask_wh)
    given = read_part(save(path, arrays), VIDEO, ALL)
    shape = tuple(arrays["union_masks_shape"])
    whole = np.unpackbits(arrays["union_masks"], count=int(np.prod(shape))).reshape(shape)
    np.testing.assert_array_equal(union_of(given), whole)


def test_unknown_is_zero(path: Path) -> None:
    arrays = make_arrays()
    arrays["keypoints"][1, 0, 3, 0] = np.nan
    arrays["boxes"][2, 1] = np.nan
    boxes, keypoints = of_people(read_part(save(path, arrays), VIDEO, ALL), FRAMES)
    assert keypoints[1, 0, 3].tolist() == [0.0, 0.0, 0.0]
    assert keypoints[1, 0, 4].all()
    assert not keypoints[2, 1].any()
    assert np.isnan(boxes[2, 1]).all()


def test_a_part_is_cut_from_detections_of_the_whole_video(path: Path) -> None:
    arrays = make_arrays()
    given = read_part(save(path, arrays), VIDEO, slice(2, 5))
    np.testing.assert_array_equal(of_people(given, 3)[0], arrays["boxes"][2:5])
    whole = read_part(path, VIDEO, ALL)
    np.testing.assert_array_equal(union_of(given), union_of(whole)[2:5])


def test_detections_of_the_part_only(path: Path) -> None:
    arrays = make_arrays(frames=3)
    given = read_part(save(path, arrays), VIDEO, slice(2, 5))
    np.testing.assert_array_equal(of_people(given, 3)[0], arrays["boxes"])


def test_one_frame_too_many_is_ignored(path: Path) -> None:
    given = read_part(save(path, make_arrays(FRAMES + 1)), VIDEO, ALL)
    assert sorted(set(given.frame.tolist())) == list(range(FRAMES))


Arrays = dict[str, np.ndarray]


def change(key: str, index: object, value: float) -> Callable[[Arrays], None]:
    def apply(arrays: Arrays) -> None:
        arrays[key] = arrays[key].astype(float)
        arrays[key][index] = value

    return apply


def put(key: str, value: object) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.update({key: np.array(value)})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda arrays: arrays.pop("keypoints"), "`keypoints` is missing"),
        (lambda arrays: arrays.pop("fps"), "`fps` is missing"),
        (put("boxes", np.zeros((6, 3, 4))), r"`boxes` .* shape \(6, 3, 4\) instead of"),
        (put("boxes", np.full((6, 2, 4), "a")), "`boxes` holds .* instead of numbers"),
        (put("keypoints", np.zeros((5, 2, 17, 3))), r"`keypoints` .* \(5, 2, 17, 3\) instead"),
        (put("keypoints", np.zeros((6, 2, 25, 3))), r"instead of \(6, 2, 17, 3\)"),
        (change("keypoints", (4, 1, 3, 0), np.inf), "`keypoints` has the value inf in row 4"),
        (change("boxes", (3, 1, 2), -np.inf), "`boxes` has the value -inf in row 3"),
        (change("boxes", (3, 1, 2), np.nan), "`boxes` is half NaN in frame 3"),
        (
            change("boxes", (3, 1, 2), 1.0),
            r"`boxes` is not \(left, .* in frame 3",
        ),
        (change("keypoints", (2, 0, 0, 2), 1.5), r"confidence 1\.5 in frame 2"),
        (
            put("union_masks_shape", [6, 48]),
            r"`union_masks_shape` has shape \(2,\) instead",
        ),
        (put("union_masks_shape", [5, 48, 64]), r"is \[5, 48, 64\] instead of \[6, height"),
        (put("union_masks_shape", [6, 64, 48]), "its masks are 48x64, but"),
        (put("union_masks", np.zeros(7, np.uint8)), "`union_masks` has 7 values"),
        (put("union_masks", np.zeros(2304)), "of type float64 instead of 2304"),
        (put("width", [64, 64]), "`width` is .* not a whole number"),
        (put("union_masks_shape", [6, 48.5, 64]), "has `48.5`, which is not a whole number"),
        (put("union_masks_shape", [6, 2**62, 64]), "which is not a whole number from 1 to"),
        (put("width", 1e300), r"`width` is `1e\+300`, which is not a whole number"),
        (put("fps", 1j), "`fps` holds `complex128` instead of numbers"),
        (put("keypoints", np.full((6, 2, 17, 3), 1e300)), r"`keypoints` has the value 1e\+300"),
        (put("width", 128), "pixels of a 128x48 video, but `clip.mp4` has 64x48"),
        (put("fps", 15.0), "with 15 frames per second, but `clip.mp4` has 30"),
        (put("fps", np.nan), "`fps` is `nan`, which is not a number from 0"),
    ],
)
def test_what_is_wrong_is_named(path: Path, damage: Callable[[Arrays], None], message: str) -> None:
    arrays = make_arrays()
    damage(arrays)
    with pytest.raises(ObservationsError, match=message):
        read_part(save(path, arrays), VIDEO, ALL)


@pytest.mark.parametrize("frames", [FRAMES - 2, FRAMES + 2])
def test_another_number_of_frames(path: Path, frames: int) -> None:
    save(path, make_arrays(frames))
    with pytest.raises(ObservationsError, match=f"for {frames} frames, but the video has 6"):
        read_part(path, VIDEO, ALL)
    with pytest.raises(ObservationsError, match="and the chosen part 12"):
        read_part(path, replace(VIDEO, num_frames=20), slice(0, 12))


@pytest.mark.parametrize("content", [b"", b"no npz", b"PK\x03\x04" + bytes(30)])
def test_other_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ObservationsError, match=r"damaged, or no npz|cut short"):
        read_part(path, VIDEO, ALL)


def test_pickles_are_refused(path: Path) -> None:
    arrays = make_arrays()
    arrays["boxes"] = np.array([{"a": 1}], dtype=object)
    with pytest.raises(ObservationsError, match="`boxes` holds `object` instead of numbers"):
        read_part(save(path, arrays), VIDEO, ALL)


def test_a_single_array_is_refused(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ObservationsError, match=r"damaged, or no npz|cut short"):
        read_part(path, VIDEO, ALL)


def test_no_file(path: Path) -> None:
    with pytest.raises(FileMissingError, match="no file of detections"):
        read_part(path, VIDEO, ALL)


def test_a_cut_file_is_refused(path: Path) -> None:
    save(path, make_arrays())
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ObservationsError, match=r"damaged, or no npz|cut short"):
        read_part(path, VIDEO, ALL)
