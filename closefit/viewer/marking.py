"""The page's part for corrections: marks, their list, and `apply`."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from closefit.boundary.refusals import printable
from closefit.errors import ClosefitError
from closefit.viewer.corrections import Mark, Placed, Swapped, apply_marks
from closefit.viewer.results import Results
from closefit.viewer.scene import Shown, Stand


class Marking:
    """Collects marks about one results folder and writes them when they are applied."""

    def __init__(
        self,
        server: Any,
        stands: list[Stand],
        current: Callable[[Results], int],
        redraw: Callable[[], None],
    ) -> None:
        """Add the controls to the page of a `viser.ViserServer`.

        Args:
            server: Where to add them.
            stands: What is shown; marks are about the results of folders.
            current: Returns the frame of a folder that is shown.
            redraw: Called when the picture changes.
        """
        self._stands = {stand.name: stand for stand in stands if stand.name.endswith(" result")}
        self._current, self._redraw = current, redraw
        self._marks: list[Mark] = []
        self._drawn: tuple[int, tuple[float, ...]] = (0, ())
        gui = server.gui
        server.scene.on_rect_select(modifier="shift")(self._take_rectangle)
        with gui.add_folder("Corrections"):
            names = tuple(self._stands)
            self._folder = gui.add_dropdown("Folder", names, visible=len(names) > 1)
            self._folder.on_update(lambda _: self._forget())
            self._picture = gui.add_image(self._stand.picture(0, Shown()), label="Picture")
            last = self._stand.results.num_frames - 1
            self._from = gui.add_number("Swapped from", 0, min=0, max=last, step=1)
            self._to = gui.add_number("Swapped to", last, min=0, max=last, step=1)
            here = gui.add_button_group("This frame is", ("the first", "the last"))
            here.on_click(lambda _: self._take_frame(here.value == "the first"))
            gui.add_button("Mark as swapped").on_click(lambda _: self._mark_swapped())
            self._person = gui.add_dropdown("Person", ("0 (orange)", "1 (blue)"))
            self._person.on_update(lambda _: self._take_box())
            width, height = self._stand.results.size_wh
            limits: dict[str, Any] = {"min": (0, 0), "max": (width, height), "step": 1}
            self._corner = gui.add_vector2("Left, top", (0, 0), **limits)
            self._other = gui.add_vector2("Right, bottom", (1, 1), **limits)
            for corner in (self._corner, self._other):
                corner.on_update(lambda _: self._box_changed())
            gui.add_button("Box as detected").on_click(lambda _: self._take_box())
            gui.add_button("Mark: person is here").on_click(lambda _: self._mark_placed())
            self._list = gui.add_markdown("")
            gui.add_button("Remove the last mark").on_click(lambda _: self._remove())
            gui.add_button("Apply", color="green").on_click(lambda _: self._apply())
            self._outcome = gui.add_markdown("")
        self._take_box()
        self._update_list()

    def draw(self, shown: Shown) -> None:
        """Show the picture of the current frame with a box on it: at first the detected one."""
        frame = self._frame
        if frame != self._drawn[0]:
            self._take_box()
        self._drawn = frame, self._box
        self._picture.image = self._stand.picture(frame, shown, self._box)

    @property
    def _stand(self) -> Stand:
        return self._stands[self._folder.value]

    @property
    def _frame(self) -> int:
        return self._current(self._stand.results)

    @property
    def _box(self) -> tuple[float, float, float, float]:
        """The box with its sides in order."""
        (x0, y0), (x1, y1) = self._corner.value, self._other.value
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    def _take_frame(self, first: bool) -> None:
        (self._from if first else self._to).value = self._frame

    def _take_box(self) -> None:
        """Start from the detected box of the chosen person in this frame."""
        track, size = self._stand.results.track, self._stand.results.size_wh
        box = np.array([0, 0, *size], float)
        if track is not None:
            found = track.boxes_xyxy[self._frame, int(self._person.value[0])]
            if np.isfinite(found).all():
                box = np.clip(np.round(found), 0, [*size, *size])
        self._corner.value, self._other.value = tuple(box[:2].tolist()), tuple(box[2:].tolist())

    def _take_rectangle(self, event: Any) -> None:
        """Take a rectangle that the pointer has drawn over the picture in the camera."""
        first, second = (
            self._stand.pixel_at(event.client.camera, place)
            for place in (event.screen_min, event.screen_max)
        )
        if first is None or second is None:
            return
        size_wh = self._stand.results.size_wh
        for control, corner in ((self._corner, first), (self._other, second)):
            control.value = tuple(np.clip(np.round(corner), 0, size_wh).tolist())

    def _box_changed(self) -> None:
        if self._box != self._drawn[1]:
            self._redraw()

    def _mark_swapped(self) -> None:
        first, last = sorted((int(self._from.value), int(self._to.value)))
        self._add(Swapped(first, last))

    def _mark_placed(self) -> None:
        self._add(Placed(int(self._person.value[0]), self._frame, self._box))

    def _add(self, mark: Mark) -> None:
        self._marks.append(mark)
        self._outcome.content = ""
        self._update_list()

    def _remove(self) -> None:
        self._marks = self._marks[:-1]
        self._update_list()

    def _forget(self) -> None:
        """Another folder: its own length, size and marks."""
        self._marks, self._outcome.content = [], ""
        last = self._stand.results.num_frames - 1
        size = self._stand.results.size_wh
        for number in (self._from, self._to):
            number.max = last
        self._from.value, self._to.value = 0, last
        for corner in (self._corner, self._other):
            corner.max = size
        self._take_box()
        self._update_list()

    def _update_list(self) -> None:
        lines = [f"{number}. {mark}" for number, mark in enumerate(self._marks, start=1)]
        self._list.content = "\n".join(lines) or "No marks yet."

    def _apply(self) -> None:
        """Write the marks, and show the command that runs again with them."""
        if not self._marks:
            self._outcome.content = "Mark something first."
            return
        results = self._stand.results
        try:
            path, command = apply_marks(
                results.workspace, self._marks, results.num_frames, results.size_wh
            )
        except (ClosefitError, OSError) as error:
            hint = f"\n\n{error.hint}" if isinstance(error, ClosefitError) else ""
            self._outcome.content = f"**Not written:**\n\n{verbatim(f'{error}{hint}')}"
            return
        self._marks = []
        self._update_list()
        written, again = verbatim(str(path)), verbatim(command)
        self._outcome.content = f"Written:\n\n{written}\n\nTo run again with it:\n\n{again}"


def verbatim(text: str) -> str:
    """Return text as a block of Markdown in which nothing is markup; names may hold anything."""
    fence = "`" * (3 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{printable(text)}\n{fence}"
