"""Numbers of motion files that cannot be used: a sentence about the file, never a crash."""

import itertools
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from closefit.body.model import Body
from closefit.boundary.files import input_limit
from closefit.errors import InputError
from closefit.exporters.bvh import write_bvh
from closefit.learning.motions import reading
from closefit.learning.motions.reading import find_motions, read_motion
from closefit.records import PairMotion
from tests.unit.learning.motions.layouts import write_amass_layout
from tests.unit.learning.motions.test_acclaim import write_acclaim

MakeMotion = Callable[..., PairMotion]


def refused(path: Path, body: Body) -> str:
    with pytest.raises(InputError) as caught:
        read_motion(path, body)
    return caught.value.message


@pytest.fixture(scope="module")
def bvh(tmp_path_factory: pytest.TempPathFactory, body: Body) -> str:
    path = tmp_path_factory.mktemp("bvh") / "walk.bvh"
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (4, 24, 3, 3))
    rest = body.joints_template.cpu().numpy()
    write_bvh(path, rest, rotations, np.zeros((4, 3), np.float32), 30.0)
    return path.read_text()


@pytest.mark.parametrize(
    ("pattern", "new", "message"),
    [
        (r"Frame Time:.*", "Frame Time: 0", "frame time"),
        (r"Frame Time:.*", "Frame Time: nan", "Frame Time"),
        (r"Frame Time:.*", "Frame Time: 1e-300", "frame time"),
        (r"Frame Time:.*", "Frame Time: 86400", "frame time"),
        (r"Frames:.*", "Frames: 5", "values, not 5 frames"),
        (r"Frames:.*", "Frames: 0", "Frames"),
        (r"Frames:.*", "Frames: -4", "Frames"),
        (r"Frames:.*", "Frames: " + "9" * 5000, "Frames"),
        (r"OFFSET \S+", "OFFSET inf", "has the value `inf`"),
        (r"OFFSET \S+", "OFFSET 1e300", "cannot be right"),
        (r"OFFSET \S+", "OFFSET", "instead of numbers"),
        (r"CHANNELS 6", "CHANNELS -2", "not a whole number"),
        (r"CHANNELS 6", "CHANNELS 10000000000", "not a whole number"),
        (r"Yrotation", "Xrotation", "no axes of one rotation|are no"),
        (r"Yposition", "Xposition", "some axes of a position"),
        (r"Zrotation", "Wrotation", "are no"),
        (r"(?s)MOTION.*", "", "Frames"),
        (r"HIERARCHY", "HIERARCHY }", "wrong place"),
    ],
)
def test_bvh(tmp_path: Path, body: Body, bvh: str, pattern: str, new: str, message: str) -> None:
    path = tmp_path / "walk.bvh"
    path.write_text(re.sub(pattern, new, bvh, count=1))
    assert re.search(f"walk.bvh` cannot be used: .*({message})", refused(path, body))


@pytest.mark.parametrize("value", ["nan", "-inf", "1e300", "x"])
def test_bvh_motion(tmp_path: Path, body: Body, bvh: str, value: str) -> None:
    path = tmp_path / "walk.bvh"
    head, _, last = bvh.rstrip().rpartition(" ")
    path.write_text(f"{head} {value}\n")
    assert last
    assert "its motion" in refused(path, body)


def test_bvh_with_too_many_joints(tmp_path: Path, body: Body) -> None:
    path = tmp_path / "deep.bvh"
    joints = [f"JOINT j{number} {{ OFFSET 0 1 0" for number in range(5000)]
    text = "HIERARCHY ROOT hip { OFFSET 0 0 0 CHANNELS 3 Xposition Yposition Zposition "
    text += " ".join(joints) + " }" * 5001 + "\nMOTION\nFrames: 1\nFrame Time: 0.03\n0 0 0\n"
    path.write_text(text)
    assert "5001 joints" in refused(path, body)


