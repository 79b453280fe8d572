"""A step of the joint optimisation never waits for the GPU, seen without one.

Every operation of a step passes a detector of those that make the host wait on CUDA: values
read by Python, results whose size depends on values, and constants copied to the device. The
rasteriser and the search for penetration are replaced: they run compiled code of their own.
"""

import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from closefit.appearance.raster.gaussians import Gaussians, Render
from closefit.geometry import penetration
from closefit.geometry.penetration import _Hits
from closefit.optimize import objective as objective_module
from closefit.optimize.objective import CroppedFrames
from tests.known_motion import KnownMotion
from tests.unit.optimize.test_loop import _loop, crops  # noqa: F401 - a fixture

WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "unique2", "_unique2", "equal",
           "is_nonzero", "unique_consecutive", "bincount"}  # fmt: skip
COPYING = {"lift_fresh"}
"""What `torch.tensor(...)` of Python numbers calls: on CUDA, a copy that the host waits for."""


class WaitDetector(TorchDispatchMode):
    """Counts the operations for which the host would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1]
        if name in WAITING | COPYING or (name.startswith("index") and _has_mask(args)):
            self.found[f"{name} at {_place()}"] += 1
        return func(*args, **(kwargs or {}))


def _place() -> str:
    """Line of closefit that called, or `autograd` for what has none."""
    frames = [f for f in traceback.extract_stack() if "/closefit/" in f.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "autograd"


def _has_mask(args: tuple[Any, ...]) -> bool:
    lists = [arg for arg in args if isinstance(arg, (list, tuple))]
    tensors = [entry for entries in lists for entry in entries if isinstance(entry, Tensor)]
    return any(tensor.dtype in (torch.bool, torch.uint8) for tensor in tensors)


@pytest.mark.parametrize(
    "waits",
    [
        lambda values: values.sum().item(),
        lambda values: bool((values > 0).any()),
        lambda values: values[values > 0],
        lambda values: torch.nonzero(values),
        lambda values: values + torch.tensor([1.0, 2.0]),
    ],
)
def test_the_detector_sees_what_waits(waits: Any) -> None:
    with WaitDetector() as detector:
        waits(torch.ones(2))
    assert detector.found


def test_the_detector_sees_nothing_in_what_does_not_wait() -> None:
    values, mask = torch.ones(2, requires_grad=True), torch.tensor([True, False])
    chosen = torch.tensor([1, 0])
    with WaitDetector() as detector:
        torch.where(mask, values, 0.0)[chosen].sum().backward()
    assert not detector.found


@pytest.fixture
def drawn_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Frames of every call of the rasteriser, which here draws nothing but keeps gradients."""
    calls: list[int] = []

    def rasterize(gaussians: Gaussians, K: Tensor, width: int, height: int) -> Render:
        frames = max(len(gaussians.means), len(K))
        calls.append(frames)
        mean = gaussians.features.mean(1) + 0.0 * gaussians.means.mean((1, 2))[:, None]
        image = mean[:, None, None].expand(frames, height, width, -1)
        return Render(features=image, alpha=image[..., 0], depth=image[..., 1])

    def find_nearest(points: Tensor, *_: Any, **__: Any) -> _Hits:
        number = torch.arange(points.shape[0] * points.shape[1])
        body, point = number // points.shape[1], number % points.shape[1]
        nothing = torch.zeros(len(number), 3)
        return _Hits(body, point, torch.zeros_like(number), nothing, nothing[:, 0])

    monkeypatch.setattr(objective_module, "rasterize", rasterize)
    monkeypatch.setattr(penetration, "_find_nearest", find_nearest)
    return calls


@pytest.mark.parametrize("phase", ["appearance", "joint"])
def test_a_step_never_waits_and_draws_once(
    known: KnownMotion,
    crops: CroppedFrames,  # noqa: F811 - the fixture
    drawn_calls: list[int],
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
) -> None:
    loop = _loop(known, crops)
    monkeypatch.setattr(loop, "_read_every", 1_000_000)
    # Adam counts its steps on the host.
    monkeypatch.setattr(loop._optimizer, "step", lambda: None)
    while loop.phase != phase:
        loop.step()
    loop.step()  # constants are copied once
    drawn_calls.clear()
    with WaitDetector() as detector:
        loop.step()
    assert not detector.found
    assert len(drawn_calls) == 1
