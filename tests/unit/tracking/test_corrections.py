import json
from pathlib import Path

import pytest

from closefit.errors import CorrectionsError, FileMissingError
from closefit.tracking.corrections import Corrections, Drop, PlacedPerson, find, read

EXAMPLE = {
    "swap": [133, 120],
    "box": [{"person": 1, "frame": 97, "xyxy": [310, 80, 420, 300]}],
    "point": [{"person": 0, "frame": 40, "xy": [212, 260]}],
    "ignore": [[150, 158]],
    "drop": [{"person": 1, "frame": 88}, {"person": 1, "frames": [90, 95]}],
}
FRAMES, SIZE_WH = 200, (640, 360)


def load(path: Path, content: object) -> Corrections:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read(path, FRAMES, SIZE_WH)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corrections.json"


def test_every_kind_of_correction(path: Path) -> None:
    corrections = load(path, EXAMPLE)
    assert corrections == Corrections(
        swaps=(120, 133),
        places=(
            PlacedPerson(person=1, frame=97, pixels=(310.0, 80.0, 420.0, 300.0)),
            PlacedPerson(person=0, frame=40, pixels=(212.0, 260.0)),
        ),
        ignored=((150, 158),),
        drops=(Drop(person=1, frames=(88, 88)), Drop(person=1, frames=(90, 95))),
    )
    assert corrections.count == 7
    assert load(path, {}) == Corrections()


def test_the_example_of_the_documentation(path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "tracking.md").read_text(encoding="utf-8")
    example = text.split("```json")[1].split("```")[0]
    assert load(path, example).count > 4


def test_places_scale_with_the_picture(path: Path) -> None:
    half = load(path, EXAMPLE).scaled(0.5, 0.25)
    assert [place.pixels for place in half.places] == [
        (155.0, 20.0, 210.0, 75.0),
        (106.0, 65.0),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"swap": [1,]}', r"is not JSON: .* in line 1"),
        ('{"swap": [1], "swap": [2]}', "`swap` is given twice"),
        ([1], "the file in .* is a list instead of an object"),
        ({"swaps": [1]}, "unknown key `swaps`; the nearest is `swap`"),
        ({"swap": 3}, "`swap` in .* is a number instead of a list"),
        ({"swap": [1.5]}, "`swap` 0 in .* names frame 1.5 instead of a whole number"),
        ({"swap": [True]}, "names frame True"),
        ({"swap": [200]}, r"names frame 200, but the clip has 200 frames \(0-199\)"),
        ({"swap": [-1]}, "names frame -1"),
        ({"swap": [4, 4]}, "names frame 4 twice"),
        ({"ignore": [[5, 250]]}, "`ignore` 0 in .* names frame 250"),
        ({"ignore": [[9, 5]]}, "ends at frame 5, before it begins at 9"),
        ({"ignore": [7]}, r"is 7 instead of \[first frame, last frame\]"),
        ({"drop": [{"person": 2, "frame": 1}]}, "names person 2; there are 0 and 1"),
        ({"drop": [{"person": "A", "frame": 1}]}, "names person A"),
        ({"drop": [{"person": 0}]}, "`drop` 0 in .* lacks `frame`"),
        ({"drop": [{"person": 0, "fame": 1}]}, "unknown key `fame`; the nearest is `frame`"),
        ({"drop": [3]}, "is a number instead of an object with `person`, `frame`"),
        (
            {"box": [{"person": 0, "frame": 1, "xyxy": [600, 10, 700, 90]}]},
            "lies outside the image of 640x360 pixels",
        ),
        (
            {"box": [{"person": 0, "frame": 1, "xyxy": [90, 10, 20, 90]}]},
            r"is not \(left, top, right, bottom\)",
        ),
        ({"box": [{"person": 0, "frame": 1, "xyxy": [1, 2, 3]}]}, "instead of .left, top"),
        ({"box": [{"person": 0, "frame": 1, "xy": [1, 2]}]}, "the nearest is `xyxy`"),
        ({"point": [{"person": 0, "frame": 1, "xy": [5, 400]}]}, "outside the image"),
        ('{"point": [{"person": 0, "frame": 1, "xy": [NaN, 4]}]}', "instead of .x, y"),
        (
            {
                "box": [{"person": 0, "frame": 9, "xyxy": [1, 2, 30, 40]}],
                "ignore": [[5, 9]],
            },
            "person 0 in frame 9 in .* both placed and in a range to `ignore`",
        ),
        (
            {
                "box": [{"person": 0, "frame": 9, "xyxy": [1, 2, 30, 40]}],
                "drop": [{"person": 0, "frames": [3, 9]}],
            },
            "both placed and dropped",
        ),
        (
            {
                "box": [{"person": 0, "frame": 9, "xyxy": [1, 2, 30, 40]}],
                "point": [{"person": 0, "frame": 9, "xy": [5, 5]}],
            },
            "is placed twice",
        ),
    ],
)
def test_wrong_files_are_refused_in_one_sentence(path: Path, content: object, message: str) -> None:
    with pytest.raises(CorrectionsError, match=message) as caught:
        load(path, content)
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message


def test_unreadable_files(path: Path) -> None:
    with pytest.raises(FileMissingError, match="there is no file of corrections"):
        read(path, FRAMES, SIZE_WH)
    path.write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(CorrectionsError, match="it is not a text file"):
        read(path, FRAMES, SIZE_WH)


def test_which_file_belongs_to_a_video(tmp_path: Path) -> None:
    video = tmp_path / "dance.mp4"
    plain, own = tmp_path / "corrections.json", tmp_path / "dance.corrections.json"
    elsewhere = tmp_path / "elsewhere.json"
    assert find(video, None) is None
    assert find(video, elsewhere) == elsewhere
    plain.write_text("{}")
    assert find(video, None) == plain
    assert find(video, plain) == plain
    with pytest.raises(CorrectionsError, match=r"given twice: `.*elsewhere\.json` by"):
        find(video, elsewhere)
    own.write_text("{}")
    with pytest.raises(CorrectionsError, match=r"both `dance\.corrections\.json` and"):
        find(video, None)
    plain.unlink()
    assert find(video, None) == own
