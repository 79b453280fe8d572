"""`overlay.mp4`: input, bodies over the input, side view and top view, with numbered frames."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from closefit.exporters.appearance import PERSON_COLOURS
from closefit.exporters.mesh_raster import MeshPainter, Picture
from closefit.exporters.views import (
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
    """What changes from frame to frame.

    Attributes:
        number: Frame number in the clip, from 0.
        image: Input at panel size.
        vertices: Both bodies in the camera frame.
        K: Intrinsics for source pixels.
        valid: Whose pose rests on observations.
    """

    number: int
    image: Picture
    vertices: Float[np.ndarray, "2 vertex 3"]
    K: Float[np.ndarray, "3 3"]
    valid: Bool[np.ndarray, "2"]


def draw_overlay(scene: OverlayScene, frames: Iterable[OverlayFrame]) -> Iterator[Sheet]:
    """Yield one picture of four panels for each frame."""
    width, height = scene.panel_wh
    painter = MeshPainter(scene.faces, width, height)
    views = [
        ParallelView.around(scene.joints, axes, scene.panel_wh) for axes in (SIDE_AXES, TOP_AXES)
    ]
    backgrounds = [view.empty_panel() for view in views]
    lettering = max(10, round(TEXT_SHARE * height))
    font = ImageFont.load_default(size=lettering)
    to_panel = np.array([[width / scene.size_wh[0]], [height / scene.size_wh[1]], [1.0]])
    turn, move = scene.T_scene_camera[:3, :3], scene.T_scene_camera[:3, 3]
    for frame in frames:
        colours = np.where(
            frame.valid[:, None], PERSON_COLOURS, PERSON_COLOURS + GUESSED * (GREY - PERSON_COLOURS)
        )
        seen = project_perspective(frame.vertices, frame.K * to_panel, NEAR_M)
        overlaid = painter.draw(
            frame.image, frame.vertices, seen, TOWARDS_LIGHT, colours, BODY_OPACITY
        )
        panels = [("input", frame.image), ("overlay", overlaid)]
        in_scene = frame.vertices @ turn.T + move
        for name, view, background in zip(("side", "top"), views, backgrounds, strict=True):
            light = TOWARDS_LIGHT @ view.axes
            panel = painter.draw(background, in_scene, view.project(in_scene), light, colours, 1.0)
            panels.append((name, panel))
        yield _compose(panels, frame.number, font, pad=round(0.4 * lettering))


def _compose(
    panels: list[tuple[str, Picture]],
    number: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    pad: int,
) -> Sheet:
    """Put panels side by side, or two by two if they are wide, with names and frame number."""
    height, width, _ = panels[0][1].shape
    columns = 2 if width > WIDE * height else len(panels)
    rows = len(panels) // columns
    picture = Image.new("RGB", (columns * width, rows * height))
    draw = ImageDraw.Draw(picture)
    for index, (name, panel) in enumerate(panels):
        row, column = divmod(index, columns)
        corner = (column * width, row * height)
        picture.paste(Image.fromarray(panel), corner)
        text = f"{name} {number}" if index == 0 else name
        place = (corner[0] + pad, corner[1] + pad)
        draw.text(place, text, "white", font, stroke_width=2, stroke_fill="black")
    return np.array(picture)
