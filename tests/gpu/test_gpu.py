"""What only a CUDA device can show; skipped with a reason elsewhere."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from closefit.appearance.raster import gsplat
from closefit.appearance.raster.rasterizer import RasterBackend
from closefit.body.model import Body
from closefit.geometry.penetration import PenetrationProxy
from closefit.perception.detectors.sam2 import Sam2Segmenter
from closefit.perception.detectors.vitpose import VitPoseEstimator
from tests.unit.appearance.test_rasterizer import camera, changed, draw_with_gradients, scene
from tests.unit.perception.detectors.snapshots import save_sam2, save_vitpose

pytestmark = pytest.mark.gpu
BODY = Path(__file__).resolve().parents[2] / "weights" / "closefit_body.npz"
BOXES = np.array([[10.0, 10.0, 50.0, 90.0], [60.0, 20.0, 110.0, 100.0]])
PICTURES = [
    np.random.default_rng(seed).integers(0, 255, (120, 160, 3)).astype(np.uint8) for seed in (0, 1)
]


def penetrating() -> tuple[PenetrationProxy, Tensor]:
    """A proxy, and two people in the same pose who overlap more from frame to frame."""
    body = Body.load(BODY)
    proxy = PenetrationProxy.create(
        body.v_template, body.faces, 1000, vertex_parts=body.weights.argmax(dim=-1)
    )
    offset = torch.zeros(3, 2, 1, 3)
    offset[:, 1, 0, 0] = torch.tensor([0.5, 0.3, 0.2])
    return proxy, body.v_template[proxy.vertex_indices] + offset


def penetration(device: str) -> tuple[Tensor, Tensor]:
    proxy, vertices = penetrating()
    moved = {f.name: getattr(proxy, f.name).to(device) for f in dataclasses.fields(proxy)}
    leaf = vertices.to(device).requires_grad_()
    loss = PenetrationProxy(**moved).loss(leaf)
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach().cpu(), gradient.cpu()


def test_penetration_is_that_of_the_cpu() -> None:
    (loss, gradient), (true_loss, true_gradient) = penetration("cuda"), penetration("cpu")
    assert true_loss > 0
    torch.testing.assert_close(loss, true_loss, rtol=1e-4, atol=0.0)
    # A few points are as near to one face as to another: rounding decides where those push.
    assert ((gradient - true_gradient).abs() > 1e-5).double().mean() < 2e-3


def test_penetration_repeats_bit_for_bit() -> None:
    assert torch.equal(penetration("cuda")[0], penetration("cuda")[0])


@pytest.mark.parametrize("backend", ["gsplat", "portable"])
def test_pictures_repeat_bit_for_bit(backend: RasterBackend) -> None:
    """Gradients of gsplat are sums in no fixed order: they repeat up to rounding only."""
    if backend == "gsplat" and gsplat.obstacle():
        pytest.skip(gsplat.obstacle())
    gaussians = changed(scene(frames=8), lambda tensor: tensor.cuda())
    runs = [draw_with_gradients(gaussians, camera().cuda(), backend) for _ in range(2)]
    (first, gradients), (second, again) = runs
    assert torch.equal(first.features, second.features)
    for one, other in zip(gradients, again, strict=True):
        if backend == "portable":
            assert torch.equal(one, other)
        assert (one - other).norm() <= 1e-5 * one.norm()


def test_vitpose_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = save_vitpose(tmp_path, 1)
    half, exact = (
        VitPoseEstimator(folder, device).estimate(PICTURES, [BOXES, BOXES])
        for device in ("cuda", "cpu")
    )
    for keypoints, true_keypoints in zip(half, exact, strict=True):
        assert np.isfinite(keypoints).all()
        np.testing.assert_allclose(keypoints[..., 2], true_keypoints[..., 2], atol=0.02)


def test_sam2_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = save_sam2(tmp_path / "sam2.1-hiera-tiny")
    frames = [PICTURES[0]] * 4
    boxes = np.full((4, 2, 4), np.nan)
    boxes[0] = BOXES
    unknown = np.full_like(boxes, np.nan)
    half, exact = (
        np.stack(list(Sam2Segmenter(folder, device).follow(frames, boxes, unknown)))
        for device in ("cuda", "cpu")
    )
    assert half.shape == exact.shape
    assert (half == exact).mean() > 0.95


@pytest.fixture
def waits_seen() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")


def test_penetration_does_not_wait(waits_seen: None) -> None:
    del waits_seen
    proxy, vertices = penetrating()
    moved = {f.name: getattr(proxy, f.name).cuda() for f in dataclasses.fields(proxy)}
    on_gpu, leaf = PenetrationProxy(**moved), vertices.cuda().requires_grad_()
    on_gpu.loss(leaf)  # compiles
    torch.cuda.set_sync_debug_mode("error")
    on_gpu.loss(leaf).backward()
