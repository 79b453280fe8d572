"""The frames that an import has to describe, and how files number frames.

Files that have something for every frame (folders of pictures or of JSON files, lists of images)
may describe the whole video or just the chosen frames; their first number is the first frame.
Files that list detections (COCO results, AlphaPose, MOT) leave out frames without people; their
numbers always count from the start of the video, from 0 or from 1.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from closefit.boundary.values import RefusedError, refuse, shown
from closefit.records import VideoInfo

FRAME_SLACK = 1
"""Decoders disagree about the last frame of some files."""

ASPECT_SLACK = 0.03
"""Pictures whose shape differs by less than this are the video at another size."""

MAX_SCALE = 8
"""Masks with sides this many times longer than the video's are a mistake."""

MAX_DIGITS = 15

COUNT_HINT = "detect in every frame of this video, or choose the same frames with --start and --end"


@dataclass(frozen=True, eq=False)
class FrameRange:
    """The chosen frames of a video.

    Attributes:
        video: The whole video.
        frames: First and last of the chosen frames, counted from 0.
        size_wh: Working size, in pixels of which imported detections are returned; also the size of
            their masks.
    """

    video: VideoInfo
    frames: slice
    size_wh: tuple[int, int]

    @property
    def num_frames(self) -> int:
        """Number of chosen frames."""
        count: int = self.frames.stop - self.frames.start
        return count

    @property
    def scale(self) -> Float[np.ndarray, "2"]:
        """Working pixels per pixel of the video."""
        width, height = self.size_wh
        return np.array([width / self.video.width, height / self.video.height])

    def of_every_frame(self, given: int) -> slice:
        """Which of the `given` frames of a file are chosen.

        Raises:
            RefusedError: The file has neither as many frames as the video nor as were chosen.
        """
        wanted, in_video = self.num_frames, self.video.num_frames
        if wanted <= given <= wanted + FRAME_SLACK:
            return slice(0, wanted)
        if abs(given - in_video) <= FRAME_SLACK and given >= self.frames.stop:
            return self.frames
        raise RefusedError(
            f"it holds detections for {given} frames, but the video has {in_video}"
            + (f" and the chosen part {wanted}" if wanted != in_video else ""),
            COUNT_HINT,
        )

    def of_some_frames(
        self, number: Int[np.ndarray, " detection"], usual_first: int
    ) -> Int[np.ndarray, " detection"]:
        """Chosen frame of each numbered detection; outside of them below 0 or past the end.

        Args:
            number: As written in the file.
            usual_first: What such files call the first frame (0 or 1), unless the numbers show
                that this one does otherwise.

        Raises:
            RefusedError: A number lies beyond the end of the video.
        """
        low, high, count = int(number.min()), int(number.max()), self.video.num_frames
        first = 0 if low == 0 else 1 if high == count else usual_first
        if low < 0 or high - first >= count + FRAME_SLACK:
            wrong = low if low < 0 else high
            refuse(
                f"it has detections in frame {wrong} (its frames are counted from {first}), "
                f"but the video has {count} frames",
                COUNT_HINT,
            )
        frame: Int[np.ndarray, " detection"] = number - first - self.frames.start
        return frame

    def check_size(self, width: int, height: int) -> None:
        """Check that pixels of a file are the video's.

        Raises:
            RefusedError: It was made on a video of another size.
        """
        if (width, height) != (self.video.width, self.video.height):
            refuse(
                f"it is in pixels of a {width}x{height} video, but {self._video()}",
                "detect in this video, or scale boxes and keypoints to its size",
            )

    def check_shape(self, width: int, height: int) -> None:
        """Check that masks show the video's picture, at any reasonable size.

        Raises:
            RefusedError: They have another shape, or are far larger than the video.
        """
        ratio = width * self.video.height / (height * self.video.width) if height else 0.0
        if not abs(ratio - 1.0) <= ASPECT_SLACK or width > MAX_SCALE * self.video.width:
            refuse(
                f"its masks are {width}x{height}, but {self._video()}",
                f"masks may be smaller or up to {MAX_SCALE} times larger than the video, but not "
                "of another shape",
            )

    def check_fps(self, fps: float) -> None:
        """Check the frame rate that a file states.

        Raises:
            RefusedError: It is not the video's.
        """
        if not abs(fps / self.video.fps - 1.0) < 0.1:
            refuse(
                f"it is of a video with {fps:g} frames per second, but `{self.video.path}` has "
                f"{self.video.fps:g}",
                COUNT_HINT,
            )

    def _video(self) -> str:
        return f"`{self.video.path}` has {self.video.width}x{self.video.height}"


def number_in(name: object) -> int | None:
    """Frame number in a file's name: its last digits, as in `clip_000012_keypoints.json`."""
    found = re.findall(r"[0-9]+", Path(name).stem) if isinstance(name, str) else []
    return int(found[-1]) if found and len(found[-1]) <= MAX_DIGITS else None


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Sort names as people do: `2.png` before `10.png`."""
    return sorted(
        paths,
        key=lambda path: [
            (0, int(piece), "") if piece.isdecimal() else (1, 0, piece)
            for piece in re.split(r"([0-9]+)", path.name)
        ],
    )


def numbered(files: Sequence[Path]) -> dict[int, Path]:
    """Files of a folder by the numbers in their names.

    Raises:
        RefusedError: A name has no number, or two have the same.
    """
    by_number: dict[int, Path] = {}
    for file in natural_order(files):
        number, name = number_in(file.name), shown(file.name)
        if number is None:
            refuse(f"it has a file `{name}` without a frame number in its name", path=file.parent)
        if number in by_number:
            refuse(
                f"it has two files with frame number {number}: "
                f"`{shown(by_number[number].name)}`, `{name}`",
                path=file.parent,
            )
        by_number[number] = file
    return by_number


def require_gapless(present: Iterable[int]) -> range:
    """Return the range of the numbers.

    Raises:
        RefusedError: One is missing in between.
    """
    ordered = sorted(present)
    for before, after in pairwise(ordered):
        if after != before + 1:
            refuse(
                f"it has no file for frame {before + 1}: the numbers jump from {before} to {after}",
                "number the files without gaps, one for every frame of the video",
            )
    return range(ordered[0], ordered[-1] + 1)
