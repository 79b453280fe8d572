"""The choice of the device, repeatability, and running out of memory."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from closefit.errors import DeviceError
from closefit.pipeline import device


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("there", "expected"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_what_is_there(
    monkeypatch: pytest.MonkeyPatch, there: bool, expected: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (8, 0))
    monkeypatch.setattr("torch.cuda.get_arch_list", lambda: ["sm_80", "sm_90", "compute_120"])
    assert device.choose("auto") == expected
    assert device.choose("cpu") == "cpu"


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError, match="finds no CUDA device") as error:
        device.choose("cuda")
    assert "closefit doctor" in error.value.hint


def test_a_card_that_is_too_old_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (6, 1))
    monkeypatch.setattr("torch.cuda.get_arch_list", lambda: ["sm_75", "sm_120", "compute_120"])
    assert device.choose("auto") == "cpu"
    (said,) = caplog.messages
    assert "compute capability 6.1, it needs 7.5; everything runs on the CPU" in said
    with pytest.raises(DeviceError, match="too old for PyTorch") as error:
        device.choose("cuda")
    assert error.value.exit_code == 7


@pytest.mark.parametrize("asked", ["get_device_capability", "get_device_name"])
def test_a_driver_that_does_not_answer_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    def gone(*_: object) -> None:
        raise RuntimeError("CUDA driver initialization failed, you might not have a GPU.\nMore")

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(f"torch.cuda.{asked}", gone)
    with pytest.raises(DeviceError, match="the GPU stopped working: `CUDA driver init") as error:
        device.describe(device.choose("auto"))
    assert "\n" not in error.value.message


def test_the_same_seed_gives_the_same_numbers_everywhere() -> None:
    draws = []
    for _ in range(2):
        device.prepare(seed=3)
        draws.append((random.random(), np.random.random(), torch.rand(()).item()))  # noqa: NPY002
    assert draws[0] == draws[1]


def test_sums_by_index_repeat_bit_for_bit() -> None:
    device.prepare(seed=0)
    values = torch.randn(200_000)
    places = torch.randint(0, 50, (200_000,))
    sums = [
        torch.zeros(50).index_put_((places,), values, accumulate=True).numpy() for _ in range(5)
    ]
    for other in sums[1:]:
        np.testing.assert_array_equal(other, sums[0])


def test_the_thread_count_can_be_set_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    device.prepare(seed=0)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_running_out_of_memory_has_a_hint(error: Exception) -> None:
    def work() -> None:
        with device.memory_guard("cuda"):
            raise error

    with pytest.raises(DeviceError, match="`cuda` ran out of memory") as raised:
        work()
    assert "--preset draft" in raised.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: unspecified launch failure\nCompile with",
        "CUDA driver initialization failed",
        "CUDA unknown error - this may be due to an incorrectly set up environment",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "NVML_SUCCESS == r INTERNAL ASSERT FAILED",
    ],
)
def test_a_gpu_that_disappears_is_one_sentence(text: str) -> None:
    def work() -> None:
        with device.memory_guard("cuda"):
            raise RuntimeError(text)

    with pytest.raises(DeviceError, match="the GPU stopped working") as raised:
        work()
    assert raised.value.exit_code == 7
    assert "\n" not in raised.value.message
    assert "run the same command again" in raised.value.hint


@pytest.mark.parametrize("where", ["cuda", "cpu"])
def test_other_errors_stay_what_they_are(where: str) -> None:
    with pytest.raises(RuntimeError, match="shapes do not fit"), device.memory_guard(where):
        raise RuntimeError("shapes do not fit")
