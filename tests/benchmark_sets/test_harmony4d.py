"""Harmony4D: the reader on a miniature in the documented layout."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import roma
import torch
from PIL import Image

from closefit.benchmark import harmony4d
from closefit.benchmark.sequences import Options
from closefit.boundary.refusals import RefusedError
from closefit.errors import InputError
from tests.benchmark_sets.conftest import FRAMES, SIZE_WH, Footage
from tests.benchmark_sets.worlds import camera, pixels, to_world

SCALE = 0.37
BEND = (1.5, -0.3, 0.01, 0.0)
"""Stronger than a real lens has: the pictures are small."""
CAMERAS = """# Camera list with one line of data per camera:
1 OPENCV_FISHEYE {w} {h} {fx} {fy} {cx} {cy} {k}
2 OPENCV_FISHEYE 1408 1408 1 1 1 1 0 0 0 0
3 PINHOLE 1408 1408 1 1 1 1
"""


def fisheye(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Where the camera sees points of its frame, by the formula of OpenCV's model."""
    a, b = points[..., 0] / points[..., 2], points[..., 1] / points[..., 2]
    r = np.hypot(a, b)
    theta = np.arctan(r)
    bent = theta * (1 + sum(k * theta ** (2 * n) for n, k in enumerate(BEND, 1)))
    factor = np.divide(bent, r, out=np.ones_like(r), where=r > 0)
    return np.stack([K[0, 0] * factor * a + K[0, 2], K[1, 1] * factor * b + K[1, 2]], axis=-1)


def dot(place: np.ndarray) -> np.ndarray:
    """A picture that is black but for a soft dot."""
    x, y = np.meshgrid(np.arange(SIZE_WH[0]) + 0.5, np.arange(SIZE_WH[1]) + 0.5)
    bright = np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / 8.0)
    return np.repeat((255 * bright).astype(np.uint8)[..., None], 3, axis=2)


