"""CHI3D: the reader on a miniature in the documented layout."""

import json
from pathlib import Path

import numpy as np
import pytest

from closefit import video
from closefit.benchmark import chi3d
from closefit.benchmark.sequences import Options
from closefit.boundary.refusals import RefusedError
from closefit.errors import ConfigError, InputError
from tests.benchmark_sets.conftest import Footage
from tests.benchmark_sets.worlds import camera, pixels, to_world
from tests.clips import number_in

ACTION, CAMERA, T = "Grab 10", "58860488", 16
FIRST, LAST = 3, 12
NAMES = tuple(chi3d.JOINTS)


def write(root: Path, footage: Footage, frames: int = T) -> Path:
    """Subject s02, one action: the video is longer than the joints, T is the camera's place."""
    from closefit.body.skeleton import JOINT_INDEX

    folder = root / "train" / "s02"
    R, t = camera(3)
    truth = footage.truth
    world = to_world(truth["joints3d"][:frames], R, t)
    joints = np.full((2, frames, 25, 3), 99.0)
    for name, number in chi3d.JOINTS.items():
        joints[:, :, number] = world[:, :, JOINT_INDEX[name]].swapaxes(0, 1)
    K = truth["K"]
    parameters = {
        "extrinsics": {"R": R.tolist(), "T": [(-R.T @ t).tolist()]},
        "intrinsics_w_distortion": {"f": [[1, 1]], "c": [[0, 0]], "k": [[0, 0, 0]], "p": [[0, 0]]},
        "intrinsics_wo_distortion": {"f": [K[0, 0], K[1, 1]], "c": [K[0, 2], K[1, 2]]},
    }
    signature = {ACTION: {"fr_id": 6, "start_fr": FIRST, "end_fr": LAST, "smplx_signature": {}}}
    contents = {
        f"camera_parameters/{CAMERA}/{ACTION}.json": parameters,
        f"joints3d_25/{ACTION}.json": {"joints3d_25": joints.tolist()},
        "interaction_contact_signature.json": signature,
    }
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, default=float))
    (folder / "videos" / CAMERA).mkdir(parents=True)
    video.write(folder / "videos" / CAMERA / f"{ACTION}.mp4", iter(footage.pictures), 50.0)
    return folder


def only(root: Path, **options: str):
    (entry,) = chi3d.find(root, Options(**options)).entries
    return entry.read()


def test_joints_are_where_the_camera_saw_them(tmp_path: Path, footage: Footage) -> None:
    from closefit.body.skeleton import JOINT_INDEX

    write(tmp_path, footage)
    found = only(tmp_path)
    assert chi3d.find(tmp_path, Options()).missing == ["s03", "s04"]
    chosen = [JOINT_INDEX[name] for name in NAMES]
    true = footage.truth["joints2d"][FIRST : LAST + 1][:, :, chosen]
    np.testing.assert_allclose(pixels(found.truth.joints, found.K), true, atol=1e-2)
    assert (found.truth.joints[..., 2] > 0).all(), "T is the camera's place, not a translation"
    assert found.fps == pytest.approx(50.0)
    assert [number_in(picture) for picture in found.pictures()] == list(range(FIRST, LAST + 1))


def test_a_range_beyond_the_joints_is_cut_and_named(tmp_path: Path, footage: Footage) -> None:
    folder = write(tmp_path, footage)
    path = folder / "interaction_contact_signature.json"
    path.write_text(json.dumps({ACTION: {"fr_id": 6, "start_fr": 4, "end_fr": 30}}))
    found = only(tmp_path)
    assert len(found.scored) == T - 4
    assert "15 of 27 frames" in found.problems[0]
    path.write_text("{}")
    assert len(only(tmp_path).scored) == T
    path.write_text(json.dumps({ACTION: {"fr_id": 6, "start_fr": 9, "end_fr": 3}}))
    with pytest.raises(RefusedError, match="ends before"):
        only(tmp_path)


def test_what_is_missing_or_damaged_is_named(tmp_path: Path, footage: Footage) -> None:
    folder = write(tmp_path, footage)
    clip = folder / "videos" / CAMERA / f"{ACTION}.mp4"
    content = clip.read_bytes()
    clip.unlink()
    with pytest.raises(RefusedError, match="no video"):
        only(tmp_path)
    clip.write_bytes(content[:100])
    with pytest.raises(InputError):
        only(tmp_path)
    clip.write_bytes(content)
    (folder / "camera_parameters" / CAMERA / f"{ACTION}.json").write_text('{"extrinsics": {}}')
    with pytest.raises(RefusedError):
        only(tmp_path)
    with pytest.raises(RefusedError):
        only(tmp_path, view="65906101")
    with pytest.raises(ConfigError, match="not one of"):
        chi3d.find(tmp_path, Options(view="1"))
    assert len(chi3d.find(tmp_path, Options(view="all")).entries) == 4
