"""Draws the result of `track` over the pictures: masks, boxes, keypoints, numbers and letters."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from closefit import palette
from closefit.body.keypoints import COCO17
from closefit.records import DetectedPeople, Track
from closefit.tracking.crowd import letter
from closefit.tracking.repair import DOUBTFUL, doubtful_frames

Picture = UInt8[np.ndarray, "height width 3"]
Font = ImageFont.FreeTypeFont

PERSON_COLOURS = tuple(map(palette.rgb8, palette.PERSON_COLOURS))
OTHER_COLOUR = palette.rgb8(palette.OTHER_COLOUR)
UNION_COLOUR = (255, 255, 255)
WARNING_COLOUR = palette.rgb8(palette.WARNING_COLOUR)
MASK_OPACITY = 0.3
SHOWN_CONFIDENCE = 0.2
"""Keypoints below it are not drawn."""

TEXT_SHARE = 0.04
"""Height of the text over that of the picture."""


def draw(
    pictures: Iterable[Picture],
    track: Track,
    people: DetectedPeople | None,
    owner: Int[np.ndarray, " detection"],
) -> Iterator[Picture]:
    """Yield each picture with the result of its frame.

    Args:
        pictures: The frames of the track, all of one size.
        track: The two people, in pixels of the source video.
        people: Everybody who was detected; None where that was not kept.
        owner: Number of each detection's person, from `crowd.gather`.
    """
    for frame, picture in enumerate(pictures):
        size_wh = picture.shape[1], picture.shape[0]
        font = ImageFont.load_default(size=max(10, round(TEXT_SHARE * size_wh[1])))
        assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow contains a scalable one
        image = Image.fromarray(_with_masks(track, frame, picture))
        canvas = ImageDraw.Draw(image)
        if people is not None:
            _draw_letters(canvas, people, owner, frame, np.array(size_wh) / people.size_wh, font)
        for person in range(len(PERSON_COLOURS)):
            _draw_person(canvas, track, frame, person, np.array(size_wh) / track.size_wh, font)
        _draw_heading(canvas, track, frame, size_wh, font)
        yield np.asarray(image)


def _with_masks(track: Track, frame: int, picture: Picture) -> Picture:
    layers = [(track.union_masks[frame], UNION_COLOUR)]
    if track.person_masks.shown.any():
        layers = list(zip(track.person_masks[frame], PERSON_COLOURS, strict=True))
    size_wh = picture.shape[1], picture.shape[0]
    tinted = picture.astype(np.float32)
    for mask, colour in layers:
        resized = np.asarray(Image.fromarray(mask).resize(size_wh, Image.Resampling.NEAREST))
        tinted[resized] += MASK_OPACITY * (np.array(colour, np.float32) - tinted[resized])
    return tinted.astype(np.uint8)


def _draw_letters(
    canvas: ImageDraw.ImageDraw,
    people: DetectedPeople,
    owner: Int[np.ndarray, " detection"],
    frame: int,
    scale: Float[np.ndarray, "2"],
    font: Font,
) -> None:
    """A thin box and a letter for everybody who was detected."""
    for number in np.flatnonzero((people.frame == frame) & (owner >= 0)):
        box = tuple(map(float, people.boxes_xyxy[number] * np.tile(scale, 2)))
        canvas.rectangle(box, outline=OTHER_COLOUR, width=1)
        place = (box[2] - 3, box[3] - 3)
        _write(canvas, place, letter(int(owner[number])), OTHER_COLOUR, font, anchor="rd")


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
    for start, end in COCO17.limbs:
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
    (doubtful,) = doubtful_frames(known[None], track.identity_confidence[frame][None])
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
