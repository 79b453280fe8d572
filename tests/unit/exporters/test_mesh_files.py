"""Mesh sequences, read back with trimesh, agree with the `motion.npz` beside them."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import trimesh

from closefit.body.model import Body
from closefit.exporters.meshes import remove_meshes, write_meshes
from closefit.exporters.motion import read_motion
from closefit.exporters.motion_files import Footage, write_motion_files
from closefit.exporters.scene import scene_from_camera
from closefit.records import OptimizedMotion
from closefit.storage.workspace import Workspace


@pytest.mark.parametrize("file_format", ["obj", "ply"])
def test_meshes_are_those_of_motion_npz(
    tmp_path: Path, body: Body, motion: OptimizedMotion, file_format: Literal["obj", "ply"]
) -> None:
    """In the frame of the scene: y up, the floor at height zero, metres."""
    workspace, finished = Workspace(tmp_path), []
    frames = len(motion.transl)
    footage = Footage(np.arange(frames) / 30.0, 30.0, (320, 240))
    write_motion_files(workspace, body, motion, footage)
    write_meshes(workspace, body, motion, file_format, lambda *done: finished.append(done))
    assert finished == [(frame + 1, frames) for frame in range(frames)]
    exported = read_motion(workspace.motion)
    arrays = (exported.rotations, exported.betas, exported.transl)
    vertices = body.pose(*map(torch.from_numpy, arrays)).vertices.numpy()
    T_scene_camera = scene_from_camera(exported.floor)
    expected = vertices @ T_scene_camera[:3, :3].T + T_scene_camera[:3, 3]
    for person in range(2):
        for frame in range(frames):
            path = workspace.meshes / f"person_{person}" / f"{frame:06}.{file_format}"
            mesh = trimesh.load_mesh(path, process=False)
            np.testing.assert_array_equal(mesh.faces, body.faces.numpy())
            np.testing.assert_allclose(mesh.vertices, expected[frame, person], atol=1e-5)
    remove_meshes(workspace)
    assert not workspace.meshes.exists()
