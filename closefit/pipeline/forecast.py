"""Roughly how long a run will take: the cost of its stages, times the speed of this machine now."""

import math
import time
from collections.abc import Iterable
from functools import cache

from closefit.config import Config, StageName
from closefit.records import VideoInfo
from closefit.system import num_threads

UNIT_MS = 30.0
"""`unit_s` on the machine of the seconds below: 2 cores, fitted to the runs in
benchmarks/results/forecast.md."""

LOADING_S = {"import": 1.0, "lite": 4.0, "yolo": 4.0}
DETECTING_S = {"import": 0.0125, "lite": 0.23, "yolo": 0.60}
"""Loading a detector and learning looks, and a frame; `full` was never timed on a CPU."""

FOCAL_STEPS, FOCAL_FRAMES = 300, 24
"""Of the search for an unknown focal length, as in `init/focal_search.py`."""

INIT_STEP_S, INIT_STEP_FRAME_S = 0.023, 0.0007
PREPARING_S = 9.0
"""What `optimize` does before its first step and after its last."""
DEPTH_ORDER_S = 0.1
"""Comparing depth orders, a frame."""
FINETUNING_FRAME_S = 0.0023
"""More of a step, a frame of its window, where the prior's weights move: a step of the preset
`draft` takes 1.35 times as long (benchmarks/results/motion.md)."""
EXPORT_S, EXPORT_FRAME_S = 9.0, 0.09
COMPILING_S = 60.0
"""The rasteriser's first use on a machine."""
TRIES = 5


def clip_frames(info: VideoInfo, config: Config) -> int:
    """Frames of the chosen part of a video."""
    end_s = min(config.track.end_s or math.inf, info.duration_s)
    return max(1, round((end_s - config.track.start_s) * info.fps))


def seconds(
    stages: Iterable[StageName], config: Config, info: VideoInfo, device: str
) -> float | None:
    """How long these stages take on this machine; None where nothing is known of one of them."""
    frames = clip_frames(info, config)
    total = 0.0
    for stage in stages:
        if device != "cpu":
            return None
        if stage == "track":
            detector = config.track.backend("cpu")
            if detector not in LOADING_S:
                return None
            total += LOADING_S[detector] + DETECTING_S[detector] * frames
        elif stage == "init":
            steps = config.init.prior_steps if config.init.prior else config.init.steps
            total += steps * (INIT_STEP_S + INIT_STEP_FRAME_S * frames)
            if _focal_searched(config, info):
                searched = math.ceil(frames / math.ceil(frames / FOCAL_FRAMES))
                total += FOCAL_STEPS * (INIT_STEP_S + INIT_STEP_FRAME_S * searched)
        elif stage == "optimize":
            total += _optimize_s(config, frames)
        else:
            total += EXPORT_S + EXPORT_FRAME_S * frames
    return total * unit_s() / (UNIT_MS / 1000.0) if total else 0.0


def _focal_searched(config: Config, info: VideoInfo) -> bool:
    """Whether `init` looks for the focal length."""
    camera, init = config.camera, config.init
    known = (camera.file, camera.focal_px, camera.fov_deg, info.focal_px, init.init_from)
    return init.prior and init.focal_search and all(value is None for value in known)


def _optimize_s(whole: Config, frames: int) -> float:
    config = whole.optimize
    passes = (config.passes or 0) + (config.warmup_passes or 0)
    steps = passes * math.ceil(frames / config.frames_per_step)
    window = min(frames, config.window_frames)
    rendered = min(frames, config.frames_per_step)
    step_s = 0.0005 * window
    if whole.motion_branch != "direct":
        step_s += FINETUNING_FRAME_S * window
    if config.appearance:
        megapixels = rendered * config.image_size_px**2 / 1e6
        step_s += 0.45 * megapixels + 1.9e-5 * config.map_size**2
    depth_order_s = DEPTH_ORDER_S * frames if config.check_depth_order else 0.0
    once_s = PREPARING_S + (0.0 if _is_compiled() else COMPILING_S)
    return steps * step_s + depth_order_s + once_s


def _is_compiled() -> bool:
    """Whether the rasteriser's machine code is kept from an earlier run."""
    from closefit.appearance.raster.compile import is_kept
    from closefit.appearance.raster.compositing import composite_backward

    return is_kept(composite_backward)


@cache
def unit_s() -> float:
    """Seconds that this machine takes for a small task, with the threads of a run.

    It is work as the fits do it: a convolution forward and back, skinning, small products. The
    quickest of a few tries counts; the first only warms up.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(num_threads())
    try:
        random = torch.Generator().manual_seed(0)
        kernel = torch.randn(16, 16, 3, 3, generator=random, requires_grad=True)
        image = torch.randn(2, 16, 96, 96, generator=random)
        weights = torch.randn(13_000, 24, generator=random)
        joints = torch.randn(24, 192, generator=random)
        small = torch.randn(64, 24, 3, 3, generator=random)
        times = []
        for _ in range(TRIES):
            started = time.perf_counter()
            torch.nn.functional.conv2d(image, kernel, padding=1).relu().square().sum().backward()
            (weights @ joints).relu().sum()
            turned = small
            for _ in range(100):
                turned = (turned @ small).clamp(-1.0, 1.0)
            times.append(time.perf_counter() - started)
        return min(times)
    finally:
        torch.set_num_threads(threads)
