"""A profile of the optimisation steps."""

import time
from collections import defaultdict

import torch
from torch import Tensor

MOST_MARKS = 1000
"""Number of marks that are collected on a GPU before the clock waits for it and adds them up."""


class StepClock:
    """Adds up the time between marks of many steps by name.

    On a GPU the marks are events in its queue: the host does not wait for them inside a step.
    """

    def __init__(self, device: torch.device) -> None:
        """Start at zero."""
        self.seconds: dict[str, float] = defaultdict(float)
        self.steps = 0
        self._cuda = device.type == "cuda"
        self._last = 0.0
        self._events: list[tuple[str | None, torch.cuda.Event]] = []

    def start(self, counts: bool = True) -> None:
        """Begin a step; the time since the last mark is not counted.

        Work between steps is timed as well, but does not count as a step.
        """
        self.steps += counts
        if self._cuda:
            if len(self._events) > MOST_MARKS:
                self._settle()
            self._events.append((None, self._event()))
        else:
            self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Add the time since the last mark of this step to `name`."""
        if self._cuda:
            self._events.append((name, self._event()))
            return
        now = time.perf_counter()
        self.seconds[name] += now - self._last
        self._last = now

    def lap_at_gradient(self, tensor: Tensor, name: str) -> None:
        """Call `lap(name)` when the backward pass reaches `tensor`."""
        if tensor.requires_grad:
            tensor.register_hook(lambda _: self.lap(name))

    def profile(self) -> dict[str, object]:
        """Steps, seconds per step, and each part's share, largest first; for `run.json`."""
        self._settle()
        total = sum(self.seconds.values())
        parts = sorted(self.seconds.items(), key=lambda item: -item[1])
        return {
            "steps": self.steps,
            "seconds_per_step": round(total / max(self.steps, 1), 4),
            "share": {name: round(value / max(total, 1e-9), 4) for name, value in parts},
        }

    def _event(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _settle(self) -> None:
        """Add up the events so far."""
        if not self._events:
            return
        self._events[-1][1].synchronize()
        for (_, before), (name, after) in zip(self._events, self._events[1:], strict=False):
            if name is not None:
                self.seconds[name] += 1e-3 * before.elapsed_time(after)
        self._events.clear()
