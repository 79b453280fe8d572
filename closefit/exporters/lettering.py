"""What is written and marked on the pictures of the overlay: names, time, contacts."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw, ImageFont

from closefit.exporters.mesh_raster import Picture
from closefit.palette import Rgb8, depth_colour, rgb8

TEXT_SHARE = 0.042
"""Height of the lettering over that of a picture."""

MIN_TEXT_PX = 10
MARK_SHARE = 0.009
"""Radius of a disc that marks a contact over the height of a picture."""

PLATE = (0, 0, 0, 150)
"""Behind the lettering."""


@dataclass(frozen=True)
class Corner:
    """Lines in the upper left corner; those with a colour have a disc of it before them."""

    lines: tuple[str, ...]
    colours: tuple[Rgb8 | None, ...] = ()

    def __add__(self, other: "Corner") -> "Corner":
        """Put the lines of `other` below."""
        return Corner(self.lines + other.lines, self._padded + other._padded)

    @property
    def _padded(self) -> tuple[Rgb8 | None, ...]:
        return self.colours + (None,) * (len(self.lines) - len(self.colours))

    @property
    def shown(self) -> list[tuple[str, Rgb8 | None]]:
        """The lines with their colours."""
        return list(zip(self.lines, self._padded, strict=True))

    @classmethod
    def of_people(
        cls,
        colours: Float[np.ndarray, "2 3"],
        valid: Bool[np.ndarray, "2"],
        depths_mm: Float[np.ndarray, " contact"],
    ) -> "Corner":
        """Name the people; the last line appears while they touch."""
        names = [
            f"person {person}" + ("" if known else " (a guess)")
            for person, known in enumerate(valid)
        ]
        discs: list[Rgb8 | None] = [rgb8(colour) for colour in colours]
        if len(depths_mm):
            deepest = float(depths_mm.max())
            inside = f", {deepest:.0f} mm inside" if deepest >= 0.5 else ""
            names.append(f"touching{inside}")
            discs.append(rgb8(depth_colour(deepest)))
        return cls(tuple(names), tuple(discs))


EMPTY = Corner(())


def draw_corner(picture: Picture, corner: Corner) -> Picture:
    """Return the picture with lines on a dark plate."""
    lettering = max(MIN_TEXT_PX, round(TEXT_SHARE * picture.shape[0]))
    font, pad, step = _font(lettering), round(0.35 * lettering), round(1.3 * lettering)
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image, "RGBA")
    lines = corner.shown
    indents = [0 if disc is None else lettering for _, disc in lines]
    lengths = [draw.textlength(text, font) for text, _ in lines]
    width = max(map(sum, zip(lengths, indents, strict=True)))
    draw.rectangle((0, 0, width + 2 * pad, step * len(lines) + pad), fill=PLATE)
    for row, ((text, disc), left) in enumerate(zip(lines, indents, strict=True)):
        middle = pad + (row + 0.5) * step
        if disc is not None:
            _disc(draw, pad + 0.35 * lettering, middle, 0.32 * lettering, disc)
        draw.text((pad + left, middle), text, "white", font, anchor="lm")
    return np.asarray(image)


def draw_marks(
    picture: Picture,
    pixels: Float[np.ndarray, "contact 2"],
    depths_mm: Float[np.ndarray, " contact"],
) -> Picture:
    """Return the picture with a disc at each contact; of those that overlap, the deepest."""
    radius = max(2.0, MARK_SHARE * picture.shape[0])
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image, "RGBA")
    drawn: list[Float[np.ndarray, 2]] = []
    for number in np.argsort(-depths_mm, kind="stable"):
        place = pixels[number]
        if all(np.linalg.norm(place - other) > 2.5 * radius for other in drawn):
            colour = rgb8(depth_colour(float(depths_mm[number])))
            _disc(draw, float(place[0]), float(place[1]), radius, colour)
            drawn.append(place)
    return np.asarray(image)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Rgb8) -> None:
    """A disc with a white and a black rim, which show on any background."""
    for more, fill in ((2.0, (0, 0, 0)), (1.0, (255, 255, 255)), (0.0, colour)):
        reach = radius + more * max(1.0, radius / 5.0)
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=fill)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
