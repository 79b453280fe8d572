"""How well the bodies cover the people's pixels, on coarse pictures of some of the frames.

A mask holds the pixels at which its person is seen, so it is compared with those at which the body
is in front of the other one. Clothes and hair, which the body lacks, make an overlap (intersection
over union) of about 0.75 the best that can be had.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from closefit.exporters.mesh_raster import MeshPainter
from closefit.exporters.views import Projected, project_perspective
from closefit.geometry.camera_path import CameraPath
from closefit.records import Track
from closefit.storage.workspace import NUM_PEOPLE

SIDE_PX = 112
"""Side of the coarse pictures: a person is some 80 of these pixels tall."""

RATE_HZ = 15.0
"""Pictures per second that are compared."""

LEAST_PX = 20
"""Fewer pixels of these pictures state nothing."""

MARGIN = 0.05
NEAR_M = 0.1

Picture = Bool[np.ndarray, "side side"]


@dataclass(frozen=True, eq=False)
class Silhouettes:
    """Agreement of bodies and masks in each frame; NaN in frames that are not compared.

    Attributes:
        overlap: Intersection over union of each person's visible body and mask; NaN without mask.
        union_overlap: The same of both people together.
        contradicted: Pixels at which the mask is of one person and the body in front that of the
            other, who is behind it there, over the pixels of the smaller mask.
    """

    overlap: Float[np.ndarray, "frame 2"]
    union_overlap: Float[np.ndarray, " frame"]
    contradicted: Float[np.ndarray, " frame"]

    @classmethod
    def unknown(cls, frames: int) -> "Silhouettes":
        """Nothing is compared yet."""
        return cls(
            np.full((frames, NUM_PEOPLE), np.nan), np.full(frames, np.nan), np.full(frames, np.nan)
        )


def compared_frames(frames: int, fps: float) -> Bool[np.ndarray, " frame"]:
    """Return which frames are compared, the same ones of a clip that is played backwards."""
    number = np.arange(frames)
    from_an_end = np.minimum(number, frames - 1 - number)
    return np.asarray(from_an_end % max(1, round(fps / RATE_HZ)) == 0)


class SilhouetteMeter:
    """Compares posed bodies with the masks of a track, some frames at a time."""

    def __init__(self, track: Track, camera: CameraPath, faces: Int[np.ndarray, "face 3"]) -> None:
        """`camera` is that of each frame."""
        self.found = Silhouettes.unknown(len(track.seen))
        self._track, self._camera = track, camera
        self._chosen = compared_frames(len(track.seen), float(track.fps))
        self._painter = MeshPainter(faces, SIDE_PX, SIDE_PX)

    def add(self, first_frame: int, vertices: Float[np.ndarray, "chunk 2 vertex 3"]) -> None:
        """Compare those of the frames from `first_frame` on that are chosen.

        Args:
            first_frame: Frame of the first bodies.
            vertices: Of both people before the still camera, metres.
        """
        frames = np.arange(first_frame, first_frame + len(vertices))
        track = self._track
        some_mask = track.union_masks.shown | track.person_masks.shown.any(axis=1)
        for frame in frames[self._chosen[frames] & some_mask[frames]]:
            self._compare(int(frame), vertices[frame - first_frame])

    def _compare(self, frame: int, vertices: Float[np.ndarray, "2 vertex 3"]) -> None:
        turned = vertices @ self._camera.R[frame].T
        projected = project_perspective(turned, self._camera.K[frame], NEAR_M)
        region = _region(projected.pixels, self._track.boxes_xyxy[frame])
        moved = Projected(
            (projected.pixels - region[:2]) * (SIDE_PX / region[2]),
            projected.nearness,
            projected.nearness_per_m,
        )
        inside, union, people = self._masks(frame, region)
        owner = self._painter.owners(moved)
        found = self.found
        if _counts(union):
            found.union_overlap[frame] = _overlap(owner > 0, union, inside)
        for person in range(NUM_PEOPLE):
            visible = owner == person + 1
            if _counts(people[person]):
                found.overlap[frame, person] = _overlap(visible, people[person], inside)
        if all(map(_counts, people)):
            alone = [self._painter.owners(_only(moved, person)) > 0 for person in range(NUM_PEOPLE)]
            wrong = alone[0] & alone[1] & inside
            wrong &= (people[0] & (owner == 2)) | (people[1] & (owner == 1))
            wrong &= people[0] != people[1]
            found.contradicted[frame] = _inner(wrong) / min(mask.sum() for mask in people)

    def _masks(
        self, frame: int, region: Float[np.ndarray, "3"]
    ) -> tuple[Picture, Picture, Bool[np.ndarray, "2 side side"]]:
        """Which pixels of a region lie in the picture, both people's and each one's."""
        track = self._track
        middles = (np.arange(SIDE_PX) + 0.5) * (region[2] / SIDE_PX)
        places = [
            np.floor((middles + low) * masks / source).astype(int)
            for low, masks, source in zip(
                region[:2], track.mask_size_wh, track.size_wh, strict=True
            )
        ]
        columns, rows = (
            place.clip(0, size - 1) for place, size in zip(places, track.mask_size_wh, strict=True)
        )
        known = [
            (place >= 0) & (place < size)
            for place, size in zip(places, track.mask_size_wh, strict=True)
        ]
        inside = known[1][:, None] & known[0]
        people = track.person_masks[frame][:, rows[:, None], columns] & inside
        union = track.union_masks[frame][rows[:, None], columns] & inside
        return inside, union, people


def _region(
    pixels: Float[np.ndarray, "2 vertex 2"], boxes_xyxy: Float[np.ndarray, "2 4"]
) -> Float[np.ndarray, "3"]:
    """Left, top and side of a square around both bodies and boxes, in source pixels."""
    # A vertex beside the camera is projected anywhere.
    low, high = np.percentile(pixels.reshape(-1, 2), (0.5, 99.5), axis=0)
    corners = np.vstack([low, high, boxes_xyxy.reshape(-1, 2)])
    low, high = np.nanmin(corners, axis=0), np.nanmax(corners, axis=0)
    side = max((high - low).max() * (1.0 + 2.0 * MARGIN), 1.0)
    return np.append(0.5 * (low + high) - 0.5 * side, side)


def _only(projected: Projected, person: int) -> Projected:
    return Projected(
        projected.pixels[person : person + 1],
        projected.nearness[person : person + 1],
        projected.nearness_per_m,
    )


def _inner(mask: Picture) -> int:
    """Pixels without those at the edge, where rounding decides whose a pixel is."""
    beside = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return int((mask[1:-1, 1:-1] & beside).sum())


def _counts(mask: Picture) -> bool:
    return int(mask.sum()) >= LEAST_PX


def _overlap(body: Picture, mask: Picture, inside: Picture) -> float:
    both = body & inside
    return float((both & mask).sum() / max(int((both | mask).sum()), 1))
