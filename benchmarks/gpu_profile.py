"""One step of `optimize` on the GPU: launches, waits of the host, the dearest operators."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gpu_parts import Day, Found, closefit_here, copy_of_run, smaller, wait

SETTLED_STEPS = 20
"""Joint steps before one is profiled."""


def profile(day: Day) -> Found:
    """Profile one joint step of `optimize`, and watch another two for waits of the host."""
    from closefit.optimize.loop import JointLoop

    plain, seen = JointLoop.step, {"joint": 0}
    found: Found = {}

    class Enough(KeyboardInterrupt):
        """Ends the run once steps were profiled."""

    def step(loop: JointLoop) -> None:
        before = loop.state.joint_steps
        if seen["joint"] < (1 if day.dry else SETTLED_STEPS):
            plain(loop)
            seen["joint"] += loop.state.joint_steps - before
            return
        found.update(_profiled(day, lambda: plain(loop)))
        clock = loop.clock.profile()
        found.update(share=clock["share"], seconds_per_step=clock["seconds_per_step"])
        loop._read_every = 1_000_000  # losses are read every few steps: not in these
        found.update(_waits(day, lambda: plain(loop)))
        raise Enough

    JointLoop.step = step  # type: ignore[method-assign]
    try:
        closefit_here("stage", "optimize", str(copy_of_run(day, *day.clip, "profiled")),
                       "--device", day.device, *smaller(day))  # fmt: skip
    finally:
        JointLoop.step = plain  # type: ignore[method-assign]
    return found or {"error": "the run ended before a step was profiled"}


def _profiled(day: Day, step: Callable[[], None]) -> Found:
    """Launches of a step, calls for which the host waits, the dearest operators."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recorder

    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (not day.dry)
    wait(day)
    started = time.perf_counter()
    with recorder(activities=kinds) as record:
        step()
        wait(day)
    seconds = time.perf_counter() - started
    events = record.key_averages()
    count = {event.key: event.count for event in events}
    key = "self_cpu_time_total" if day.dry else "self_device_time_total"
    dearest = sorted(events, key=lambda event: -getattr(event, key))[:12]
    return {
        "seconds_profiled": seconds,
        "launches": sum(n for name, n in count.items() if "LaunchKernel" in name),
        "waiting_calls": {n: count[n] for n in count if "Synchronize" in n or "local_scalar" in n},
        "dearest_ms": {event.key[:60]: getattr(event, key) / 1e3 for event in dearest},
    }


def _waits(day: Day, step: Callable[[], None]) -> Found:
    """Where the host waits for the GPU in a step: all places that warn, then whether one fails.

    gsplat reads the number of touched tiles, so its call is left out. Warnings of the backward
    pass come from another thread and can be lost; the error does not.
    """
    from closefit.optimize import objective

    def watch(mode: str) -> None:
        if not day.dry:
            torch.cuda.set_sync_debug_mode(mode)

    mode, rasterize = "warn", objective.rasterize

    def unwatched(*arguments: Any, **options: Any) -> Any:
        watch("default")
        render = rasterize(*arguments, **options)
        watch(mode)
        return render

    objective.rasterize = unwatched
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            watch(mode)
            step()
        watch("default")
        places = {f"{Path(w.filename).name}:{w.lineno}" for w in caught if "sync" in str(w.message)}
        mode, error = "error", ""
        watch(mode)
        try:
            step()
        except RuntimeError as raised:
            error = str(raised).splitlines()[0]
    finally:
        watch("default")
        objective.rasterize = rasterize
    found: Found = {"waits": sorted(places), "waits_error": error}
    return found | ({"error": f"the host waits in a step: {error}"} if error else {})
