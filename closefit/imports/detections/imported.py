"""Imported people of a clip, as the stage `track` uses them, alone or to complete a detector."""

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from closefit.body.keypoints import COCO17
from closefit.imports.detections.completing import complete
from closefit.imports.detections.pictures import resized
from closefit.mask_stack import MaskStack, deflate
from closefit.records import DetectedPeople
from closefit.tracking.detections import Detections
from closefit.tracking.mask_crops import MaskCrop


@dataclass(frozen=True, eq=False)
class Imported:
    """People of a clip, in order of frames and in pixels of the working size.

    Attributes:
        size_wh: Working size.
        frame: Frame of each detection.
        boxes_xyxy: As given, else around the mask, else around the keypoints.
        box_given: The file had this box.
        scores: Confidence that this is a person.
        keypoints: COCO-17 and confidence; 0 where unknown.
        masks: Pixels of the person; empty where unknown.
        identity: Number of the person; -1 where unknown.
        identity_trusted: The numbers are right in all frames; else they are a first guess.
        silhouettes: Pixels of everybody together in every frame, empty where unknown; None where no
            file has these.
        tells_apart: It is about single people, even if it has none.
    """

    size_wh: tuple[int, int]
    frame: Int[np.ndarray, " detection"]
    boxes_xyxy: Float[np.ndarray, "detection 4"]
    box_given: Bool[np.ndarray, " detection"]
    scores: Float[np.ndarray, " detection"]
    keypoints: Float[np.ndarray, "detection 17 3"]
    masks: list[MaskCrop]
    identity: Int[np.ndarray, " detection"]
    identity_trusted: bool = True
    silhouettes: MaskStack | None = None
    tells_apart: bool = True

    @property
    def has_keypoints(self) -> bool:
        """Whether people have keypoints, so that a detector's are not needed."""
        return bool((self.keypoints[..., 2] > 0).any())

    @property
    def has_masks(self) -> bool:
        """Whether single people have masks, so that a detector's are not needed."""
        return not all(mask.is_empty for mask in self.masks)

    @property
    def has_identities(self) -> bool:
        """Whether somebody has a number."""
        return bool((self.identity >= 0).any())

    @property
    def knows_identities(self) -> bool:
        """Whether the two people are already distinguished."""
        return self.has_identities and self.identity_trusted

    @property
    def lacks(self) -> str | None:
        """Why this does not suffice without a detector; None if it does."""
        if not self.tells_apart:
            return "the masks do not distinguish the two people, and there are no keypoints"
        if len(self.frame) and not self.has_keypoints:
            return "there are no keypoints"
        return None

    def of(self, chosen: Int[np.ndarray, " chosen"]) -> "Imported":
        """Some of the detections, in order of frames."""
        arrays = {
            field.name: value[chosen]
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), np.ndarray)
        }
        return replace(self, **arrays, masks=[self.masks[number] for number in chosen])

    def of_frame(self, frame: int) -> "Imported":
        """Detections of one frame."""
        return self.of(np.flatnonzero(self.frame == frame))

    def detections(self, frame: int) -> Detections:
        """People of a frame, in the form of a detector's."""
        people = self.of_frame(frame)
        masks = np.zeros((len(people.frame), self.size_wh[1], self.size_wh[0]), dtype=bool)
        for mask, crop in zip(masks, people.masks, strict=True):
            crop.add_to(mask)
        return Detections(people.boxes_xyxy, people.scores, people.keypoints, masks)

    def complete(self, frame: int, found: Detections) -> Detections:
        """People of a frame, with what they lack taken from a detector's."""
        if not self.tells_apart:
            return found
        given, sure = self.box_given[self.frame == frame], np.ones(len(found.scores), dtype=bool)
        return complete(self.detections(frame), given, found, sure).found

    def identified(self, people: DetectedPeople) -> DetectedPeople:
        """Add the imported numbers to the `detections` or `complete` of all frames."""
        if not self.tells_apart:
            return people
        return replace(people, identity=self.identity)

    def union_for(self, people: MaskStack) -> MaskStack:
        """Imported silhouettes at the size of these masks of single people.

        Where no single person has a mask, the silhouettes keep their own size.
        """
        silhouettes, size_wh = self.silhouettes, people.size_wh
        assert silhouettes is not None
        if silhouettes.size_wh == size_wh or not people.shown.any():
            return silhouettes
        frames = range(len(silhouettes))
        return MaskStack.of((deflate(resized(silhouettes[n], size_wh)) for n in frames), size_wh)


def only_silhouettes(silhouettes: MaskStack, size_wh: tuple[int, int]) -> Imported:
    """An import that does not distinguish people."""
    nobody = np.zeros(0, dtype=np.int64)
    return Imported(
        size_wh=size_wh,
        frame=nobody,
        boxes_xyxy=np.zeros((0, 4)),
        box_given=np.zeros(0, dtype=bool),
        scores=np.zeros(0),
        keypoints=np.zeros((0, len(COCO17.names), 3)),
        masks=[],
        identity=nobody,
        silhouettes=silhouettes,
        tells_apart=False,
    )