def middle_of(picture: np.ndarray) -> np.ndarray:
    weight = picture[..., 0].astype(float)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def write(root: Path, footage: Footage, *, exo_only: bool = False, rendered: bool = False) -> Path:
    """One sequence of a fisheye camera: its pictures, or a dot where it sees person 0's head."""
    folder = root / "test" / "01_hugging" / "001_hugging"
    workspace = folder / "colmap" / "workplace"
    workspace.mkdir(parents=True)
    truth, (R, t), (R_world, t_world) = footage.truth, camera(4), camera(5)
    K = truth["K"]
    to_colmap = np.eye(4)  # world -> COLMAP, with scale
    to_colmap[:3, :3], to_colmap[:3, 3] = SCALE * R_world, t_world
    if exo_only:
        np.save(workspace / "scale.npy", np.linalg.inv(to_colmap), allow_pickle=False)
    else:
        content = {"aria01": to_colmap, "aria02": np.eye(4)}
        path = workspace / "colmap_from_aria_transforms.pkl"
        path.write_bytes(pickle.dumps(content, protocol=4))
    words = {"w": 160, "h": 120, "fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    (workspace / "cameras.txt").write_text(CAMERAS.format(**words, k=" ".join(map(str, BEND))))
    x, y, z, w = roma.rotmat_to_unitquat(torch.from_numpy(R)).tolist()
    pose = f"{w} {x} {y} {z} {t[0]} {t[1]} {t[2]}"
    lines = ["# comment"] * 4
    lines += ["9 1 0 0 0 0 0 0 3 aria01/00001.jpg", "1.0 2.0 -1"]
    lines += [f"1 {pose} 1 cam01/00001.jpg", "", f"2 {pose} 1 cam01/00002.jpg", "1 2 -1"]
    (workspace / "images.txt").write_text("\n".join(lines) + "\n")
    pictures = folder / "exo" / "cam01" / "images"
    pictures.mkdir(parents=True)
    smpl = folder / "processed_data" / "smpl"
    smpl.mkdir(parents=True)
    for index in range(FRAMES):
        # E P X is in COLMAP's units, SCALE of a metre.
        in_units = SCALE * truth["joints3d"][index]
        world = to_world(to_world(in_units, R, t), SCALE * R_world, t_world) / SCALE**2
        people = {
            f"aria0{2 - person}": {
                "betas": np.zeros(10),
                "joints": np.concatenate([world[1 - person], np.zeros((21, 3))]),
                "vertices": np.tile(world[1 - person, 15], (6890, 1)),
                "epoch_loss": 0.5,
            }
            for person in range(2)
        }
        np.save(smpl / f"{index + 1:05}.npy", people, allow_pickle=True)
        place = fisheye(truth["joints3d"][index, 0, 15], K)
        picture = through_fisheye(footage.pictures[index], K) if rendered else dot(place)
        Image.fromarray(picture).save(pictures / f"{index + 1:05}.jpg", quality=98)
    return folder


def through_fisheye(picture: np.ndarray, K: np.ndarray) -> np.ndarray:
    """What the camera shows of what a pinhole camera shows so."""
    x, y = np.meshgrid(np.arange(SIZE_WH[0]), np.arange(SIZE_WH[1]))
    K = K - [[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]]
    bent = np.stack([x, y], axis=-1).astype(np.float64)
    straight = cv2.fisheye.undistortPoints(bent, K, np.array(BEND), P=K).astype(np.float32)
    return cv2.remap(picture, straight[..., 0], straight[..., 1], cv2.INTER_LINEAR)


def only(root: Path, **options: str):
    (entry,) = harmony4d.find(root, Options(**options)).entries
    return entry.read()


@pytest.mark.parametrize("exo_only", [False, True])
def test_joints_are_in_metres_before_the_camera(
    tmp_path: Path, footage: Footage, exo_only: bool
) -> None:
    write(tmp_path, footage, exo_only=exo_only)
    found = only(tmp_path)
    np.testing.assert_allclose(found.truth.all_joints, footage.truth["joints3d"], atol=1e-4)
    assert found.truth.valid.all()
    assert found.problems == ()


def test_pictures_lose_their_distortion(tmp_path: Path, footage: Footage) -> None:
    write(tmp_path, footage)
    found = only(tmp_path)
    heads = found.truth.all_joints[:, 0, 15]
    seen, bent = pixels(heads, found.K), fisheye(heads, found.K)
    assert np.abs(seen - bent).max() > 1.0, "there is distortion to remove"
    for number, picture in enumerate(found.pictures()):
        np.testing.assert_allclose(middle_of(picture), seen[number], atol=0.25)


def test_what_is_missing_or_damaged_is_named(tmp_path: Path, footage: Footage) -> None:
    folder = write(tmp_path, footage)
    smpl, workspace = folder / "processed_data" / "smpl", folder / "colmap" / "workplace"
    (smpl / "00003.npy").unlink()
    (smpl / "00004.npy").write_bytes(b"damaged")
    np.save(smpl / "00005.npy", {"aria01": {}}, allow_pickle=True)
    (folder / "exo" / "cam01" / "images" / "00009.jpg").unlink()
    found = only(tmp_path)
    assert np.flatnonzero(~found.truth.valid.any(axis=1)).tolist() == [2, 3, 4]
    words = " ".join(found.problems)
    for part in ("truth of frames 3 ", "00004.npy", "00005.npy", "pictures of frames 9 "):
        assert part in words
    for name in ("cameras.txt", "images.txt"):
        content = (workspace / name).read_text()
        (workspace / name).write_text(content.replace("1", "one"))
        with pytest.raises(RefusedError):
            only(tmp_path)
        (workspace / name).write_text(content)
    with pytest.raises(RefusedError, match="no camera"):
        only(tmp_path, view="cam77")
    with pytest.raises(InputError, match="train set"):
        harmony4d.find(tmp_path, Options(split="train"))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1/0",)


def test_files_of_numpy_run_nothing(tmp_path: Path, footage: Footage) -> None:
    folder = write(tmp_path, footage)
    path = folder / "processed_data" / "smpl" / "00001.npy"
    np.save(path, {"aria01": Evil(), "aria02": {}}, allow_pickle=True)
    assert "00001.npy" in only(tmp_path).problems[0]
    np.save(path, np.zeros(3), allow_pickle=False)
    assert "an array where a dictionary belongs" in only(tmp_path).problems[0]
