"""Puts together several imports of the same people, frame by frame; the first has precedence."""

from dataclasses import replace
from typing import Any

import numpy as np

from closefit.imports.detections.completing import complete
from closefit.imports.detections.imported import Imported
from closefit.mask_stack import MaskStack
from closefit.tracking.mask_crops import MaskCrop


def combine(first: Imported, second: Imported, num_frames: int) -> Imported:
    """Complete `first` by `second`; people whom only `second` has are added.

    Numbers of people are the first's, or the second's if the first has none.
    """
    silhouettes = _first_silhouettes(first.silhouettes, second.silhouettes)
    if not (first.tells_apart and second.tells_apart):
        return replace(first if first.tells_apart else second, silhouettes=silhouettes)
    first_numbers = first.has_identities or not second.has_identities
    pieces: list[Imported] = []
    for frame in range(num_frames):
        pieces += _in_frame(first, second, frame, first_numbers=first_numbers)
    numbered = first if first_numbers else second
    return replace(
        _concatenated(pieces), identity_trusted=numbered.identity_trusted, silhouettes=silhouettes
    )


def _in_frame(
    first: Imported, second: Imported, frame: int, *, first_numbers: bool
) -> tuple[Imported, Imported]:
    """One frame's people of the first source, completed, and those whom only the second has."""
    one, two = first.of_frame(frame), second.of_frame(frame)
    completed = complete(one.detections(frame), one.box_given, two.detections(frame), two.box_given)
    found, partner = completed.found, completed.partner
    alone = two.of(np.setdiff1d(np.arange(len(two.frame)), partner))
    if first_numbers:
        identity, alone = one.identity, replace(alone, identity=np.full(len(alone.frame), -1))
    else:
        identity = np.append(two.identity, -1)[partner]
    joined = replace(
        one,
        boxes_xyxy=found.boxes_xyxy,
        box_given=one.box_given | np.append(two.box_given, False)[partner],
        keypoints=found.keypoints,
        masks=[MaskCrop.of(mask) for mask in found.masks],
        identity=identity,
    )
    return joined, alone


def _concatenated(pieces: list[Imported]) -> Imported:
    names = ("frame", "boxes_xyxy", "box_given", "scores", "keypoints", "identity")
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in names
    }
    return replace(pieces[0], **arrays, masks=[mask for piece in pieces for mask in piece.masks])


def _first_silhouettes(*given: MaskStack | None) -> MaskStack | None:
    """The first that shows anything; an empty one only where there is no other."""
    known = [silhouettes for silhouettes in given if silhouettes is not None]
    shown = [silhouettes for silhouettes in known if silhouettes.shown.any()]
    return next(iter(shown or known), None)
