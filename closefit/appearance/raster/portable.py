"""The rasteriser for every machine: compiled CPU code, threads over frames, manual derivative."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from closefit.appearance.raster.frames import draw_frames, draw_frames_backward
from closefit.appearance.raster.gaussians import Gaussians, Render

_MAX_BLOCKS = 16
"""Frames are processed in at most this many blocks, whatever the number of threads, so that sums
over frames have a fixed order and results do not depend on the threads."""

_FEATURES = 4  # index among the inputs; those up to here get gradients


def render(gaussians: Gaussians, K: Float[Tensor, "#frame 3 3"], width: int, height: int) -> Render:
    """Draw Gaussians in 32 bits as `rasterizer.rasterize` does, over zero.

    Tensors of other devices are copied to the CPU and the result back.
    """
    means = gaussians.means
    inputs = [*gaussians.tensors(), K.detach()]
    ready = [tensor.to("cpu", torch.float32).contiguous() for tensor in inputs]
    outputs = _Portable.apply((width, height), *ready)
    return Render(*(output.to(means.device, means.dtype) for output in outputs))


def _over_frames(frames: int, work: Callable[[int, int, int], None]) -> None:
    """Call `work(first frame, last frame + 1, block)` for all blocks of frames, in threads."""
    blocks = min(frames, _MAX_BLOCKS)
    edges = [frames * block // blocks for block in range(blocks + 1)]
    # A pool per call costs little, and unlike a lasting one it survives a fork.
    with ThreadPoolExecutor(min(torch.get_num_threads(), blocks)) as pool:
        list(pool.map(work, edges[:-1], edges[1:], range(blocks)))


class _Portable(torch.autograd.Function):
    """Inputs: CPU, 32 bits, contiguous; the intrinsics get no gradient."""

    @staticmethod
    def forward(ctx: Any, size: tuple[int, int], *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        width, height = size
        frames = max(len(tensor) for tensor in inputs)
        image = torch.empty(frames, height, width, inputs[_FEATURES].shape[2])
        alpha = torch.empty(frames, height, width)
        depth = torch.empty(frames, height, width)
        arrays = [tensor.numpy() for tensor in (*inputs, image, alpha, depth)]
        _over_frames(frames, lambda first, last, _: draw_frames(first, last, *arrays))
        ctx.save_for_backward(*inputs, image, alpha, depth)
        return image, alpha, depth

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        frames = len(d_outputs[0])
        saved = [tensor.numpy() for tensor in ctx.saved_tensors]
        given = [gradient.contiguous().numpy() for gradient in d_outputs]
        inputs = saved[: _FEATURES + 1]
        # An input with one row for all frames gets a sum per block of frames.
        rows = [frames if len(array) == frames else min(frames, _MAX_BLOCKS) for array in inputs]
        sums = [
            np.zeros((row, *array.shape[1:]), np.float32)
            for row, array in zip(rows, inputs, strict=True)
        ]

        def work(first: int, last: int, block: int) -> None:
            draw_frames_backward(first, last, block, *saved, *given, *sums)

        _over_frames(frames, work)
        gradients = [
            torch.from_numpy(total if len(array) == frames else total.sum(axis=0, keepdims=True))
            for total, array in zip(sums, inputs, strict=True)
        ]
        return (None, *gradients, None)
