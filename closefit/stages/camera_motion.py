"""The part of `track` that finds how the camera moved, from a file or from the pictures."""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from closefit.errors import InputError
from closefit.events import Notice
from closefit.geometry.camera_path import CameraPath, homographies_of
from closefit.records import Track
from closefit.stages.inputs import clip_pictures, read_camera
from closefit.storage.job import Job
from closefit.storage.run_record import CameraMotionFigures
from closefit.tracking.background import Grey
from closefit.tracking.camera_motion import CameraMotion, camera_motion
from closefit.tracking.gaps import listed
from closefit.tracking.steadying import scaling, still_rectangle

WORK_HEIGHT_PX = 360
BESIDE = 0.03
"""Pixels this near a person, over the picture's height, are not background."""

LARGEST = 5.0
"""The picture that holds all frames has sides of at most so many times those of a frame."""

PART_HINT = "choose a part with --start and --end in which it turns less"


def with_camera_motion(job: Job, track: Track) -> Track:
    """Add how the camera turned and zoomed.

    Raises:
        InputError: The camera file cannot be used, or the camera turns too far.
    """
    camera, size_wh = job.config.camera, (job.video.width, job.video.height)
    given = None
    if camera.file is not None:
        given = read_camera(camera, job.video, len(track.time_s))
    if given is not None and (given.turns or given.zooms or "R" in given.pose):
        job.report(CameraMotionFigures(camera_motion="from the camera file"))
        if not given.turns:  # changing intrinsics are used as they are
            return track
        path = CameraPath(given.K.astype(np.float64), given.pose["R"])
        turned_deg = float(path.as_seen_from(path.middle_frame).turned_deg.max())
        return _moving(track, homographies_of(path, path.middle_frame), size_wh, turned_deg)
    if camera.motion == "still":
        job.report(CameraMotionFigures(camera_motion="not looked for"))
        return track
    found = _found(job, track)
    _report(job, found)
    if not found.moves:
        return track
    return _moving(track, found.homographies, size_wh, found.turned_deg)


def _moving(
    track: Track,
    homographies: Float[np.ndarray, "frame 3 3"],
    size_wh: tuple[int, int],
    turned_deg: float,
) -> Track:
    """Add the motion, which turns the camera by up to `turned_deg` from the reference frame.

    Raises:
        InputError: The frames do not fit into one picture.
    """
    rectangle = still_rectangle(homographies, size_wh)
    growth = float(((rectangle[2:] - rectangle[:2]) / size_wh).max())
    if growth > LARGEST:
        raise InputError(
            f"the camera turns by {turned_deg:.0f} degrees from the middle of its way: what it "
            f"sees does not fit into one picture ({growth:.0f} times as large, at most "
            f"{LARGEST:.0f})",
            hint=PART_HINT,
        )
    return replace(track, homographies=homographies, still_xyxy=rectangle)


def _found(job: Job, track: Track) -> CameraMotion:
    """Camera motion from the pictures, in pixels of the video."""
    scale = min(1.0, WORK_HEIGHT_PX / job.video.height)
    size_wh = max(2, round(job.video.width * scale)), max(2, round(job.video.height * scale))
    found = camera_motion(_backgrounds(job, track, size_wh), size_wh)
    if not found.moves:
        return found
    to_video = scaling(job.video.width / size_wh[0], job.video.height / size_wh[1])
    homographies = to_video @ found.homographies @ np.linalg.inv(to_video)
    reference = np.abs(found.homographies - np.eye(3)).sum(axis=(1, 2)).argmin()
    homographies[reference] = np.eye(3)  # also after rounding
    return replace(found, homographies=homographies)


def _backgrounds(
    job: Job, track: Track, size_wh: tuple[int, int]
) -> Iterator[tuple[Grey, Bool[np.ndarray, "height width"]]]:
    """Yield each frame in grey, and its pixels that are beside the two people."""
    on_frame = job.progress("camera")
    masks = track.union_masks
    side = 2 * round(BESIDE * size_wh[1]) + 1
    brush = np.ones((side, side), np.uint8)
    boxes = track.boxes_xyxy / np.tile(track.size_wh / np.array(size_wh), 2)
    for number, picture in enumerate(clip_pictures(job.video, track, size_wh)):
        people = np.zeros(picture.shape[:2], np.uint8)
        for left, top, right, bottom in _known(boxes[number]).tolist():
            people[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = 1
        if masks.shown[number]:
            people = np.asarray(cv2.resize(masks[number].astype(np.uint8), size_wh))
        background = np.asarray(cv2.dilate(people, brush) == 0)
        yield np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)), background
        on_frame(number + 1, len(track.time_s))


def _known(boxes: Float[np.ndarray, "person 4"]) -> Int[np.ndarray, "known 4"]:
    known: Int[np.ndarray, "known 4"] = boxes[np.isfinite(boxes).all(axis=1)].round().astype(int)
    return known


def _report(job: Job, found: CameraMotion) -> None:
    """Say what was found, and what is doubtful about it."""
    height_scale = job.video.height / min(job.video.height, WORK_HEIGHT_PX)
    state = "turns" + (" and zooms" if found.zooms else "") if found.moves else "stands still"
    if found.doubt is not None:
        state = "taken to stand still"
    job.report(
        CameraMotionFigures(
            camera_motion=state,
            camera_shift_px=round(found.shift_px * height_scale, 2),
            camera_error_px=round(found.error_px * height_scale, 3),
            camera_background_fit=None if found.fitting is None else round(found.fitting, 3),
            camera_unknown_frames=np.flatnonzero(~found.known).tolist(),
            camera_doubt=found.doubt,
        )
    )
    if found.moves:
        job.emit(
            Notice(
                f"the camera {state}: its picture moves by up to "
                f"{found.shift_px * height_scale:.0f} px, which is taken out"
            )
        )
    if found.doubt == "other motion":
        text = "the background does not move as a turning camera sees it"
    elif found.doubt is not None:
        text = f"too little of the background is seen in frames {listed(~found.known)}"
    else:
        return
    job.emit(Notice(f"the camera is taken to stand still: {text}", warning=True))
