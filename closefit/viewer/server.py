"""The page of the viewer: timeline, switches and corrections, kept up to date by one loop."""

import contextlib
import errno
import io
import socket
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np

from closefit.errors import ConfigError
from closefit.viewer.clock import Clock
from closefit.viewer.footage import Footage
from closefit.viewer.marking import Marking
from closefit.viewer.results import Results
from closefit.viewer.scene import Shown, Stand

SPEEDS = ("0.1", "0.25", "0.5", "1", "2")
IDLE_S = 0.5
GAP_M = 1.0
"""Space between motions that stand side by side."""

PORTS = 100
"""So many ports after the wanted one are tried."""


def free_port(host: str, port: int) -> int:
    """Return the wanted port, or the next one that nobody listens on.

    Raises:
        ConfigError: This machine has no such address, or all these ports are taken.
    """
    for candidate in range(port, min(port + PORTS, 1 << 16)):
        if _is_free(host, candidate):
            return candidate
    raise ConfigError(
        f"no port from {port} on is free on `{host}`", hint="choose another one with --port"
    )


def _is_free(host: str, port: int) -> bool:
    try:
        kind = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind[0], kind[1]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(kind[4])
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        raise ConfigError(
            f"cannot listen on `{host}`: {error.strerror}",
            hint="use an address of this machine: 127.0.0.1, or 0.0.0.0 for all of them",
        ) from error
    return True


