"""Compiled compositing of one splat over the pixels of a frame, and its derivative.

Splats of body Gaussians cover few pixels, so walking splat by splat over a frame's pixels beats
the usual tiles: nothing is listed twice, and a splat's gradient is complete when it is left.

A canvas is a flat array of 32-bit floats, (height, plane, width + LANES): planes of one row lie
side by side, and a row may be overrun on the right. Its first plane is the transmittance: 1 at
first, and negative where the pixel is finished.
"""

import math
from typing import no_type_check

import numpy as np

from closefit.appearance.raster.compile import compiled
from closefit.appearance.raster.conventions import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE
from closefit.appearance.raster.lanes import (
    LANES,
    exp,
    load,
    numbered,
    some,
    spread,
    store,
    total,
    where,
)
from closefit.appearance.raster.projection import (
    EXTENT,
    HALF_A,
    HALF_ROW,
    OPACITY,
    SLOPE,
    U,
    V,
)

TRANSMITTANCE = 0
"""Plane of both canvases."""

DRAWN = 1
"""First of the planes of a forward canvas that hold what is drawn."""

REMAINING, D_ALPHA, D_DRAWN = 1, 2, 3
"""Planes of a backward canvas: the inner product of the output's gradient with all that is still
to be drawn, the gradient of alpha, and the first plane with the gradient of what is drawn."""

# 32-bit constants: a Python float would make the compiler compute in 64 bits.
_ZERO, _HALF, _ONE, _TWO = (np.float32(number) for number in (0.0, 0.5, 1.0, 2.0))
_MIN_ALPHA = np.float32(MIN_ALPHA)
_MAX_ALPHA = np.float32(MAX_ALPHA)
_MIN_TRANSMITTANCE = np.float32(MIN_TRANSMITTANCE)


@compiled
@no_type_check
def _bounds(splat, width, height):
    """Return the box of pixels, first and last + 1, that the splat can reach: x, then y."""
    row_reach = math.sqrt(splat[EXTENT] / splat[HALF_ROW])
    slope = splat[SLOPE] * row_reach
    reach = math.sqrt(splat[EXTENT] / splat[HALF_A] + slope * slope)
    left, right = splat[U] - reach - _HALF, splat[U] + reach - _HALF
    top, bottom = splat[V] - row_reach - _HALF, splat[V] + row_reach - _HALF
    return (
        max(0, math.ceil(left)),
        min(width, math.floor(right) + 1),
        max(0, math.ceil(top)),
        min(height, math.floor(bottom) + 1),
    )


@compiled
@no_type_check
def _row_bounds(splat, centre, exponent, width):
    """Return the pixels of one row, first and last + 1, that the splat can reach."""
    reach = math.sqrt(max(splat[EXTENT] - exponent, _ZERO) / splat[HALF_A])
    return (
        max(0, math.ceil(centre - reach - _HALF)),
        min(width, math.floor(centre + reach - _HALF) + 1),
    )


@compiled
@no_type_check
def _contribution(transmittance, uncapped):
    """Return which pixels see the splat, its alpha, and the transmittance after it."""
    seen = (uncapped >= _MIN_ALPHA) & (transmittance >= _MIN_TRANSMITTANCE)
    alpha = where(uncapped <= _MAX_ALPHA, uncapped, spread(_MAX_ALPHA))
    rest = transmittance * (_ONE - alpha)
    finished = seen & (rest <= _MIN_TRANSMITTANCE)
    alpha = where(seen, where(finished, spread(_ZERO), alpha), spread(_ZERO))
    return seen, alpha, where(seen, where(finished, _ZERO - transmittance, rest), transmittance)


