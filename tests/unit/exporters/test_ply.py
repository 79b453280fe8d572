from pathlib import Path

import numpy as np
import roma
import torch

from closefit.appearance.avatar import face_frames
from closefit.body.skeleton import JOINT_NAMES
from closefit.exporters.appearance import rest_gaussians, vertex_colours
from closefit.exporters.ply import ATTRIBUTES, SH_CONSTANT, write_ply
from closefit.palette import PERSON_COLOURS
from tests.samples import make_optimized_motion


def read_ply(path: Path) -> dict[str, np.ndarray]:
    header, _, data = path.read_bytes().partition(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    names = [line.split()[2] for line in lines if line.startswith("property float")]
    count = next(int(line.split()[2]) for line in lines if line.startswith("element vertex"))
    table = np.frombuffer(data, "<f4").reshape(count, len(names))
    return dict(zip(names, table.T, strict=True))


def test_viewers_find_the_gaussians_where_they_are(motion, body, tmp_path: Path) -> None:
    gaussians = rest_gaussians(body, motion, 1)
    write_ply(tmp_path / "gaussians" / "person_1.ply", gaussians)
    columns = read_ply(tmp_path / "gaussians" / "person_1.ply")
    assert tuple(columns) == ATTRIBUTES
    shares = np.stack([columns[f"weight_{joint}"] for joint in JOINT_NAMES], axis=-1)
    at_corners = body.weights[body.faces[torch.from_numpy(motion.gaussian_face[1])]].mean(1)
    np.testing.assert_allclose(shares, at_corners, atol=1e-5)
    np.testing.assert_allclose(shares.sum(1), 1.0, atol=1e-3)
    means = np.stack([columns[axis] for axis in "xyz"], axis=-1)
    corners = body.rest(torch.from_numpy(motion.betas[1])).vertices[
        body.faces[torch.from_numpy(motion.gaussian_face[1])]
    ]
    distance = np.linalg.norm(means - corners.mean(1).numpy(), axis=-1)
    np.testing.assert_allclose(
        distance, np.linalg.norm(motion.gaussian_offset_m[1], axis=-1), atol=1e-5
    )
    colour = np.stack([columns[f"f_dc_{i}"] for i in range(3)], -1) * SH_CONSTANT + 0.5
    np.testing.assert_allclose(colour, motion.gaussian_colour[1], atol=1e-6)
    scale = np.exp(np.stack([columns[f"scale_{i}"] for i in range(3)], -1))
    np.testing.assert_allclose(scale, motion.gaussian_scale_m[1], rtol=1e-5)
    opacity = 1 / (1 + np.exp(-columns["opacity"]))
    np.testing.assert_allclose(opacity, motion.gaussian_opacity[1], atol=2e-5)


def test_rotations_are_those_of_face_and_gaussian_w_first(motion, body) -> None:
    gaussians = rest_gaussians(body, motion, 0)
    quats = roma.quat_wxyz_to_xyzw(torch.from_numpy(gaussians.quats_wxyz))
    corners = body.v_template[body.faces[torch.from_numpy(motion.gaussian_face[0])]]
    own = roma.rotvec_to_rotmat(torch.from_numpy(motion.gaussian_rotation[0]))
    torch.testing.assert_close(roma.unitquat_to_rotmat(quats), face_frames(corners) @ own)


def test_skin_takes_the_colour_of_the_gaussians_on_it(motion, body) -> None:
    gaussians = rest_gaussians(body, motion, 0)
    colours = vertex_colours(gaussians.means, gaussians, 0)
    error = np.abs(colours - gaussians.colour).mean()
    assert error < 0.05
    shuffled = np.abs(colours - np.roll(gaussians.colour, 1, axis=0)).mean()
    assert error < 0.3 * shuffled


def test_a_person_without_gaussians_has_a_plain_colour(body, tmp_path: Path) -> None:
    empty = rest_gaussians(body, make_optimized_motion(2, gaussians=0), 1)
    write_ply(tmp_path / "empty.ply", empty)
    assert read_ply(tmp_path / "empty.ply")["x"].shape == (0,)
    colours = vertex_colours(np.zeros((4, 3), np.float32), empty, 1)
    np.testing.assert_array_equal(colours, np.tile(PERSON_COLOURS[1], (4, 1)))
