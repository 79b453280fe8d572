"""`overlay.mp4`: input, bodies over the input, side view and top view, or the second alone.

Bodies have outlines, so that it shows who is in front; skin around a contact is yellow, and discs
mark contacts, the darker, the deeper. Motion without a video gets its front, side and top views.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from closefit.config import OverlayLayout
from closefit.exporters.lettering import EMPTY, Corner, draw_corner, draw_marks
from closefit.exporters.mesh_raster import MeshPainter, Picture
from closefit.exporters.views import (
    FRONT_AXES,
    SIDE_AXES,
    TOP_AXES,
    ParallelView,
    project_perspective,
)
from closefit.geometry.contact import lit_skin
from closefit.palette import PERSON_COLOURS
from closefit.storage.workspace import NUM_PEOPLE

Sheet = UInt8[np.ndarray, "rows columns 3"]

BODY_OPACITY = 0.75
GUESSED = 0.65
"""Share of grey in the colour of a person nobody saw around that frame."""
GREY = np.array([0.6, 0.6, 0.6], np.float32)
NEAR_M = 0.1
WIDE = 1.2
"""Panels wider than this times their height go two by two."""
MAX_SINGLE_PX = 1080
"""Height of the single view: that of the video, but at most this."""
TOWARDS_LIGHT = np.array([-0.36, -0.48, -0.8])
"""Over the viewer's left shoulder, in view axes (right, down, forward); unit length."""


@dataclass(frozen=True, eq=False)
class OverlayScene:
    """What stays the same for a whole clip.

    Attributes:
        faces: Triangles of both bodies.
        T_scene_camera: From the camera to the upright scene of the side and top views.
        joints: Joints of the whole clip in the scene; the fixed views show all of them.
        size_wh: Source video in pixels.
        panel_height_px: Height of one panel.
        layout: Four panels, or only the bodies over the input at the size of the video.
    """

    faces: Int[np.ndarray, "face 3"]
    T_scene_camera: Float[np.ndarray, "4 4"]
    joints: Float[np.ndarray, "frame 2 24 3"]
    size_wh: tuple[int, int]
    panel_height_px: int
    layout: OverlayLayout = "panels"

    @property
    def panel_wh(self) -> tuple[int, int]:
        """Size of one panel, or of the only picture: shaped as the video, sides even."""
        is_single = self.layout == "single"
        height = min(self.size_wh[1], MAX_SINGLE_PX) if is_single else self.panel_height_px
        width = height * self.size_wh[0] / self.size_wh[1]
        return max(2, 2 * round(width / 2)), max(2, 2 * round(height / 2))

    @property
    def camera_views_xywh(self) -> tuple[int, int, int, int]:
        """Where the picture shows what the camera sees: input and overlay, or the overlay alone."""
        width, height = self.panel_wh
        return 0, 0, width if self.layout == "single" else 2 * width, height

    @property
    def overlay_xywh(self) -> tuple[int, int, int, int]:
        """Where the picture shows the bodies over the input."""
        width, height = self.panel_wh
        return 0 if self.layout == "single" else width, 0, width, height


