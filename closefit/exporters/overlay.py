"""`overlay.mp4`: input, bodies over the input, side view and top view, with numbered frames.

Motion without a video gets its front, side and top views.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from closefit.exporters.mesh_raster import MeshPainter, Picture
from closefit.exporters.palette import PERSON_COLOURS
from closefit.exporters.views import (
    FRONT_AXES,
    SIDE_AXES,
    TOP_AXES,
    ParallelView,
    project_perspective,
)

Sheet = UInt8[np.ndarray, "rows columns 3"]

BODY_OPACITY = 0.8
GUESSED = 0.65
"""Share of grey in the colour of a person nobody saw around that frame."""
GREY = np.array([0.6, 0.6, 0.6], np.float32)
NEAR_M = 0.1
WIDE = 1.2
"""Panels wider than this times their height go two by two."""
TOWARDS_LIGHT = np.array([-0.36, -0.48, -0.8])
"""Over the viewer's left shoulder, in view axes (right, down, forward); unit length."""
TEXT_SHARE = 0.045
"""Height of the lettering over that of a panel."""


@dataclass(frozen=True, eq=False)
class OverlayScene:
    """What stays the same for a whole clip.

    Attributes:
        faces: Triangles of both bodies.
        T_scene_camera: From the camera to the upright scene of the side and top views.
        joints: Joints of the whole clip in the scene; the fixed views show all of them.
        size_wh: Source video in pixels.
        panel_height_px: Height of one panel.
    """

    faces: Int[np.ndarray, "face 3"]
    T_scene_camera: Float[np.ndarray, "4 4"]
    joints: Float[np.ndarray, "frame 2 24 3"]
    size_wh: tuple[int, int]
    panel_height_px: int

    @property
    def panel_wh(self) -> tuple[int, int]:
        """Size of one panel: as the video, sides even."""
        width = self.panel_height_px * self.size_wh[0] / self.size_wh[1]
        return 2 * round(width / 2), 2 * round(self.panel_height_px / 2)


@dataclass(frozen=True, eq=False)
class OverlayFrame:
    """One frame: the input at panel size and both bodies in the camera frame.

    `K` is for source pixels; `valid` marks people whose pose rests on observations.
    """

    number: int
    image: Picture
    vertices: Float[np.ndarray, "2 vertex 3"]
    K: Float[np.ndarray, "3 3"]
    valid: Bool[np.ndarray, "2"]


def draw_overlay(scene: OverlayScene, frames: Iterable[OverlayFrame]) -> Iterator[Sheet]:
    """Yield one picture of four panels for each frame."""
    width, height = scene.panel_wh
    fixed = _FixedViews(scene, {"side": SIDE_AXES, "top": TOP_AXES})
    to_panel = np.array([[width / scene.size_wh[0]], [height / scene.size_wh[1]], [1.0]])
    for frame in frames:
        colours = np.where(
            frame.valid[:, None], PERSON_COLOURS, PERSON_COLOURS + GUESSED * (GREY - PERSON_COLOURS)
        )
        seen = project_perspective(frame.vertices, frame.K * to_panel, NEAR_M)
        overlaid = fixed.painter.draw(
            frame.image, frame.vertices, seen, TOWARDS_LIGHT, colours, BODY_OPACITY
        )
        panels = [("input", frame.image), ("overlay", overlaid)]
        panels += fixed.panels(frame.vertices, colours)
        yield _compose(panels, frame.number)


def draw_views(
    scene: OverlayScene, bodies: Iterable[Float[np.ndarray, "2 vertex 3"]]
) -> Iterator[Sheet]:
    """Yield front, side and top view of each frame's bodies, which are in the camera frame."""
    fixed = _FixedViews(scene, {"front": FRONT_AXES, "side": SIDE_AXES, "top": TOP_AXES})
    for number, vertices in enumerate(bodies):
        yield _compose(fixed.panels(vertices, PERSON_COLOURS), number)


class _FixedViews:
    """Parallel views of the scene that stay the same for a whole clip."""

    def __init__(
        self, scene: OverlayScene, axes_of: Mapping[str, Float[np.ndarray, "3 3"]]
    ) -> None:
        self.painter = MeshPainter(scene.faces, *scene.panel_wh)
        self._T_scene_camera = scene.T_scene_camera
        self._views = {
            name: ParallelView.around(scene.joints, axes, scene.panel_wh)
            for name, axes in axes_of.items()
        }
        self._backgrounds = {name: view.empty_panel() for name, view in self._views.items()}

    def panels(
        self, vertices: Float[np.ndarray, "2 vertex 3"], colours: Float[np.ndarray, "2 3"]
    ) -> list[tuple[str, Picture]]:
        turn, move = self._T_scene_camera[:3, :3], self._T_scene_camera[:3, 3]
        bodies = vertices @ turn.T + move
        return [
            (
                name,
                self.painter.draw(
                    self._backgrounds[name],
                    bodies,
                    view.project(bodies),
                    TOWARDS_LIGHT @ view.axes,
                    colours,
                    1.0,
                ),
            )
            for name, view in self._views.items()
        ]


def _compose(panels: list[tuple[str, Picture]], number: int) -> Sheet:
    """Put panels side by side, or two by two if four are wide, with names and frame number."""
    height, width, _ = panels[0][1].shape
    lettering = max(10, round(TEXT_SHARE * height))
    pad = round(0.4 * lettering)
    columns = 2 if len(panels) == 4 and width > WIDE * height else len(panels)
    rows = len(panels) // columns
    picture = Image.new("RGB", (columns * width, rows * height))
    draw = ImageDraw.Draw(picture)
    for index, (name, panel) in enumerate(panels):
        row, column = divmod(index, columns)
        corner = (column * width, row * height)
        picture.paste(Image.fromarray(panel), corner)
        text = f"{name} {number}" if index == 0 else name
        place = (corner[0] + pad, corner[1] + pad)
        draw.text(place, text, "white", _font(lettering), stroke_width=2, stroke_fill="black")
    return np.array(picture)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
