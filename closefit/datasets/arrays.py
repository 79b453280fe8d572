"""The arrays of one clip of a dataset, made from a results folder."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from closefit.body.skeleton import PART_NAMES
from closefit.boundary.refusals import word
from closefit.boundary.schema import check_schema
from closefit.errors import ArtifactDamagedError
from closefit.exporters.contact_file import ContactsContent, read_contacts
from closefit.exporters.motion import read_motion
from closefit.records import Track
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipArrays:
    """Both people in the kept frames of a clip: camera frame (OpenCV axes), metres, source pixels.

    Attributes:
        frame: Number of each frame in the clip that closefit was given.
        source_time_s: Its time in the source video.
        fps: Frames per second.
        size_wh: Width and height of the source video.
        K: Intrinsics of each frame.
        rotations_6d: Local rotations: the first two columns of each matrix, one after the other.
        pose: The same as axis-angle: pelvis, then the other 23 joints, as in SMPL.
        betas: Shape coefficients of each person.
        transl: Translation as in SMPL: `joints[:, :, 0]` minus the pelvis of the shaped rest body.
        joints: Joint positions.
        floor: Plane: the height of a point is `floor[:3] . point + floor[3]`; one per frame where
            the camera moves.
        body: Name of the body, `closefit` or `smpl`.
        joint_names: Names of the 24 joints.
        valid: The person's pose in this frame rests on observations near in time.
        confidence: Trust in the pose, 0 (guess) to 1.
        seen: The person was detected in this frame.
        identity_confidence: Probability that the detection is of this person.
        keypoints: Detected COCO-17 keypoints: x, y, confidence.
        boxes_xyxy: Detected boxes; NaN where there is none.
        mask_counts: Run lengths of all masks, as COCO has them: runs of 0 and 1 in turn, down the
            columns.
        mask_ends: Where the runs of each mask end; a mask without runs is not known.
        mask_size_wh: Width and height of the masks, which may be smaller than the video.
        gap_m: Smallest distance between the two bodies.
        contact_index: Of each contact: index of the frame in these arrays.
        contact_parts: The part of person 0 and the part of person 1, as numbers of `part_names`.
        contact_distance_mm: Smallest distance of the two parts.
        contact_penetration_mm: Deepest penetration of the two parts.
        part_names: Names of the body parts.
    """

    frame: Int[np.ndarray, " frame"]
    source_time_s: Float[np.ndarray, " frame"]
    fps: Float[np.ndarray, ""]
    size_wh: Int[np.ndarray, "2"]
    K: Float[np.ndarray, "frame 3 3"]
    rotations_6d: Float[np.ndarray, "frame 2 24 6"]
    pose: Float[np.ndarray, "frame 2 72"]
    betas: Float[np.ndarray, "2 10"]
    transl: Float[np.ndarray, "frame 2 3"]
    joints: Float[np.ndarray, "frame 2 24 3"]
    floor: Float[np.ndarray, "... 4"]
    body: np.ndarray
    joint_names: np.ndarray
    valid: Bool[np.ndarray, "frame 2"]
    confidence: Float[np.ndarray, "frame 2"]
    seen: Bool[np.ndarray, "frame 2"]
    identity_confidence: Float[np.ndarray, "frame 2"]
    keypoints: Float[np.ndarray, "frame 2 17 3"]
    boxes_xyxy: Float[np.ndarray, "frame 2 4"]
    mask_counts: Int[np.ndarray, " run"]
    mask_ends: Int[np.ndarray, "frame 2"]
    mask_size_wh: Int[np.ndarray, "2"]
    gap_m: Float[np.ndarray, " frame"]
    contact_index: Int[np.ndarray, " contact"]
    contact_parts: Int[np.ndarray, "contact 2"]
    contact_distance_mm: Float[np.ndarray, " contact"]
    contact_penetration_mm: Float[np.ndarray, " contact"]
    part_names: np.ndarray

    def as_dict(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def check(arrays: dict[str, np.ndarray]) -> int:
    """Check that arrays have the names, kinds and shapes of `ClipArrays`; return their frames.

    Raises:
        RefusedError: They have not.
    """
    check_schema(arrays, ClipArrays)
    return len(arrays["frame"])


def read_clip(folder: Path, first: int, last: int) -> ClipArrays:
    """Collect the arrays of a results folder, from the first to the last frame to keep.

    Raises:
        ArtifactError: A file of the folder is missing, damaged, or of another clip.
    """
    workspace, hint = Workspace(folder), f"run `closefit stage export {word(folder)}`"
    motion = read_motion(workspace.motion)
    track = artifacts.read(workspace.artifact("track"), Track)
    frames = len(motion.valid)
    if len(track.time_s) != frames or last >= frames:
        raise ArtifactDamagedError(
            f"`{workspace.motion}` has {frames} frames and its track {len(track.time_s)}", hint=hint
        )
    contacts = read_contacts(workspace.contacts, frames, hint)
    kept = slice(first, last + 1)
    columns = motion.rotations[kept, ..., :2].swapaxes(-1, -2)
    pose = np.concatenate([motion.global_orient, motion.body_pose], axis=-1)
    counts, ends = _run_lengths(track, kept)
    return ClipArrays(
        frame=np.arange(first, last + 1),
        source_time_s=track.time_s[kept],
        fps=motion.fps,
        size_wh=np.array([int(motion.width), int(motion.height)]),
        K=np.ascontiguousarray(np.broadcast_to(motion.K, (frames, 3, 3))[kept]),
        rotations_6d=np.ascontiguousarray(columns).reshape(*columns.shape[:3], 6),
        pose=pose[kept],
        betas=motion.betas,
        transl=motion.transl[kept],
        joints=motion.joints[kept],
        floor=motion.floor if motion.floor.ndim == 1 else motion.floor[kept],
        body=motion.body,
        joint_names=motion.joint_names,
        valid=motion.valid[kept],
        confidence=motion.confidence[kept],
        seen=track.seen[kept],
        identity_confidence=track.identity_confidence[kept],
        keypoints=track.keypoints[kept],
        boxes_xyxy=track.boxes_xyxy[kept],
        mask_counts=counts,
        mask_ends=ends,
        mask_size_wh=track.mask_size_wh,
        gap_m=np.array(contacts["per_frame"]["gap_m"], np.float32)[kept],
        **_contacts(contacts, kept),
    )


def _run_lengths(track: Track, kept: slice) -> tuple[np.ndarray, np.ndarray]:
    """Run lengths of both people's masks in these frames, and where each mask's end."""
    masks = track.person_masks
    found: list[np.ndarray] = []
    for index in range(kept.start, kept.stop):
        for person in range(2):
            is_known = bool(masks.shown[index, person])
            found.append(run_lengths(masks[index, person]) if is_known else np.zeros(0, np.int32))
    ends = np.cumsum([len(runs) for runs in found], dtype=np.int64).reshape(-1, 2)
    return np.concatenate(found), ends


def run_lengths(mask: Bool[np.ndarray, "height width"]) -> Int[np.ndarray, " run"]:
    """Return the runs of 0 and 1 in turn, down the columns; the first may be empty."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], edges, [flat.size]])
    runs = np.diff(starts)
    return (np.concatenate([[0], runs]) if flat[:1].any() else runs).astype(np.int32)