@dataclass(frozen=True, eq=False)
class OverlayFrame:
    """One frame: the input at panel size and both bodies before the still camera.

    Attributes:
        number: Counts from 0.
        time_s: Time since frame 0.
        image: The input.
        vertices: Metres.
        K: Intrinsics for source pixels.
        valid: People whose pose rests on observations.
        contacts: Places of the contacts, likewise.
        depths_mm: Penetration of each.
        R: From the still camera to that of this frame, where it turns.
    """

    number: int
    time_s: float
    image: Picture
    vertices: Float[np.ndarray, "2 vertex 3"]
    K: Float[np.ndarray, "3 3"]
    valid: Bool[np.ndarray, "2"]
    contacts: Float[np.ndarray, "contact 3"]
    depths_mm: Float[np.ndarray, " contact"]
    R: Float[np.ndarray, "3 3"] | None = None

    def in_view(self, points: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
        """Turn points into the camera of this frame."""
        if self.R is None:
            return points
        turned: Float[np.ndarray, "*batch 3"] = (points @ self.R.T).astype(points.dtype)
        return turned


def draw_overlay(scene: OverlayScene, frames: Iterable[OverlayFrame]) -> Iterator[Sheet]:
    """Yield one picture for each frame."""
    width, height = scene.panel_wh
    is_single = scene.layout == "single"
    fixed = _FixedViews(scene, {} if is_single else {"side": SIDE_AXES, "top": TOP_AXES})
    to_panel = np.array([[width / scene.size_wh[0]], [height / scene.size_wh[1]], [1.0]])
    for frame in frames:
        colours = np.where(
            frame.valid[:, None], PERSON_COLOURS, PERSON_COLOURS + GUESSED * (GREY - PERSON_COLOURS)
        )
        touching = len(frame.contacts) > 0
        lit = lit_skin(frame.vertices) if touching else None
        K = frame.K * to_panel
        bodies = frame.in_view(frame.vertices)
        seen = project_perspective(bodies, K, NEAR_M)
        overlaid = fixed.painter.draw(
            frame.image, bodies, seen, TOWARDS_LIGHT, colours, BODY_OPACITY, lit
        )
        contacts = frame.in_view(frame.contacts)
        places = project_perspective(contacts[None], K, NEAR_M) if touching else None
        if places is not None:
            overlaid = draw_marks(overlaid, places.pixels[0], frame.depths_mm)
        people = Corner.of_people(colours, frame.valid, frame.depths_mm)
        clock = f"{frame.time_s:.2f} s   frame {frame.number}"
        if is_single:
            yield draw_corner(overlaid, Corner((clock,)) + people)
            continue
        panels = [
            draw_corner(frame.image, Corner(("input", clock))),
            draw_corner(overlaid, people),
            *fixed.panels(frame.vertices, colours, lit, frame.contacts, frame.depths_mm),
        ]
        yield _compose(panels)


def draw_views(
    scene: OverlayScene, bodies: Iterable[Float[np.ndarray, "2 vertex 3"]]
) -> Iterator[Sheet]:
    """Yield front, side and top view of each frame's bodies, which are in the camera frame."""
    fixed = _FixedViews(scene, {"front": FRONT_AXES, "side": SIDE_AXES, "top": TOP_AXES})
    people = Corner.of_people(PERSON_COLOURS, np.ones(NUM_PEOPLE, bool), np.zeros(0))
    for number, vertices in enumerate(bodies):
        legend = Corner((f"frame {number}",)) + people
        yield _compose(fixed.panels(vertices, PERSON_COLOURS, legend=legend))


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
        self,
        vertices: Float[np.ndarray, "2 vertex 3"],
        colours: Float[np.ndarray, "2 3"],
        lit: Bool[np.ndarray, "2 vertex"] | None = None,
        contacts: Float[np.ndarray, "contact 3"] | None = None,
        depths_mm: Float[np.ndarray, " contact"] | None = None,
        legend: Corner = EMPTY,
    ) -> list[Picture]:
        """Return a picture for each view; the first one has the legend."""
        turn, move = self._T_scene_camera[:3, :3], self._T_scene_camera[:3, 3]
        bodies = vertices @ turn.T + move
        panels: list[Picture] = []
        for name, view in self._views.items():
            light = TOWARDS_LIGHT @ view.axes
            panel = self.painter.draw(
                self._backgrounds[name], bodies, view.project(bodies), light, colours, 1.0, lit
            )
            if contacts is not None and depths_mm is not None and len(contacts):
                places = view.project((contacts @ turn.T + move)[None])
                panel = draw_marks(panel, places.pixels[0], depths_mm)
            panels.append(draw_corner(panel, Corner((name,)) + (EMPTY if panels else legend)))
        return panels


def _compose(panels: list[Picture]) -> Sheet:
    """Put panels side by side, or two by two if four are wide."""
    height, width, _ = panels[0].shape
    columns = 2 if len(panels) == 4 and width > WIDE * height else len(panels)
    rows = len(panels) // columns
    picture = Image.new("RGB", (columns * width, rows * height))
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        picture.paste(Image.fromarray(panel), (column * width, row * height))
    return np.array(picture)
