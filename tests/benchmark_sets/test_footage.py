"""What closefit gets of a sequence: one clip for each camera and part, as complete as the data."""

from pathlib import Path

import pytest
from PIL import Image

from closefit import video
from closefit.benchmark import expi, hi4d, threedpw
from closefit.benchmark.footage import write_footage
from closefit.benchmark.sequences import Options
from closefit.boundary.refusals import RefusedError
from tests.benchmark_sets import test_3dpw, test_expi, test_hi4d
from tests.benchmark_sets.conftest import FRAMES, Footage


def test_a_clip_is_written_again_when_pictures_have_come_and_only_then(
    tmp_path: Path, footage: Footage
) -> None:
    folder = test_hi4d.write(tmp_path / "data", footage)
    clip, camera = tmp_path / "clip.mp4", tmp_path / "camera.npz"
    late = folder / "images" / test_hi4d.MONO / f"{test_hi4d.START + 3:06}.jpg"
    content = late.read_bytes()
    late.unlink()
    for frames in (FRAMES - 1, FRAMES):
        write_footage(test_hi4d.only(tmp_path / "data"), clip, camera)
        assert video.probe(clip).num_frames == frames
        late.write_bytes(content)
    before = clip.stat().st_mtime_ns
    write_footage(test_hi4d.only(tmp_path / "data"), clip, camera)
    assert clip.stat().st_mtime_ns == before


def test_pictures_of_two_sizes_are_refused(tmp_path: Path, footage: Footage) -> None:
    folder = test_hi4d.write(tmp_path / "data", footage)
    path = folder / "images" / test_hi4d.MONO / f"{test_hi4d.START + 3:06}.jpg"
    Image.new("RGB", (40, 30)).save(path)
    recording = test_hi4d.only(tmp_path / "data")
    with pytest.raises(RefusedError, match="picture 3 has another size"):
        write_footage(recording, tmp_path / "clip.mp4", tmp_path / "camera.npz")
    assert not (tmp_path / "clip.mp4").exists()


def test_another_camera_or_part_has_another_name(tmp_path: Path, footage: Footage) -> None:
    """Clips and results of one name would be taken for each other."""
    test_hi4d.write(tmp_path / "hi4d", footage)
    test_3dpw.write(tmp_path / "3dpw", footage)
    test_expi.write(tmp_path / "expi", footage)
    options = {"split": "all"}
    every = [
        *(hi4d.find(tmp_path / "hi4d", Options(**options, view=v)) for v in (None, "4", "88")),
        *(threedpw.find(tmp_path / "3dpw", Options(split=split)) for split in ("pairs", "pc")),
        *(expi.find(tmp_path / "expi", Options(view=view)) for view in (None, "all")),
    ]
    names = [entry.name for found in every for entry in found.entries]
    assert len(set(names)) == len(names) == 7
    assert {"pair23_hug23", "pair23_hug23_88", "acro1_a-frame1_20"} <= set(names)
    assert "courtyard_hug_00_100-500" in names
