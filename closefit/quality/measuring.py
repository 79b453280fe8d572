"""Contacts and silhouettes of a finished motion, in one pass over its posed bodies."""

from collections.abc import Callable

import numpy as np

from closefit.body.model import Body
from closefit.exporters import contacts
from closefit.exporters.contacts import Contacts, find_contacts
from closefit.exporters.filming import seen_by
from closefit.exporters.motion_files import posed_chunks
from closefit.exporters.reprojection import reprojected_keypoints
from closefit.geometry.camera_path import CameraPath
from closefit.quality.features import Result
from closefit.quality.silhouettes import SilhouetteMeter, Silhouettes
from closefit.records import Motion, Track


def measure(
    body: Body,
    track: Track,
    motion: Motion,
    camera: CameraPath,
    on_frames: Callable[[int, int], None],
) -> Result:
    """Pose both bodies in every frame and compare them with each other and with the masks.

    Args:
        body: Body of the motion.
        track: What was seen, in pixels of the video.
        motion: Both people before the still camera.
        camera: The camera of each frame.
        on_frames: Is told how many frames of how many are done.
    """
    parts, frames = body.vertex_parts(), len(motion.transl)
    meter = SilhouetteMeter(track, camera, body.faces.cpu().numpy())
    measured: list[Contacts] = []
    for chunk, vertices in posed_chunks(body, motion):
        measured.append(find_contacts(vertices, body.faces, parts))
        meter.add(chunk.start, vertices.cpu().numpy())
        on_frames(min(chunk.stop, frames), frames)
    return result_of(body, track, motion, camera, contacts.join(measured), meter.found)


def result_of(
    body: Body,
    track: Track,
    motion: Motion,
    camera: CameraPath,
    measured: Contacts,
    silhouettes: Silhouettes,
) -> Result:
    """Put together what was measured; arguments as of `measure`."""
    filmed = seen_by(motion, camera)
    return Result(
        track=track,
        motion=motion,
        keypoints_px=reprojected_keypoints(body, filmed, str(track.keypoint_set)),
        depth_m=filmed.joints[:, :, 0, 2].astype(np.float64),
        focal_px=camera.K[:, 1, 1].astype(np.float64),
        contacts=measured,
        silhouettes=silhouettes,
    )