class Viewer:
    """A running viewer; `serve` draws until it is interrupted."""

    def __init__(self, results: Sequence[Results], host: str, port: int, share: bool) -> None:
        """Start listening, with everything at frame 0."""
        import viser

        with contextlib.redirect_stdout(io.StringIO()):  # viser prints the address in a box
            self._server: Any = viser.ViserServer(
                host=host, port=port, label="closefit", verbose=False
            )
        self.port = int(self._server.get_port())
        self._frame, self._playing = 0, False
        self._changed = threading.Event()
        self._stands = self._put_up(results)
        self._clock = Clock(results)
        self._shown = Shown()
        self._add_page(share)
        self._marking = Marking(self._server, self._stands, self._frame_in, self._redraw)
        self._place()
        self._look_at_people()
        self._draw()

    def share_url(self) -> str | None:
        """Return a public address of the viewer; None where none can be had."""
        with contextlib.redirect_stdout(io.StringIO()):
            url: str | None = self._server.request_share_url(verbose=False)
        return url

    def serve(self) -> None:
        """Draw whatever the browser asks for; ends only by an exception such as Ctrl-C."""
        while True:
            self._changed.wait(IDLE_S)
            if self._changed.is_set():
                self._changed.clear()
                self._draw()
            if self._playing:
                self._play()

    def stop(self) -> None:
        """Close all connections."""
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # viser warns that a tunnel is gone
            self._server.stop()

    def _put_up(self, results: Sequence[Results]) -> list[Stand]:
        """A stand for each motion, those of one folder beside each other."""
        names = [one.workspace.root.absolute().name or "results" for one in results]
        unique = [
            name if names.count(name) == 1 else f"{name} {number}"
            for number, name in enumerate(names)
        ]
        stands: list[Stand] = []
        for name, one in zip(unique, results, strict=True):
            footage = Footage(one)
            stands += [
                Stand(self._server, f"{name} {motion}", one, motion, footage)
                for motion in sorted(one.motions)  # `init` before `result`
            ]
        return stands

    def _add_page(self, share: bool) -> None:
        scene, gui = self._server.scene, self._server.gui
        gui.configure_theme(show_logo=False, show_share_button=share, control_layout="collapsible")
        scene.set_up_direction("+y")
        scene.add_grid("/floor", plane="xz", infinite_grid=True, cell_size=0.5, section_size=1.0)
        last = len(self._clock.times_s) - 1
        self._slider = gui.add_slider("Frame", 0, max(last, 1), 1, 0, disabled=last == 0)
        self._slider.on_update(lambda _: self._go(int(self._slider.value)))
        self._time = gui.add_text("Time", "", disabled=True)
        self._button = gui.add_button("Play")
        self._button.on_click(lambda _: self._toggle())
        self._speed = gui.add_dropdown("Speed", SPEEDS, initial_value="1")
        gui.add_button("Look through the camera").on_click(self._look)
        self._switches: dict[str, Any] = {}
        with gui.add_folder("Show"):
            for field in fields(Shown):
                value = getattr(self._shown, field.name)
                label = field.name.capitalize()
                if field.name == "opacity":
                    switch = gui.add_slider("Opacity of bodies", 0.1, 1.0, 0.1, value)
                elif field.name == "gaussians" and not any(s.has_gaussians for s in self._stands):
                    continue
                else:
                    switch = gui.add_checkbox(label, value)
                switch.on_update(partial(self._switch, field.name))
                self._switches[field.name] = switch
        self._beside: dict[str, Any] = {}
        with gui.add_folder("Side by side"):
            for stand in self._stands:
                chosen = stand.name.endswith(" result")
                self._beside[stand.name] = gui.add_checkbox(stand.name, chosen)
                self._beside[stand.name].on_update(lambda _: self._place())

    def _go(self, frame: int) -> None:
        self._frame = frame
        self._changed.set()

    def _redraw(self) -> None:
        self._changed.set()

    def _toggle(self) -> None:
        self._playing = not self._playing
        self._button.label = "Pause" if self._playing else "Play"
        self._changed.set()

    def _switch(self, name: str, event: Any) -> None:
        setattr(self._shown, name, event.target.value)
        if name == "gaussians":  # both fill the same space: the bodies would show through
            self._switches["bodies"].value = self._shown.bodies = not event.target.value
        self._changed.set()

    def _place(self) -> None:
        """Put the chosen motions beside each other."""
        chosen = [stand for stand in self._stands if self._beside[stand.name].value]
        widths = [stand.width_m + GAP_M for stand in chosen]
        left = -0.5 * sum(widths)
        for stand in self._stands:
            stand.root.visible = stand in chosen
        for stand, width in zip(chosen, widths, strict=True):
            middle = 0.5 * float(stand.joints[..., 0].min() + stand.joints[..., 0].max())
            stand.root.position = (left + 0.5 * width - middle, 0.0, 0.0)
            left += width
        self._changed.set()

    def _look_at_people(self) -> None:
        """Begin before the people, a little to the right of the camera and above."""
        seen = [s.joints + s.root.position for s in self._stands if s.root.visible]
        low, high = (
            side([side(j, axis=(0, 1, 2)) for j in seen], axis=0) for side in (np.min, np.max)
        )
        middle, reach_m = (low + high) / 2, max(float(np.linalg.norm(high - low)), 1.5)
        camera = self._server.initial_camera
        camera.look_at, camera.up = middle, (0.0, 1.0, 0.0)
        camera.position = middle + reach_m * np.array([0.4, 0.3, 1.0])

    def _look(self, event: Any) -> None:
        """Move the browser's camera to that of the first chosen motion."""
        for stand in self._stands:
            if stand.root.visible and event.client is not None:
                stand.look(event.client.camera)
                return

    def _draw(self) -> None:
        with self._server.atomic():
            for stand in self._stands:
                if stand.root.visible:
                    stand.show(self._frame_in(stand.results), self._shown)
            self._marking.draw(self._shown)
            self._time.value = f"{self._clock.times_s[self._frame]:.2f} s"

    def _frame_in(self, results: Results) -> int:
        """Return the frame of a folder that is shown now."""
        return self._clock.frame_in(results, self._frame)

    def _play(self) -> None:
        """Draw frame after frame at the chosen speed, leaving some out where drawing is slow.

        Ends when the user stops it, or goes to another frame or speed.
        """
        started, first = time.monotonic(), self._frame
        times = self._clock.times_s
        length = self._slider.max + 1
        rate = (len(times) - 1) / max(times[-1] - times[0], 1e-6)
        speed, shown = float(self._speed.value), first
        while self._playing and self._frame == shown and float(self._speed.value) == speed:
            due = (first + int((time.monotonic() - started) * rate * speed)) % length
            if due != shown:
                self._slider.value = self._frame = shown = due
                self._draw()
            time.sleep(0.005)
