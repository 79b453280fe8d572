"""The chosen frames of a video at working size, with the user's input for them.

The user gives coordinates in pixels of the source video. They are converted here, once, to pixels
of the working size, in which `track` computes; the result is converted back when it is written.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from closefit import video
from closefit.config import PeopleChoice
from closefit.events import Step
from closefit.imports.detections.frame_range import FrameRange
from closefit.imports.detections.imported import Imported
from closefit.imports.detections.reading import read_all
from closefit.storage.job import Job
from closefit.tracking.corrections import NO_CORRECTIONS, Corrections
from closefit.tracking.corrections import read as read_corrections
from closefit.tracking.identify import scaled_choice

Image = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True, eq=False)
class Clip:
    """The chosen frames of the video, and how to read them at working size."""

    job: Job
    time_s: Float[np.ndarray, " frame"]

    @property
    def size_wh(self) -> tuple[int, int]:
        """Working size: the video's, or smaller."""
        info, height = self.job.video, self.job.config.track.work_height_px
        scale = min(1.0, height / info.height)
        return max(1, round(info.width * scale)), max(1, round(info.height * scale))

    @property
    def scale(self) -> Float[np.ndarray, "2"]:
        """Source pixels per working pixel, across and down."""
        width, height = self.size_wh
        return np.array([self.job.video.width / width, self.job.video.height / height])

    @cached_property
    def given(self) -> Imported | None:
        """Detections that the user imports."""
        paths, info = self.job.config.track.observations, self.job.video
        if not paths:
            return None
        first = int(np.searchsorted(video.frame_times(info), self.time_s[0]))
        frames = FrameRange(info, slice(first, first + len(self.time_s)), self.size_wh)
        return read_all([Path(path) for path in paths], frames)

    @cached_property
    def corrections(self) -> Corrections:
        """The user's corrections, in pixels of the working size."""
        named, info = self.job.config.track.corrections, self.job.video
        if named is None:
            return NO_CORRECTIONS
        corrections = read_corrections(Path(named), len(self.time_s), (info.width, info.height))
        return corrections.scaled(*(1.0 / self.scale))

    @property
    def chosen_people(self) -> tuple[PeopleChoice, PeopleChoice] | None:
        """The two people whom the user chose; points are in pixels of the working size."""
        people = self.job.config.track.chosen_people
        return people and scaled_choice(people, *(1.0 / self.scale))

    def images(self, task: str) -> Iterator[Image]:
        """Stream the pictures at working size, reporting progress under the name `task`."""
        track = self.job.config.track
        pictures = video.frames(self.job.video, track.start_s, track.end_s, size_wh=self.size_wh)
        for done, picture in enumerate(pictures, start=1):
            yield picture
            self.job.emit(Step(task, done, len(self.time_s)))


def batches(images: Iterable[Image], size: int) -> Iterator[list[Image]]:
    """Yield lists of `size` images; the last one may be shorter."""
    stream = iter(images)
    while batch := list(islice(stream, size)):
        yield batch
