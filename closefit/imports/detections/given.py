"""What the user gave for a clip, as the stage `track` uses it, alone or to complete a detector."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from closefit.imports.detections import combining
from closefit.imports.detections.imported import Imported
from closefit.imports.detections.part import Part
from closefit.imports.detections.pictures import resized
from closefit.imports.detections.reading import read_all
from closefit.mask_stack import MaskStack, deflate
from closefit.records import DetectedPeople
from closefit.tracking.detections import Detections


@dataclass(frozen=True, eq=False)
class Given:
    """Imported people of a part of a video.

    Attributes:
        imported: Everything that was read.
        part: The frames, and the working size in whose pixels detections are.
    """

    imported: Imported
    part: Part

    @property
    def has_masks(self) -> bool:
        """Whether single people have masks, so that a detector's are not needed."""
        return self.imported.has_masks

    @property
    def has_keypoints(self) -> bool:
        """Whether people have keypoints, so that a detector's are not needed."""
        return self.imported.has_keypoints

    @property
    def silhouettes(self) -> MaskStack | None:
        """Pixels of everybody together."""
        return self.imported.silhouettes

    @property
    def knows_identities(self) -> bool:
        """Whether the two people need not be told apart any more."""
        return self.imported.has_identities and self.imported.identity_trusted

    @property
    def lacks(self) -> str | None:
        """Why this does not suffice without a detector; None if it does."""
        if not self.imported.tells_apart:
            return "the masks do not tell the two people apart, and there are no keypoints"
        if len(self.imported.frame) and not self.imported.has_keypoints:
            return "there are no keypoints"
        return None

    def detections(self, frame: int) -> Detections:
        """People of a frame, as a detector would report them."""
        return combining.detections(self._in(frame), self.part.size_wh)

    def complete(self, frame: int, found: Detections) -> Detections:
        """People of a frame, with what they lack taken from a detector's."""
        if not self.imported.tells_apart:
            return found
        sure = np.ones(len(found.scores), dtype=bool)
        return combining.complete(self._in(frame), found, sure, self.part.size_wh).found

    def identified(self, people: DetectedPeople) -> DetectedPeople:
        """Add the imported numbers to the `detections` or `complete` of all frames."""
        if not self.imported.tells_apart:
            return people
        return replace(people, identity=self.imported.identity)

    def union_for(self, people: MaskStack) -> MaskStack:
        """Imported silhouettes at the size of these masks of single people.

        Where no single person has a mask, the silhouettes keep their own size.
        """
        silhouettes, size_wh = self.imported.silhouettes, people.size_wh
        assert silhouettes is not None
        if silhouettes.size_wh == size_wh or not people.shown.any():
            return silhouettes
        frames = range(len(silhouettes))
        return MaskStack.of((deflate(resized(silhouettes[n], size_wh)) for n in frames), size_wh)

    def _in(self, frame: int) -> Imported:
        return self.imported.of(np.flatnonzero(self.imported.frame == frame))


def read_given(paths: Sequence[Path], part: Part) -> Given:
    """Read files or folders that describe the same people.

    Raises:
        FileMissingError: One is not there.
        ObservationsError: One does not follow its format or does not belong to this video.
    """
    return Given(read_all(paths, part), part)