def test_bvh_whose_joints_in_all_frames_take_more_than_is_allowed(
    tmp_path: Path, body: Body, bvh: str
) -> None:
    path = tmp_path / "long.bvh"
    head, _, rows = bvh.partition("Frame Time:")
    row = rows.strip().splitlines()[1]
    text = re.sub("Frames:.*", "Frames: 500", head) + "Frame Time: 0.03\n" + f"{row}\n" * 500
    path.write_text(text)
    with input_limit(0.004), pytest.raises(InputError, match="GB") as caught:
        read_motion(path, body)
    assert "--max-input-size" in caught.value.hint


@pytest.mark.parametrize(
    ("file", "pattern", "new", "message"),
    [
        ("asf", r"length \S+", "length 0", "length"),
        ("asf", r"length \S+", "length inf", "has the value `inf`"),
        ("asf", r"direction \S+", "direction nan", "has the value `nan`"),
        ("asf", r"direction .*", "direction 0 0 0", "direction"),
        ("asf", r"axis (.*) \w+", r"axis \1 QQQ", "no axes"),
        ("asf", r"axis (\S+) .*", "axis", "no order"),
        ("asf", r"dof .*", "dof rx rx", "channels"),
        ("asf", r"(?i)order TX", "order", "lacks TX"),
        ("asf", r"(?s):bonedata.*?:hierarchy", ":hierarchy", "bonedata"),
        ("amc", r"root \S+", "root inf", "has a value"),
        ("amc", r"\n2\n", "\n3\n", "frame `3` follows frame 1"),
        ("amc", r"(?s)\n1\n.*", "\n", "0 frames"),
    ],
)
def test_acclaim(
    *, tmp_path: Path, make_motion: MakeMotion, body: Body, file: str, pattern: str, new: str,
    message: str,
) -> None:  # fmt: skip
    motion = write_acclaim(tmp_path, make_motion(people=1, frames=3), body)
    path = motion if file == "amc" else next(tmp_path.glob("*.asf"))
    changed = re.sub(pattern, new, path.read_text(), count=1)
    assert changed != path.read_text()
    path.write_text(changed)
    assert re.search(f"{path.name}` cannot be used: .*{message}", refused(motion, body))


@pytest.mark.parametrize("rate", [1e-9, 0.0, np.inf, -30.0, 1e9])
def test_amass_rate(tmp_path: Path, make_motion: MakeMotion, body: Body, rate: float) -> None:
    path = tmp_path / "walk_poses.npz"
    write_amass_layout(path, make_motion(people=1, frames=3))
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "gender"}
    key = next(name for name in arrays if "mocap_frame" in name)
    np.savez(path, **{**arrays, key: np.array(rate)})
    assert "mocap_frame" in refused(path, body)


def test_people_far_away(tmp_path: Path, make_motion: MakeMotion, body: Body) -> None:
    motion = make_motion(people=1, frames=3)
    motion.pelvis_m[..., 0] += 9e5
    path = tmp_path / "walk_poses.npz"
    write_amass_layout(path, motion)
    assert "m from the origin" in refused(path, body)


def test_a_walk_through_folders_ends(
    tmp_path: Path, body: Body, bvh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "walk.bvh").write_text(bvh)
    (tmp_path / "a" / "b" / "back").symlink_to(tmp_path)
    assert [source.name for source in find_motions(tmp_path, body)] == ["walk"]
    monkeypatch.setattr(reading, "MOST_ENTRIES", 3)
    with pytest.raises(InputError, match="more than 3 files"):
        find_motions(tmp_path, body)


def test_a_file_with_spoiled_words_is_read_or_refused(tmp_path: Path, body: Body, bvh: str) -> None:
    """Every word of the beginning, replaced by each of these."""
    path, words = tmp_path / "walk.bvh", re.split(r"(\s+)", bvh)
    for place, odd in itertools.product(range(0, 60, 2), ("-1", "{", "End", "")):
        path.write_text("".join([*words[:place], odd, *words[place + 1 :]]))
        with suppress(InputError):
            read_motion(path, body)
