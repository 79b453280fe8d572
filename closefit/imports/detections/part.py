"""The frames that an import has to describe, and how files number frames.

Files that have something for every frame (folders of pictures or of JSON files, lists of images)
may describe the whole video or just the chosen part; their first number is the first frame. Files
that list detections (COCO results, AlphaPose, MOT) leave out frames without people; their numbers
always count from the start of the video, from 0 or from 1.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from closefit.errors import ObservationsError
from closefit.imports.detections.refusals import refuse
from closefit.records import VideoInfo

FRAME_SLACK = 1
"""Decoders disagree about the last frame of some files."""

ASPECT_SLACK = 0.03
"""Pictures whose shape differs by less than this are the video at another size."""

COUNT_HINT = "detect in every frame of this video, or choose the same part with --start and --end"


@dataclass(frozen=True, eq=False)
class Part:
    """The chosen frames of a video.

    Attributes:
        video: The whole video.
        frames: First and last of the chosen frames, counted from 0.
        size_wh: Working size, in whose pixels detections are handed on; masks have this size.
    """

    video: VideoInfo
    frames: slice
    size_wh: tuple[int, int]

    @property
    def num_frames(self) -> int:
        """Length of the part."""
        count: int = self.frames.stop - self.frames.start
        return count

    @property
    def scale(self) -> Float[np.ndarray, "2"]:
        """Working pixels per pixel of the video."""
        width, height = self.size_wh
        return np.array([width / self.video.width, height / self.video.height])

    def of_every_frame(self, path: Path, given: int) -> slice:
        """Which of the `given` frames of a file belong to the part.

        Raises:
            ObservationsError: The file has neither as many frames as the video nor as the part.
        """
        wanted, in_video = self.num_frames, self.video.num_frames
        if abs(given - wanted) <= FRAME_SLACK and given >= wanted:
            return slice(0, wanted)
        if abs(given - in_video) <= FRAME_SLACK and given >= self.frames.stop:
            return self.frames
        raise ObservationsError(
            f"`{path}` holds detections for {given} frames, but the video has {in_video}"
            + (f" and the chosen part {wanted}" if wanted != in_video else ""),
            hint=COUNT_HINT,
        )

    def of_some_frames(
        self, path: Path, number: Int[np.ndarray, " detection"], usual_first: int
    ) -> Int[np.ndarray, " detection"]:
        """Frame in the part of each numbered detection; outside of it below 0 or past its end.

        Args:
            path: The file.
            number: As written in the file.
            usual_first: What such files call the first frame (0 or 1), unless the numbers show
                that this one does otherwise.

        Raises:
            ObservationsError: A number lies beyond the end of the video.
        """
        if len(number) == 0:
            return number
        low, high, count = int(number.min()), int(number.max()), self.video.num_frames
        first = 0 if low == 0 else 1 if high == count else usual_first
        if low < 0 or high - first >= count + FRAME_SLACK:
            wrong = low if low < 0 else high
            raise ObservationsError(
                f"`{path}` has detections in frame {wrong} (its frames are counted from {first}), "
                f"but the video has {count} frames",
                hint=COUNT_HINT,
            )
        frame: Int[np.ndarray, " detection"] = number - first - self.frames.start
        return frame

    def check_size(self, path: Path, width: int, height: int) -> None:
        """Check that pixels of a file are the video's.

        Raises:
            ObservationsError: It was made on a video of another size.
        """
        if (width, height) != (self.video.width, self.video.height):
            raise ObservationsError(
                f"the detections in `{path}` are in pixels of a {width}x{height} video, but "
                f"`{self.video.path}` has {self.video.width}x{self.video.height}",
                hint="detect in this video, or scale boxes and keypoints to its size",
            )

    def check_shape(self, path: Path, width: int, height: int) -> None:
        """Check that masks show the video's picture, at any size.

        Raises:
            ObservationsError: They have another shape.
        """
        ratio = width * self.video.height / (height * self.video.width) if height else 0.0
        if not abs(ratio - 1.0) <= ASPECT_SLACK:
            raise ObservationsError(
                f"the masks in `{path}` are {width}x{height}, but `{self.video.path}` has "
                f"{self.video.width}x{self.video.height}",
                hint="masks may be smaller or larger than the video, but not of another shape",
            )

    def check_fps(self, path: Path, fps: float) -> None:
        """Check the frame rate that a file states.

        Raises:
            ObservationsError: It is not the video's.
        """
        if not abs(fps / self.video.fps - 1.0) < 0.1:
            raise ObservationsError(
                f"the detections in `{path}` are of a video with {fps:g} frames per second, but "
                f"`{self.video.path}` has {self.video.fps:g}",
                hint=COUNT_HINT,
            )


def number_in(name: str) -> int | None:
    """Frame number in a file's name: its last digits, as in `clip_000012_keypoints.json`."""
    found = re.findall(r"\d+", Path(name).stem)
    return int(found[-1]) if found else None


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Sort names as people do: `2.png` before `10.png`."""
    return sorted(
        paths,
        key=lambda path: [
            (0, int(piece), "") if piece.isdigit() else (1, 0, piece)
            for piece in re.split(r"(\d+)", path.name)
        ],
    )


def numbered(folder: Path, names: Sequence[str]) -> list[int]:
    """Number of each file of a folder.

    Raises:
        ObservationsError: A name has no number, or two have the same.
    """
    seen: dict[int, str] = {}
    for name in names:
        number = number_in(name)
        if number is None:
            refuse(folder, f"has a file `{name}` without a frame number in its name")
        if number in seen:
            refuse(folder, f"has two files with frame number {number}: `{seen[number]}`, `{name}`")
        seen[number] = name
    return list(seen)


def require_gapless(folder: Path, present: Iterable[int]) -> range:
    """Return the range of the numbers.

    Raises:
        ObservationsError: One is missing in between.
    """
    ordered = sorted(present)
    for before, after in pairwise(ordered):
        if after != before + 1:
            refuse(
                folder,
                f"has no file for frame {before + 1}: the numbers jump from {before} to {after}",
                "number the files without gaps, one for every frame of the video",
            )
    return range(ordered[0], ordered[-1] + 1)
