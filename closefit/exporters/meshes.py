"""`meshes/person_{0,1}/000123.obj` (or `.ply`): the posed meshes of every frame."""

import shutil
from collections.abc import Callable

import numpy as np

from closefit.body.model import Body
from closefit.config import MeshFormat
from closefit.exporters.motion_files import posed_chunks
from closefit.exporters.scene import scene_from_camera
from closefit.records import Motion
from closefit.storage.artifacts import atomic_write
from closefit.storage.workspace import NUM_PEOPLE, Workspace


def write_meshes(
    workspace: Workspace,
    body: Body,
    motion: Motion,
    file_format: MeshFormat,
    on_frame: Callable[[int, int], None],
) -> None:
    """Write both people's mesh in each frame, in the frame of `scene.glb`: metres, y up.

    Memory does not grow with the clip. Each file appears complete or not at all.

    Args:
        workspace: Folder to write into.
        body: Body of the motion.
        motion: Both people in the camera frame.
        file_format: `obj` (text) or `ply` (binary).
        on_frame: Called with the number of finished frames and of all frames.

    Raises:
        DiskFullError: The disk is full.
    """
    import trimesh

    T_scene_camera = scene_from_camera(motion.floor)
    faces = body.faces.cpu().numpy()
    folders = [workspace.meshes / f"person_{person}" for person in range(NUM_PEOPLE)]
    for folder in folders:
        folder.mkdir(parents=True)
    for chunk, vertices in posed_chunks(body, motion):
        in_scene = vertices.cpu().numpy().astype(np.float64) @ T_scene_camera[:3, :3].T
        in_scene += T_scene_camera[:3, 3]
        for frame, people in enumerate(in_scene, start=chunk.start):
            for folder, points in zip(folders, people, strict=True):
                mesh = trimesh.Trimesh(points, faces, process=False)
                content = mesh.export(file_type=file_format)
                with atomic_write(folder / f"{frame:06}.{file_format}") as file:
                    file.write(content if isinstance(content, bytes) else str(content).encode())
            on_frame(frame + 1, len(motion.transl))


def remove_meshes(workspace: Workspace) -> None:
    """Delete the meshes of an earlier export."""
    shutil.rmtree(workspace.meshes, ignore_errors=True)