def _contacts(contacts: ContactsContent, kept: slice) -> dict[str, np.ndarray]:
    """A row for each frame and each pair of parts that touch in it."""
    rows = sorted(_rows(contacts, kept))
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), (), ()]
    return {
        "contact_index": np.array(columns[0], np.int64),
        "contact_parts": np.stack([np.array(columns[n], np.int64) for n in (1, 2)], axis=1),
        "contact_distance_mm": np.array(columns[3], np.float32),
        "contact_penetration_mm": np.array(columns[4], np.float32),
        "part_names": np.array(PART_NAMES),
    }


def _rows(contacts: ContactsContent, kept: slice) -> Iterator[tuple[int, int, int, float, float]]:
    numbers = {name: number for number, name in enumerate(PART_NAMES)}
    for pair in contacts["contacts"]:
        if not {pair["person_0"], pair["person_1"]} <= numbers.keys():
            continue  # not a part of ours: the file is from elsewhere
        parts = numbers[pair["person_0"]], numbers[pair["person_1"]]
        frames = [n for a, b in pair["frames"] for n in range(a, b + 1)]
        for frame, distance, depth in zip(
            frames, pair["distance_mm"], pair["penetration_mm"], strict=True
        ):
            if kept.start <= frame < kept.stop:
                yield frame - kept.start, *parts, distance, depth
