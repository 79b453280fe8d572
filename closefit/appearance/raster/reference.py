"""The reference rasteriser: plain PyTorch, any precision, one dense product per frame."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.appearance.raster.conventions import (
    DILATION_PX2,
    JACOBIAN_MARGIN,
    MAX_ALPHA,
    MIN_ALPHA,
    MIN_TRANSMITTANCE,
    NEAR_M,
)
from closefit.appearance.raster.gaussians import Gaussians, Render


def render(gaussians: Gaussians, K: Float[Tensor, "#frame 3 3"], width: int, height: int) -> Render:
    """Draw Gaussians as `rasterizer.rasterize` does, over zero.

    Memory grows with Gaussians times pixels: for small scenes only.
    """
    inputs = [*gaussians.tensors(), K]
    frames = max(len(tensor) for tensor in inputs)
    drawn = [
        _render_frame(
            *(tensor[min(f, len(tensor) - 1)] for tensor in inputs), width=width, height=height
        )
        for f in range(frames)
    ]
    return Render(*(torch.stack(outputs) for outputs in zip(*drawn, strict=True)))


def _render_frame(
    means: Float[Tensor, "gaussian 3"],
    quat_wxyz: Float[Tensor, "gaussian 4"],
    scales: Float[Tensor, "gaussian 3"],
    opacities: Float[Tensor, " gaussian"],
    features: Float[Tensor, "gaussian channel"],
    K: Float[Tensor, "3 3"],
    *,
    width: int,
    height: int,
) -> tuple[Tensor, Tensor, Tensor]:
    parts = (means, quat_wxyz, scales, opacities[:, None], features)
    drawable = torch.isfinite(torch.cat(parts, dim=-1)).all(dim=-1) & (means[:, 2] >= NEAR_M)
    # Selecting before computing keeps Gaussians behind the camera out of the derivative, too.
    means, quat_wxyz, scales, opacities, features = (
        part[drawable] for part in (means, quat_wxyz, scales, opacities, features)
    )
    nearest_first = means[:, 2].argsort(stable=True)
    means, quat_wxyz, scales, opacities, features = (
        part[nearest_first] for part in (means, quat_wxyz, scales, opacities, features)
    )
    size = means.new_tensor([width, height])
    focal, centre = K[(0, 1), (0, 1)], K[(0, 1), (2, 2)]
    means_px = means[:, :2] / means[:, 2:] * focal + centre
    conic = torch.linalg.inv(_covariance_px(means, quat_wxyz, scales, focal, centre, size))

    rows, columns = torch.meshgrid(
        torch.arange(height).to(means) + 0.5, torch.arange(width).to(means) + 0.5, indexing="ij"
    )
    pixels = torch.stack([columns, rows], dim=-1).reshape(-1, 2)
    dx, dy = (means_px[:, None] - pixels).unbind(dim=-1)
    a, b, c = (conic[:, i, j, None] for i, j in ((0, 0), (0, 1), (1, 1)))
    exponent = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alpha = (opacities[:, None] * torch.exp(-exponent)).clamp(max=MAX_ALPHA)
    alpha = torch.where(alpha >= MIN_ALPHA, alpha, 0.0)
    transmittance = torch.cumprod(1.0 - alpha, dim=0)
    drawn: Bool[Tensor, "gaussian pixel"] = transmittance > MIN_TRANSMITTANCE
    before = torch.cat([torch.ones_like(transmittance[:1]), transmittance])[:-1]
    weight = torch.where(drawn, alpha * before, 0.0)
    image = (weight.T @ features).reshape(height, width, -1)
    depth = (weight.T @ means[:, 2]).reshape(height, width)
    return image, weight.sum(dim=0).reshape(height, width), depth


def _covariance_px(
    means: Float[Tensor, "gaussian 3"],
    quat_wxyz: Float[Tensor, "gaussian 4"],
    scales: Float[Tensor, "gaussian 3"],
    focal: Float[Tensor, "2"],
    centre: Float[Tensor, "2"],
    size: Float[Tensor, "2"],
) -> Float[Tensor, "gaussian 2 2"]:
    margin = JACOBIAN_MARGIN * 0.5 * size / focal
    direction = means[:, :2] / means[:, 2:]
    direction = direction.clamp(-centre / focal - margin, (size - centre) / focal + margin)
    eye = torch.eye(2).to(means)
    jacobian = torch.cat([eye.expand(len(means), 2, 2), -direction[..., None]], dim=-1)
    jacobian = jacobian * (focal / means[:, 2:])[..., None]
    half = jacobian @ _matrix(quat_wxyz) * scales[:, None]
    return half @ half.mT + DILATION_PX2 * eye


def _matrix(quat_wxyz: Float[Tensor, "gaussian 4"]) -> Float[Tensor, "gaussian 3 3"]:
    # Rodrigues' formula with sin and cos of half the angle: R = I + 2 w [v] + 2 [v]^2.
    w, v = torch.nn.functional.normalize(quat_wxyz, dim=-1).split([1, 3], dim=-1)
    eye = torch.eye(3).to(v)
    cross = torch.linalg.cross(v[:, None].expand(-1, 3, 3), eye.expand(len(v), 3, 3)).mT
    matrix: Tensor = eye + 2.0 * w[..., None] * cross + 2.0 * cross @ cross
    return matrix
