"""Compiled projection of one frame's Gaussians to image-space splats, and its derivative.

A splat's exponent at the offset (dx, dy) from its centre is written with the square completed,
`half_a * (dx + slope * dy)**2 + half_row * dy**2`: this is cheap to walk along image rows and does
not cancel for needle-like splats. With the projected covariance [[A, B], [B, C]] (after dilation)
half_a = C / (2 (A C - B^2)), slope = -B / C and half_row = 1 / (2 C).

EWA splatting: Zwicker et al., "EWA volume splatting", 2001; 3D Gaussians: Kerbl et al., 2023.
"""

import math
from typing import no_type_check

from closefit.appearance.raster.compile import compiled
from closefit.appearance.raster.conventions import (
    DILATION_PX2,
    JACOBIAN_MARGIN,
    MIN_ALPHA,
    NEAR_M,
)

U, V, SLOPE, HALF_A, HALF_ROW, OPACITY, DEPTH, EXTENT = range(8)
"""Columns of a splat; EXTENT is the exponent at which alpha falls to `MIN_ALPHA`."""

SPLAT_WIDTH = 8


@compiled
@no_type_check
def rotation(quat):
    """Return the nine entries, row by row, of the rotation of a (w, x, y, z) quaternion."""
    w, x, y, z = float(quat[0]), float(quat[1]), float(quat[2]), float(quat[3])
    inv_norm = 1.0 / math.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w * inv_norm, x * inv_norm, y * inv_norm, z * inv_norm
    return (
        1.0 - 2.0 * (y * y + z * z),
        2.0 * (x * y - w * z),
        2.0 * (x * z + w * y),
        2.0 * (x * y + w * z),
        1.0 - 2.0 * (x * x + z * z),
        2.0 * (y * z - w * x),
        2.0 * (x * z - w * y),
        2.0 * (y * z + w * x),
        1.0 - 2.0 * (x * x + y * y),
    )


@compiled
@no_type_check
def clamped_direction(ratio, focal, centre, size):
    """Clamp x/z (or y/z) for the Jacobian; returns the value and whether it was inside."""
    margin = JACOBIAN_MARGIN * 0.5 * size / focal
    upper = (size - centre) / focal + margin
    lower = -centre / focal - margin
    return min(max(ratio, lower), upper), lower <= ratio <= upper


@compiled
@no_type_check
def _are_finite(values):
    total = 0.0
    for value in values:
        total += float(value)
    return math.isfinite(total)


@compiled
@no_type_check
def _covariance(quat, scale, gx, gy, jx, jy):
    """Return A, B and C of the projected covariance, dilated.

    The Jacobian of the projection is [gx, 0, -gx jx; 0, gy, -gy jy].
    """
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = rotation(quat)
    sx0, sx1, sx2 = gx * float(scale[0]), gx * float(scale[1]), gx * float(scale[2])
    sy0, sy1, sy2 = gy * float(scale[0]), gy * float(scale[1]), gy * float(scale[2])
    p0, p1, p2 = sx0 * (r00 - jx * r20), sx1 * (r01 - jx * r21), sx2 * (r02 - jx * r22)
    q0, q1, q2 = sy0 * (r10 - jy * r20), sy1 * (r11 - jy * r21), sy2 * (r12 - jy * r22)
    return (
        p0 * p0 + p1 * p1 + p2 * p2 + DILATION_PX2,
        p0 * q0 + p1 * q1 + p2 * q2,
        q0 * q0 + q1 * q1 + q2 * q2 + DILATION_PX2,
    )


@compiled
@no_type_check
def project_frame(means, quats, scales, opacities, features, K, width, height, splats, ids):
    """Project one frame's Gaussians and keep those that can touch the image.

    Gaussians with a value that is not finite are left out.

    Args:
        means: (gaussian, 3) in camera space, metres.
        quats: (gaussian, 4).
        scales: (gaussian, 3).
        opacities: (gaussian,).
        features: (gaussian, channel).
        K: (3, 3) intrinsics.
        width: Of the image in pixels.
        height: Of the image in pixels.
        splats: (gaussian, SPLAT_WIDTH); the first rows are filled.
        ids: (gaussian,) the Gaussian of each splat; the first entries are filled.

    Returns:
        How many splats there are.
    """
    fx, fy, cx, cy = float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])
    count = 0
    for i in range(len(means)):
        z, opacity = float(means[i, 2]), float(opacities[i])
        # Every test is written so that NaN fails it.
        if not (NEAR_M <= z < math.inf and MIN_ALPHA <= opacity < math.inf):
            continue
        x, y = float(means[i, 0]) / z, float(means[i, 1]) / z
        jx, _ = clamped_direction(x, fx, cx, width)
        jy, _ = clamped_direction(y, fy, cy, height)
        A, B, C = _covariance(quats[i], scales[i], fx / z, fy / z, jx, jy)
        det = A * C - B * B
        u, v = fx * x + cx, fy * y + cy
        extent = math.log(opacity / MIN_ALPHA)
        reach_x, reach_y = math.sqrt(2.0 * extent * A), math.sqrt(2.0 * extent * C)
        is_near_x = u + reach_x > 0.0 and u - reach_x < width
        is_near_y = v + reach_y > 0.0 and v - reach_y < height
        if not (is_near_x and is_near_y and 0.0 < det < math.inf and _are_finite(features[i])):
            continue
        splat = splats[count]
        splat[U], splat[V], splat[DEPTH] = u, v, z
        splat[SLOPE] = -B / C
        splat[HALF_A] = 0.5 * C / det
        splat[HALF_ROW] = 0.5 / C
        splat[OPACITY], splat[EXTENT] = opacity, extent
        ids[count] = i
        count += 1
    return count


