"""Every file that holds a motion but needs no posed mesh; the posed meshes for those that do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.model import Body, RestBody
from closefit.body.stature import Stature
from closefit.config import JointNames
from closefit.exporters.amass import write_amass
from closefit.exporters.bvh import write_bvh
from closefit.exporters.contacts import Touch
from closefit.exporters.filming import floors_before, scene_from_frames, seen_by
from closefit.exporters.gltf import SceneCamera, SkinnedPerson, write_glb
from closefit.exporters.joint_names import joint_names
from closefit.exporters.motion import write_motion
from closefit.exporters.reprojection import reprojected_keypoints
from closefit.exporters.scene import SceneMotion, motion_in, scene_from_camera
from closefit.exporters.usd import write_usd
from closefit.geometry.camera_path import CameraPath
from closefit.palette import PERSON_COLOURS
from closefit.records import Motion
from closefit.storage.workspace import NUM_PEOPLE, Workspace

CHUNK_FRAMES = 32
"""Number of frames whose posed meshes are in memory at once."""


@dataclass(frozen=True, eq=False)
class Footage:
    """The pictures, real or imagined, of a motion.

    Attributes:
        time_s: Time of each frame in the source video.
        fps: Frames per second.
        size_wh: Width and height in pixels.
        arrays: What else `motion.npz` holds: of the camera, of the detections.
        camera: How the camera that took them moved; None: not at all.
    """

    time_s: Float[np.ndarray, " frame"]
    fps: float
    size_wh: tuple[int, int]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    camera: CameraPath | None = None


def write_motion_files(
    workspace: Workspace,
    body: Body,
    motion: Motion,
    footage: Footage,
    colours: Sequence[Float[np.ndarray, "vertex 3"]] | None = None,
    style: JointNames = "smpl",
    markers: Sequence[Touch] = (),
    usd: bool = False,
) -> None:
    """Write `motion.npz`, and per person AMASS and BVH, and the scene of both; each all or nothing.

    Args:
        workspace: Folder to write into.
        body: Body of the motion.
        motion: Both people before the still camera.
        footage: The pictures that belong to it.
        colours: Each person's skin, sRGB in 0 to 1; None: one plain colour each.
        style: Whose names the joints of scene and BVH have.
        markers: Contacts that the scene lists.
        usd: Write the scene as USD too.

    Raises:
        DiskFullError: The disk is full.
    """
    T_scene_camera = scene_from_camera(motion.floor)
    betas = torch.from_numpy(motion.betas).to(body.v_template)
    stature_m = Stature(body)(betas).cpu().numpy()
    path = footage.camera or CameraPath.still(motion.K)
    filmed = seen_by(motion, path)
    arrays = {
        "K": path.K if path.moves else motion.K[0],
        "time_s": footage.time_s - footage.time_s[0],
        "start_s": np.array(footage.time_s[0]),
        "T_scene_camera": scene_from_frames(T_scene_camera, path),
        "floor": floors_before(motion.floor, path),
        "stature_m": stature_m,
    }
    write_motion(
        workspace.motion,
        filmed,
        reprojected_keypoints(body, filmed, "coco17"),
        footage.fps,
        footage.size_wh,
        arrays | footage.arrays,
    )
    moved, rest = motion_in(motion, T_scene_camera), body.rest(betas)
    _write_skeletons(workspace, body, motion, moved, stature_m, footage.fps, style)
    camera = _scene_camera(path, T_scene_camera, footage.size_wh)
    if colours is None:
        colours = [np.tile(colour, (rest.vertices.shape[1], 1)) for colour in PERSON_COLOURS]
    first, second = (_skinned(body, rest, colours[person], person) for person in range(NUM_PEOPLE))
    write_glb(workspace.glb, (first, second), moved, footage.time_s, camera, style, markers)
    workspace.usd.unlink(missing_ok=True)
    if usd:
        write_usd(workspace.usd, (first, second), moved, footage.fps, camera, style, markers)


def _write_skeletons(
    workspace: Workspace,
    body: Body,
    motion: Motion,
    moved: SceneMotion,
    stature_m: Float[np.ndarray, " 2"],
    fps: float,
    style: JointNames,
) -> None:
    """Write each person's AMASS and BVH files."""
    rest = body.rest(torch.from_numpy(motion.betas).to(body.v_template))
    is_smpl = body.name == "smpl"
    # Without betas the file describes the mean body.
    described = rest.joints if is_smpl else body.joints_template.expand(NUM_PEOPLE, -1, -1)
    for person in range(NUM_PEOPLE):
        rotations, pelvis = moved.rotations[:, person], moved.pelvis[:, person]
        write_amass(
            workspace.amass(person),
            rotations,
            pelvis,
            described[person, 0].cpu().numpy(),
            motion.betas[person] if is_smpl else None,
            fps,
            float(stature_m[person]),
        )
        joints = rest.joints[person].cpu().numpy()
        write_bvh(workspace.bvh(person), joints, rotations, pelvis, fps, joint_names(style))


def _scene_camera(
    path: CameraPath, T_scene_camera: Float[np.ndarray, "4 4"], size_wh: tuple[int, int]
) -> SceneCamera:
    width, height = size_wh
    K = path.K[0]
    return SceneCamera(
        T_scene_camera=scene_from_frames(T_scene_camera, path),
        fov_y_rad=float(2.0 * np.arctan(0.5 * height / K[1, 1])),
        aspect=width / height,
        principal_offset=(
            float(K[0, 2] - 0.5 * width) / height,
            float(K[1, 2] - 0.5 * height) / height,
        ),
        zoom=path.K[:, 1, 1] / K[1, 1] if path.moves else None,
    )


def _skinned(
    body: Body, rest: RestBody, colours: Float[np.ndarray, "vertex 3"], person: int
) -> SkinnedPerson:
    """Return one person's rest mesh with skinning weights."""
    return SkinnedPerson(
        vertices=rest.vertices[person].cpu().numpy(),
        faces=body.faces.cpu().numpy(),
        colours=colours,
        weights=body.weights.cpu().numpy(),
        joints=rest.joints[person].cpu().numpy(),
    )


def posed_chunks(
    body: Body, motion: Motion
) -> Iterator[tuple[slice, Float[Tensor, "chunk 2 vertex 3"]]]:
    """Yield posed meshes in the camera frame, some frames at a time, and which frames they are."""
    rotations, betas, transl = (
        torch.from_numpy(array).to(body.v_template)
        for array in (motion.rotations, motion.betas, motion.transl)
    )
    for start in range(0, len(rotations), CHUNK_FRAMES):
        chunk = slice(start, start + CHUNK_FRAMES)
        yield chunk, body.pose(rotations[chunk], betas, transl[chunk]).vertices