@compiled
@no_type_check
def composite(splat, drawn, canvas, width, height):
    """Draw one splat behind all that was drawn before.

    Args:
        splat: (SPLAT_WIDTH,).
        drawn: (channel + 1,) its features and its depth.
        canvas: Transmittance and what is drawn; added to.
        width: Of the image in pixels.
        height: Of the image in pixels.
    """
    stride = width + LANES
    row_stride = (DRAWN + len(drawn)) * stride
    left, right, top, bottom = _bounds(splat, width, height)
    is_narrow = right - left <= LANES
    for y in range(top, bottom):
        dy = splat[V] - (np.float32(y) + _HALF)
        centre = splat[U] + splat[SLOPE] * dy
        row_exponent = splat[HALF_ROW] * dy * dy
        if not is_narrow:
            left, right = _row_bounds(splat, centre, row_exponent, width)
        for x in range(left, right, LANES):
            at = y * row_stride + x
            m = (centre - (np.float32(x) + _HALF)) - numbered()
            transmittance = load(canvas, at)
            uncapped = splat[OPACITY] * exp(_ZERO - (row_exponent + splat[HALF_A] * m * m))
            seen, alpha, transmittance_after = _contribution(transmittance, uncapped)
            if not some(seen):
                continue
            store(canvas, at, transmittance_after)
            weight = transmittance * alpha
            for k in range(len(drawn)):
                plane = at + (DRAWN + k) * stride
                store(canvas, plane, load(canvas, plane) + weight * drawn[k])


@compiled
@no_type_check
def composite_backward(splat, drawn, canvas, width, height, sums, d_splat, d_drawn):
    """Walk over a splat's pixels as `composite` did and sum up the gradients of the splat.

    Args:
        splat: (SPLAT_WIDTH,).
        drawn: (channel + 1,) as in `composite`.
        canvas: Transmittance, REMAINING, and the gradients of alpha and of what is drawn.
        width: Of the image in pixels.
        height: Of the image in pixels.
        sums: ((channel + 1) * LANES,) scratch.
        d_splat: (SPLAT_WIDTH,) overwritten, except for DEPTH and EXTENT.
        d_drawn: (channel + 1,) overwritten.
    """
    stride = width + LANES
    row_stride = (D_DRAWN + len(drawn)) * stride
    sums[:] = _ZERO
    # Of the gradient of the exponent times 1, m, m^2, dy, m dy and dy^2.
    sum_1 = sum_m = sum_mm = sum_y = sum_my = sum_yy = spread(_ZERO)
    left, right, top, bottom = _bounds(splat, width, height)
    is_narrow = right - left <= LANES
    for y in range(top, bottom):
        dy = splat[V] - (np.float32(y) + _HALF)
        centre = splat[U] + splat[SLOPE] * dy
        row_exponent = splat[HALF_ROW] * dy * dy
        if not is_narrow:
            left, right = _row_bounds(splat, centre, row_exponent, width)
        for x in range(left, right, LANES):
            at = y * row_stride + x
            m = (centre - (np.float32(x) + _HALF)) - numbered()
            transmittance = load(canvas, at)
            uncapped = splat[OPACITY] * exp(_ZERO - (row_exponent + splat[HALF_A] * m * m))
            seen, alpha, transmittance_after = _contribution(transmittance, uncapped)
            if not some(seen):
                continue
            store(canvas, at, transmittance_after)
            weight = transmittance * alpha
            value = load(canvas, at + D_ALPHA * stride)
            for k in range(len(drawn)):
                d_plane = load(canvas, at + (D_DRAWN + k) * stride)
                value = value + d_plane * drawn[k]
                store(sums, k * LANES, load(sums, k * LANES) + weight * d_plane)
            behind = load(canvas, at + REMAINING * stride) - weight * value
            store(canvas, at + REMAINING * stride, behind)
            d_exponent = alpha * (behind / (_ONE - alpha) - transmittance * value)
            d_exponent = where(uncapped <= _MAX_ALPHA, d_exponent, spread(_ZERO))
            d_m = d_exponent * m
            sum_1 = sum_1 + d_exponent
            sum_m = sum_m + d_m
            sum_mm = sum_mm + d_m * m
            sum_y = sum_y + d_exponent * dy
            sum_my = sum_my + d_m * dy
            sum_yy = sum_yy + d_exponent * (dy * dy)
    slope, half_a, half_row = splat[SLOPE], splat[HALF_A], splat[HALF_ROW]
    d_splat[U] = _TWO * half_a * total(sum_m)
    d_splat[V] = _TWO * half_row * total(sum_y) + slope * d_splat[U]
    d_splat[SLOPE] = _TWO * half_a * total(sum_my)
    d_splat[HALF_A] = total(sum_mm)
    d_splat[HALF_ROW] = total(sum_yy)
    d_splat[OPACITY] = -total(sum_1) / splat[OPACITY]
    for k in range(len(drawn)):
        d_drawn[k] = total(load(sums, k * LANES))
