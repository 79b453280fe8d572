"""Time the rasterisers on two posed bodies: `python benchmarks/rasterizer.py [--json FILE]`.

The reference cannot draw the full size, so it draws one frame of the same people at 64 px.
"""

import argparse
import dataclasses
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import roma
import torch

from closefit.appearance.raster.gaussians import Gaussians
from closefit.appearance.raster.rasterizer import RasterBackend, rasterize
from closefit.body.model import Body

BODY = Path(__file__).parents[1] / "weights" / "closefit_body.npz"
DISTANCE_M = 3.5
FOCAL_PER_PX = 1.7
"""Focal length over image size: two standing people fill the image."""
REFERENCE_PX = 64
MAX_SECONDS = 2.0
MIN_SPEED_UP = 15.0


@dataclass(frozen=True)
class Timing:
    """The best of several runs."""

    backend: str
    frames: int
    gaussians_per_frame: int
    size_px: int
    forward_s: float
    backward_s: float

    @property
    def total_s(self) -> float:
        """Forward and backward."""
        return self.forward_s + self.backward_s

    @property
    def per_frame_ms(self) -> float:
        """Forward and backward of one frame."""
        return 1000.0 * self.total_s / self.frames


def two_people(frames: int) -> torch.Tensor:
    """Corners (frame, face of both, 3, 3) of two bodies in camera space that circle each other."""
    body = Body.load(BODY)
    generator = torch.Generator().manual_seed(0)
    turn = torch.arange(frames)[:, None] / frames + torch.tensor([0.0, 0.5])
    angle = 2.0 * math.pi * turn[..., None]
    up = torch.tensor([0.0, 1.0, 0.0])
    rotations = roma.rotvec_to_rotmat(0.3 * torch.randn(2, 24, 3, generator=generator))
    rotations = rotations.expand(frames, 2, 24, 3, 3).clone()
    upright = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    rotations[:, :, 0] = upright @ roma.rotvec_to_rotmat(angle * up)
    place = torch.cat([angle.sin(), torch.zeros_like(angle), angle.cos()], dim=-1)
    transl = torch.tensor([0.0, 0.0, DISTANCE_M]) - 0.25 * place
    vertices = body.pose(rotations, torch.zeros(2, 10), transl).vertices
    return vertices[:, :, body.faces].flatten(1, 2)


def cover(corners: torch.Tensor, number: int, size_px: int, radius_px: float) -> Gaussians:
    """Spread flat Gaussians evenly over faces; `radius_px` is 3 sigma on the image."""
    generator = torch.Generator().manual_seed(0)
    sides = corners[0, :, 1:] - corners[0, :, :1]
    areas = torch.linalg.cross(sides[:, 0], sides[:, 1]).norm(dim=-1)
    chosen = torch.multinomial(areas, number, replacement=True, generator=generator).sort().values
    corners = corners[:, chosen]
    mix = -torch.rand(number, 3, generator=generator).log()
    mix = mix / mix.sum(dim=-1, keepdim=True)
    x = torch.nn.functional.normalize(corners[:, :, 1] - corners[:, :, 0], dim=-1)
    normal = torch.linalg.cross(x, corners[:, :, 2] - corners[:, :, 0])
    normal = torch.nn.functional.normalize(normal, dim=-1)
    axes = torch.stack([x, torch.linalg.cross(normal, x), normal], dim=-1)
    # The rasteriser adds 0.3 square pixels to what is on the image.
    sigma_px = math.sqrt((radius_px / 3.0) ** 2 - 0.3)
    sigma_m = sigma_px * DISTANCE_M / (FOCAL_PER_PX * size_px)
    person = (torch.arange(number) >= number // 2).long()
    colour = torch.rand(number, 3, generator=generator)
    return Gaussians(
        means=(mix[..., None] * corners).sum(dim=-2),
        quat_wxyz=roma.quat_xyzw_to_wxyz(roma.rotmat_to_unitquat(axes)),
        scales=(sigma_m * torch.tensor([1.0, 1.0, 0.3])).repeat(1, number, 1),
        opacities=torch.full((1, number), 0.9),
        features=torch.cat([colour, torch.eye(2)[person]], dim=-1)[None],
    )


def measure(
    backend: RasterBackend, gaussians: Gaussians, size_px: int, repeats: int, device: str
) -> Timing:
    """Time drawing and its derivative with respect to everything."""
    focal = FOCAL_PER_PX * size_px
    K = torch.tensor([[focal, 0.0, size_px / 2], [0.0, focal, size_px / 2], [0.0, 0.0, 1.0]])
    K = K[None].to(device)
    fields = dataclasses.fields(Gaussians)
    leaves = [getattr(gaussians, field.name).to(device).requires_grad_() for field in fields]
    best = (math.inf, math.inf)
    for _ in range(repeats):
        start = _now(device)
        render = rasterize(Gaussians(*leaves), K, size_px, size_px, backend=backend)
        drawn = _now(device)
        outputs = (render.features, render.alpha, render.depth)
        torch.autograd.grad(outputs, leaves, [torch.ones_like(output) for output in outputs])
        best = min(best, (drawn - start, _now(device) - drawn), key=sum)
    frames, number = gaussians.means.shape[:2]
    return Timing(backend, frames, number, size_px, *best)


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Print a table; exit with 1 if the portable rasteriser misses its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--gaussians", type=int, default=16_000, help="of both people")
    parser.add_argument("--size", type=int, default=192, help="of the image in pixels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    corners = two_people(options.frames)
    scene = cover(corners, options.gaussians, options.size, radius_px=3.0)
    portable = measure("portable", scene, options.size, 1 + options.repeats, "cpu")
    timings = [portable]
    if torch.cuda.is_available():
        timings.append(measure("gsplat", scene, options.size, 1 + options.repeats, "cuda"))
    small = cover(corners[:1], options.gaussians, REFERENCE_PX, radius_px=3.0)
    reference = measure("reference", small, REFERENCE_PX, 1, "cpu")
    timings += [measure("portable", small, REFERENCE_PX, 1 + options.repeats, "cpu"), reference]

    print(f"{'backend':<10}{'frames':>7}{'Gaussians':>11}{'px':>5}", end="")
    print(f"{'forward s':>11}{'backward s':>12}{'ms/frame':>10}")
    for row in timings:
        print(
            f"{row.backend:<10}{row.frames:>7}{row.gaussians_per_frame:>11}{row.size_px:>5}", end=""
        )
        print(f"{row.forward_s:>11.3f}{row.backward_s:>12.3f}{row.per_frame_ms:>10.1f}")
    speed_up = reference.per_frame_ms / portable.per_frame_ms
    is_met = portable.total_s < MAX_SECONDS and speed_up >= MIN_SPEED_UP
    print(
        f"portable, {options.threads} threads: {portable.total_s:.2f} s (budget {MAX_SECONDS} s), ",
        end="",
    )
    print(f"{speed_up:.0f} times the reference per frame (at least {MIN_SPEED_UP:.0f})")
    if options.json:
        rows = [{**dataclasses.asdict(row), "per_frame_ms": row.per_frame_ms} for row in timings]
        result = {"threads": options.threads, "speed_up": speed_up, "is_met": is_met, "runs": rows}
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    raise SystemExit(0 if is_met else 1)


if __name__ == "__main__":
    main()