@compiled
@no_type_check
def _column_backward(s, r, gx, gy, jx, jy, d_A, d_B, d_C):
    """Return the gradients that column r of the rotation, with the scale s, passes on.

    The column's share of the projected covariance is [p^2, p q; p q, q^2] with
    p = s gx (r0 - jx r2) and q = s gy (r1 - jy r2).

    Returns:
        Gradients of s, of the three entries of r, and of gx, gy, jx and jy.
    """
    e, h = r[0] - jx * r[2], r[1] - jy * r[2]
    p, q = s * gx * e, s * gy * h
    d_p, d_q = 2.0 * d_A * p + d_B * q, 2.0 * d_C * q + d_B * p
    d_e, d_h = s * gx * d_p, s * gy * d_q
    return (
        gx * e * d_p + gy * h * d_q,
        (d_e, d_h, -jx * d_e - jy * d_h),
        s * e * d_p,
        s * h * d_q,
        -d_e * r[2],
        -d_h * r[2],
    )


@compiled
@no_type_check
def project_backward(d_splat, splat, mean, quat, scale, K, width, height, d_mean, d_quat, d_scale):
    """Add one Gaussian's gradients, given those of its splat.

    Args:
        d_splat: (SPLAT_WIDTH,) gradient of the splat's U, V, SLOPE, HALF_A, HALF_ROW and DEPTH.
        splat: (SPLAT_WIDTH,) as `project_frame` made it.
        mean: (3,) what it was made from, like `quat` to `height`.
        quat: (4,).
        scale: (3,).
        K: (3, 3).
        width: Of the image in pixels.
        height: Of the image in pixels.
        d_mean: (3,) added to.
        d_quat: (4,) added to.
        d_scale: (3,) added to.
    """
    slope, half_a, C_inv = float(splat[SLOPE]), float(splat[HALF_A]), 2.0 * float(splat[HALF_ROW])
    # The projected covariance is [A, B; B, C].
    d_A = -2.0 * half_a * half_a * d_splat[HALF_A]
    d_slope = d_splat[SLOPE] * C_inv
    d_B = 2.0 * d_A * slope - d_slope
    d_C = (d_A * slope - d_slope) * slope - 0.5 * d_splat[HALF_ROW] * C_inv * C_inv
    fx, fy, cx, cy = float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])
    z_inv = 1.0 / float(mean[2])
    x, y = float(mean[0]) * z_inv, float(mean[1]) * z_inv
    jx, is_free_x = clamped_direction(x, fx, cx, width)
    jy, is_free_y = clamped_direction(y, fy, cy, height)
    gx, gy = fx * z_inv, fy * z_inv
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = rotation(quat)
    d_s0, d_r0, d_gx0, d_gy0, d_jx0, d_jy0 = _column_backward(
        float(scale[0]), (r00, r10, r20), gx, gy, jx, jy, d_A, d_B, d_C
    )
    d_s1, d_r1, d_gx1, d_gy1, d_jx1, d_jy1 = _column_backward(
        float(scale[1]), (r01, r11, r21), gx, gy, jx, jy, d_A, d_B, d_C
    )
    d_s2, d_r2, d_gx2, d_gy2, d_jx2, d_jy2 = _column_backward(
        float(scale[2]), (r02, r12, r22), gx, gy, jx, jy, d_A, d_B, d_C
    )
    d_scale[0] += d_s0
    d_scale[1] += d_s1
    d_scale[2] += d_s2
    _rotation_backward(quat, d_r0, d_r1, d_r2, d_quat)
    # Of x/z and y/z, through the centre and, where the clamp does not act, the Jacobian.
    d_x, d_y = d_splat[U] * fx, d_splat[V] * fy
    if is_free_x:
        d_x += d_jx0 + d_jx1 + d_jx2
    if is_free_y:
        d_y += d_jy0 + d_jy1 + d_jy2
    d_z = d_x * x + d_y * y + (d_gx0 + d_gx1 + d_gx2) * gx + (d_gy0 + d_gy1 + d_gy2) * gy
    d_mean[0] += d_x * z_inv
    d_mean[1] += d_y * z_inv
    d_mean[2] += d_splat[DEPTH] - d_z * z_inv


@compiled
@no_type_check
def _rotation_backward(quat, d_r0, d_r1, d_r2, d_quat):
    """Add the quaternion's gradient, given those of the columns of its rotation."""
    w, x, y, z = float(quat[0]), float(quat[1]), float(quat[2]), float(quat[3])
    inv_norm = 1.0 / math.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w * inv_norm, x * inv_norm, y * inv_norm, z * inv_norm
    wx, wy, wz = d_r1[2] - d_r2[1], d_r2[0] - d_r0[2], d_r0[1] - d_r1[0]
    xy, xz, yz = d_r1[0] + d_r0[1], d_r2[0] + d_r0[2], d_r2[1] + d_r1[2]
    xx, yy, zz = d_r0[0], d_r1[1], d_r2[2]
    d_w = 2.0 * (x * wx + y * wy + z * wz)
    d_x = 2.0 * (w * wx + y * xy + z * xz - 2.0 * x * (yy + zz))
    d_y = 2.0 * (w * wy + x * xy + z * yz - 2.0 * y * (xx + zz))
    d_z = 2.0 * (w * wz + x * xz + y * yz - 2.0 * z * (xx + yy))
    # The length of the quaternion does not matter.
    along = d_w * w + d_x * x + d_y * y + d_z * z
    d_quat[0] += (d_w - along * w) * inv_norm
    d_quat[1] += (d_x - along * x) * inv_norm
    d_quat[2] += (d_y - along * y) * inv_norm
    d_quat[3] += (d_z - along * z) * inv_norm
