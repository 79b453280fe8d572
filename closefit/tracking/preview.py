"""Draws who is who over the pictures: masks, boxes, keypoints, numbers, letters and doubts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from closefit.records import Track
from closefit.tracking.crowd import Crowd
from closefit.tracking.repair import DOUBTFUL

Picture = UInt8[np.ndarray, "height width 3"]
Font = ImageFont.FreeTypeFont

PERSON_COLOURS = ((250, 133, 51), (64, 143, 224))
"""Orange and blue, as in the overlay: told apart with any kind of colour vision."""

OTHER_COLOUR = (190, 190, 190)
UNION_COLOUR = (255, 255, 255)
WARNING_COLOUR = (220, 30, 30)
MASK_OPACITY = 0.3
SHOWN_CONFIDENCE = 0.2
"""Keypoints below it are not drawn."""

TEXT_SHARE = 0.04
"""Height of the lettering over that of the picture."""

BONES = (
    *((5, 7), (7, 9), (6, 8), (8, 10), (5, 6), (5, 11), (6, 12), (11, 12)),
    *((11, 13), (13, 15), (12, 14), (14, 16), (0, 1), (0, 2), (1, 3), (2, 4)),
)
"""Pairs of COCO-17 keypoints."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What is known about a clip.

    Attributes:
        track: The two people, in pixels of the source video.
        crowd: Everybody with letters, or None where only two people are known.
        crowd_scale: Source pixels per pixel of the crowd's sightings.
        size_wh: Size of the pictures to draw on.
    """

    track: Track
    crowd: Crowd | None
    crowd_scale: Float[np.ndarray, "2"]
    size_wh: tuple[int, int]


def draw(scene: Scene, pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Yield each picture with what is known of its frame.

    Args:
        scene: The clip.
        pictures: Its frames at `size_wh`.
    """
    lettering = max(10, round(TEXT_SHARE * scene.size_wh[1]))
    font = ImageFont.load_default(size=lettering)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow brings a scalable one
    scale = np.array(scene.size_wh) / scene.track.size_wh
    for frame, picture in enumerate(pictures):
        image = Image.fromarray(_with_masks(scene, frame, picture))
        canvas = ImageDraw.Draw(image)
        if scene.crowd is not None:
            _draw_crowd(canvas, scene.crowd, frame, scene.crowd_scale * scale, font)
        for person in range(len(PERSON_COLOURS)):
            _draw_person(canvas, scene.track, frame, person, scale, font)
        _draw_heading(canvas, scene.track, frame, image.size, font)
        yield np.asarray(image)


def _with_masks(scene: Scene, frame: int, picture: Picture) -> Picture:
    track = scene.track
    layers: list[tuple[Bool[np.ndarray, "height width"], tuple[int, int, int]]] = []
    if track.person_masks.shown.any():
        layers = list(zip(track.person_masks[frame], PERSON_COLOURS, strict=True))
    else:
        layers = [(track.union_masks[frame], UNION_COLOUR)]
    tinted = picture.astype(np.float32)
    for mask, colour in layers:
        resized = np.asarray(Image.fromarray(mask).resize(scene.size_wh, Image.Resampling.NEAREST))
        tinted[resized] += MASK_OPACITY * (np.array(colour, np.float32) - tinted[resized])
    return tinted.astype(np.uint8)


def _draw_crowd(
    canvas: ImageDraw.ImageDraw,
    crowd: Crowd,
    frame: int,
    scale: Float[np.ndarray, "2"],
    font: Font,
) -> None:
    """A thin box and a letter for everybody who was detected."""
    for number in np.flatnonzero(crowd.sightings.frame == frame):
        if crowd.owner[number] < 0:
            continue
        box = tuple(map(float, crowd.sightings.boxes_xyxy[number] * np.tile(scale, 2)))
        canvas.rectangle(box, outline=OTHER_COLOUR, width=1)
        letter = crowd.letters[crowd.owner[number]]
        place = (box[2] - 3, box[3] - 3)
        _write(canvas, place, letter, OTHER_COLOUR, font, anchor="rd")


def _draw_person(
    canvas: ImageDraw.ImageDraw,
    track: Track,
    frame: int,
    person: int,
    scale: Float[np.ndarray, "2"],
    font: Font,
) -> None:
    colour = PERSON_COLOURS[person]
    points = track.keypoints[frame, person, :, :2] * scale
    confidence = track.keypoints[frame, person, :, 2]
    shown = confidence >= SHOWN_CONFIDENCE
    for start, end in BONES:
        if shown[start] and shown[end]:
            line = [tuple(map(float, points[start])), tuple(map(float, points[end]))]
            canvas.line(line, fill="white", width=4)
            canvas.line(line, fill=colour, width=2)
    for (x, y), sure, visible in zip(points, confidence, shown, strict=True):
        if visible:
            radius = 1.5 + 2.0 * float(sure)
            around = (float(x) - radius, float(y) - radius, float(x) + radius, float(y) + radius)
            canvas.ellipse(around, fill=colour, outline="black")
    box = track.boxes_xyxy[frame, person]
    if not np.isfinite(box).all():
        return
    x0, y0, x1, y1 = map(float, box * np.tile(scale, 2))
    sure = float(track.identity_confidence[frame, person])
    canvas.rectangle((x0, y0, x1, y1), outline=colour, width=2 if track.seen[frame, person] else 1)
    text = f"{person}  {sure:.2f}" + ("" if track.seen[frame, person] else " filled in")
    background = WARNING_COLOUR if sure < DOUBTFUL else colour
    corner = (max(x0, 0.0), max(y0, float(font.size) + 4.0))
    around = canvas.textbbox(corner, text, font, anchor="ld")
    canvas.rectangle((around[0], around[1] - 2, around[2] + 4, corner[1]), fill=background)
    canvas.text((corner[0] + 2, corner[1] - 1), text, "white", font, anchor="ld")


def _draw_heading(
    canvas: ImageDraw.ImageDraw,
    track: Track,
    frame: int,
    size_wh: tuple[int, int],
    font: Font,
) -> None:
    """The frame's number and time; a red border where it is doubtful who is who."""
    known = track.seen[frame] | track.filled[frame]
    doubtful = bool((known & (track.identity_confidence[frame] < DOUBTFUL)).any())
    missing = [str(person) for person in np.flatnonzero(~known)]
    text = f"frame {frame}  {track.time_s[frame]:.2f} s"
    if doubtful:
        text += "  doubtful"
        canvas.rectangle((0, 0, size_wh[0] - 1, size_wh[1] - 1), outline=WARNING_COLOUR, width=4)
    if missing:
        text += f"  not found: {', '.join(missing)}"
    place = (6.0, size_wh[1] - 6.0)
    _write(canvas, place, text, WARNING_COLOUR if doubtful else (255, 255, 255), font, anchor="ld")


def _write(
    canvas: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    colour: tuple[int, int, int],
    font: Font,
    anchor: str = "la",
) -> None:
    canvas.text(place, text, colour, font, anchor=anchor, stroke_width=2, stroke_fill="black")
