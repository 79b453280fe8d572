"""Pixels that stay in files reach a GPU from pinned memory, and the host waits for nothing."""

from typing import Any

import pytest
import torch

from closefit.optimize.objective import CroppedFrames


@pytest.fixture
def crops() -> CroppedFrames:
    """Five frames: pixels on the host, the rest on a device without values, as a GPU's here."""
    generator = torch.Generator().manual_seed(0)
    return CroppedFrames(
        images=torch.randint(0, 255, (5, 4, 6, 3), generator=generator, dtype=torch.uint8),
        masks=torch.randint(0, 255, (5, 4, 6), generator=generator, dtype=torch.uint8),
        masked=torch.ones(5, dtype=torch.bool, device="meta"),
        K=torch.ones(5, 3, 3, device="meta"),
    )


def test_they_are_pinned_and_not_waited_for(
    crops: CroppedFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned, moves = [], []
    empty, to = torch.empty, torch.Tensor.to

    def allocate(*size: Any, pin_memory: bool = False, **options: Any) -> torch.Tensor:
        block = empty(*size, **options)
        if pin_memory:  # needs a GPU's driver
            pinned.append(block)
        return block

    def move(values: torch.Tensor, device: torch.device, **options: Any) -> torch.Tensor:
        moves.append((values, torch.device(device), options))
        return to(values, device, **options)

    monkeypatch.setattr(torch, "empty", allocate)
    monkeypatch.setattr(torch.Tensor, "to", move)
    # A tensor without values cannot be read: the host does not wait for these.
    cut = crops.cut(torch.zeros(2, dtype=torch.int64, device="meta"), [3, 1])
    for values, expected, (moved, device, options) in zip(
        pinned, (crops.images, crops.masks), moves, strict=True
    ):
        assert moved is values
        assert torch.equal(values, expected[[3, 1]])
        assert device.type == "meta"
        assert options == {"non_blocking": True}
    assert cut.images.shape == (2, 4, 6, 3)
    assert cut.masks.shape == (2, 4, 6)
    assert len(cut.K) == len(cut.masked) == 2


def test_on_one_device_nothing_is_copied_twice(crops: CroppedFrames) -> None:
    here = CroppedFrames(
        crops.images, crops.masks, torch.ones(5, dtype=torch.bool), torch.ones(5, 3, 3)
    )
    cut = here.cut(torch.tensor([4, 0]))
    assert torch.equal(cut.images, crops.images[[4, 0]])
    assert torch.equal(cut.masks, crops.masks[[4, 0]])
