"""Compiled drawing of whole frames: project, sort by depth, composite; and its derivative.

Arrays are 32-bit and contiguous. Inputs have one row per frame or one row for all frames.
"""

from typing import no_type_check

import numpy as np

from closefit.appearance.raster.compile import compiled
from closefit.appearance.raster.compositing import (
    D_ALPHA,
    D_DRAWN,
    DRAWN,
    REMAINING,
    TRANSMITTANCE,
    composite,
    composite_backward,
)
from closefit.appearance.raster.lanes import LANES
from closefit.appearance.raster.projection import (
    DEPTH,
    OPACITY,
    SPLAT_WIDTH,
    project_backward,
    project_frame,
)

_RADIX_BITS = 11
_RADIX_MASK = (1 << _RADIX_BITS) - 1
_ONE = np.float32(1.0)


@compiled
@no_type_check
def sort_by_depth(splats, count, order):
    """Return the indices of the first `count` splats, nearest first; ties keep their order.

    Radix sort: the bits of positive floating-point numbers order like integers.

    Args:
        splats: (gaussian, SPLAT_WIDTH).
        count: Number of splats.
        order: (2, gaussian) scratch; one of its rows is returned.
    """
    keys = splats[:count, DEPTH].copy().view(np.int32)
    source, target = order[0, :count], order[1, :count]
    for i in range(count):
        source[i] = i
    starts = np.empty(_RADIX_MASK + 1, np.int64)
    for shift in (0, _RADIX_BITS, 2 * _RADIX_BITS):
        starts[:] = 0
        for key in keys:
            starts[(key >> shift) & _RADIX_MASK] += 1
        start = 0
        for digit in range(len(starts)):
            size = starts[digit]
            starts[digit] = start
            start += size
        for i in source:
            digit = (keys[i] >> shift) & _RADIX_MASK
            target[starts[digit]] = i
            starts[digit] += 1
        source, target = target, source
    return source


@compiled
@no_type_check
def draw_frames(first, last, means, quats, scales, opacities, features, K, image, alpha, depth):
    """Draw the frames `first` to `last` - 1 into `image`, `alpha` and `depth`.

    Args are arrays as in `Gaussians` and `Render`; inputs may have one row for all frames.
    """
    height, width, channels = image.shape[1:]
    splats = np.empty((means.shape[1], SPLAT_WIDTH), np.float32)
    ids, order = np.empty(len(splats), np.int32), np.empty((2, len(splats)), np.int32)
    canvas = np.empty((height, DRAWN + channels + 1, width + LANES), np.float32)
    flat_canvas = canvas.reshape(-1)
    drawn = np.empty(channels + 1, np.float32)
    for f in range(first, last):
        feature = features[f % len(features)]
        count = project_frame(
            means[f % len(means)], quats[f % len(quats)], scales[f % len(scales)],
            opacities[f % len(opacities)], feature, K[f % len(K)], width, height, splats, ids,
        )  # fmt: skip
        canvas[:] = 0.0
        canvas[:, TRANSMITTANCE] = 1.0
        for i in sort_by_depth(splats, count, order):
            drawn[:channels] = feature[ids[i]]
            drawn[channels] = splats[i, DEPTH]
            composite(splats[i], drawn, flat_canvas, width, height)
        for y in range(height):
            for x in range(width):
                alpha[f, y, x] = _ONE - abs(canvas[y, TRANSMITTANCE, x])
                depth[f, y, x] = canvas[y, DRAWN + channels, x]
                for k in range(channels):
                    image[f, y, x, k] = canvas[y, DRAWN + k, x]


@compiled
@no_type_check
def _prepare_backward(canvas, image, alpha, depth, d_image, d_alpha, d_depth):
    """Fill the backward canvas of one frame."""
    height, width, channels = image.shape
    canvas[:] = 0.0
    for y in range(height):
        for x in range(width):
            remaining = alpha[y, x] * d_alpha[y, x] + depth[y, x] * d_depth[y, x]
            for k in range(channels):
                remaining += image[y, x, k] * d_image[y, x, k]
                canvas[y, D_DRAWN + k, x] = d_image[y, x, k]
            canvas[y, TRANSMITTANCE, x] = _ONE
            canvas[y, REMAINING, x] = remaining
            canvas[y, D_ALPHA, x] = d_alpha[y, x]
            canvas[y, D_DRAWN + channels, x] = d_depth[y, x]


@compiled
@no_type_check
def draw_frames_backward(
    first, last, slot, means, quats, scales, opacities, features, K, image, alpha, depth,
    d_image, d_alpha, d_depth, d_means, d_quats, d_scales, d_opacities, d_features,
):  # fmt: skip
    """Add the gradients of the frames `first` to `last` - 1.

    Args as in `draw_frames`, whose outputs `image` to `depth` are inputs here; `d_image` to
    `d_depth` are their gradients, and `d_means` to `d_features` are added to. Gradients of inputs
    with one row for all frames are added to row `slot`.
    """
    frames, height, width, channels = image.shape
    splats = np.empty((means.shape[1], SPLAT_WIDTH), np.float32)
    ids, order = np.empty(len(splats), np.int32), np.empty((2, len(splats)), np.int32)
    canvas = np.empty((height, D_DRAWN + channels + 1, width + LANES), np.float32)
    flat_canvas = canvas.reshape(-1)
    drawn, d_drawn = np.empty(channels + 1, np.float32), np.empty(channels + 1, np.float32)
    sums = np.empty((channels + 1) * LANES, np.float32)
    d_splat = np.zeros(SPLAT_WIDTH, np.float32)
    for f in range(first, last):
        mean, quat, scale = means[f % len(means)], quats[f % len(quats)], scales[f % len(scales)]
        feature, intrinsics = features[f % len(features)], K[f % len(K)]
        count = project_frame(
            mean, quat, scale, opacities[f % len(opacities)], feature, intrinsics, width, height,
            splats, ids,
        )  # fmt: skip
        _prepare_backward(canvas, image[f], alpha[f], depth[f], d_image[f], d_alpha[f], d_depth[f])
        d_mean = d_means[f if len(means) == frames else slot]
        d_quat = d_quats[f if len(quats) == frames else slot]
        d_scale = d_scales[f if len(scales) == frames else slot]
        d_opacity = d_opacities[f if len(opacities) == frames else slot]
        d_feature = d_features[f if len(features) == frames else slot]
        for i in sort_by_depth(splats, count, order):
            g = ids[i]
            drawn[:channels] = feature[g]
            drawn[channels] = splats[i, DEPTH]
            composite_backward(splats[i], drawn, flat_canvas, width, height, sums, d_splat, d_drawn)
            d_splat[DEPTH] = d_drawn[channels]
            d_opacity[g] += d_splat[OPACITY]
            d_feature[g] += d_drawn[:channels]
            project_backward(
                d_splat, splats[i], mean[g], quat[g], scale[g], intrinsics, width, height,
                d_mean[g], d_quat[g], d_scale[g],
            )  # fmt: skip
