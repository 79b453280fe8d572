"""gsplat without a GPU: its real entry point on its PyTorch twins, and what stands in its way."""

import builtins
import importlib.util
import inspect
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from closefit.appearance.raster import gsplat, portable, rasterizer, reference
from closefit.appearance.raster.toolchain import Toolchain
from closefit.errors import DeviceError
from tests.unit.appearance.test_rasterizer import (
    FIELDS,
    HEIGHT,
    SCENES,
    WIDTH,
    camera,
    capped,
    changed,
    outputs,
    scene,
)

VALUE_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3
FLIPPED = 1e-3
"""Share of pixels that may differ more, where a cutoff falls differently."""


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The installed gsplat, with its CUDA kernels replaced by the PyTorch twins that it ships."""
    if importlib.util.find_spec("gsplat") is None:
        pytest.skip("gsplat is not installed (pip install 'closefit[cuda]')")
    import gsplat as package
    from gsplat import rendering
    from gsplat.cuda import _torch_impl as twins

    def project(
        means: Tensor, covars: None, quats: Tensor, scales: Tensor, viewmats: Tensor, Ks: Tensor,
        width: int, height: int, eps2d: float, near_plane: float, far_plane: float, **_: Any,
    ) -> tuple[Tensor | None, ...]:  # fmt: skip
        covars, _ = twins._quat_scale_to_covar_preci(quats, scales, compute_preci=False)
        return twins._fully_fused_projection(
            means, covars, viewmats, Ks, width, height, eps2d, near_plane, far_plane
        )

    def tiles(means2d: Tensor, radii: Tensor, depths: Tensor, size: int, wide: int, high: int,
              **_: Any) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        return twins._isect_tiles(means2d.detach(), radii, depths.detach(), size, wide, high)

    monkeypatch.setattr(rendering, "fully_fused_projection", project)
    monkeypatch.setattr(rendering, "isect_tiles", tiles)
    monkeypatch.setattr(rendering, "isect_offset_encode", twins._isect_offset_encode)
    monkeypatch.setattr(rendering, "rasterize_to_pixels", composite)
    return package


def composite(
    means2d: Tensor, conics: Tensor, colors: Tensor, opacities: Tensor, width: int, height: int,
    tile_size: int, isect_offsets: Tensor, flatten_ids: Tensor, **_: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """gsplat's compositing kernel in PyTorch, on the tile lists that its own code made.

    Its twin needs a CUDA kernel. The rules are those of RasterizeToPixels3DGSFwd.cu: cutoff at
    1/255, cap at 0.999, stop before the transmittance falls to 1e-4.
    """
    number, channels = means2d.shape[-2], colors.shape[-1]
    means2d, conics = means2d.reshape(-1, 2), conics.reshape(-1, 3)
    colors, opacities = colors.reshape(-1, channels), opacities.reshape(-1)
    images, rows, columns = isect_offsets.shape[0], *isect_offsets.shape[-2:]
    ends = [*isect_offsets.flatten().tolist()[1:], len(flatten_ids)]
    drawn = [[[None] * columns for _ in range(rows)] for _ in range(images)]
    for tile, (start, end) in enumerate(zip(isect_offsets.flatten().tolist(), ends, strict=True)):
        image, row, column = tile // (rows * columns), tile // columns % rows, tile % columns
        chosen = flatten_ids[start:end].long()
        assert ((chosen // number) == image).all()
        x = torch.arange(tile_size)[None, :] + column * tile_size + 0.5
        y = torch.arange(tile_size)[:, None] + row * tile_size + 0.5
        dx = means2d[chosen, 0, None, None] - x
        dy = means2d[chosen, 1, None, None] - y
        a, b, c = (conics[chosen, i, None, None] for i in range(3))
        power = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = (opacities[chosen, None, None] * torch.exp(-power)).clamp(max=0.999)
        alpha = torch.where((power >= 0) & (alpha >= 1 / 255), alpha, 0.0)
        after = torch.cumprod(1.0 - alpha, dim=0)
        before = torch.cat([torch.ones_like(after[:1]), after])[:-1]
        weight = torch.where(after > 1e-4, alpha * before, 0.0)
        values = torch.cat([colors[chosen], torch.ones(len(chosen), 1)], dim=-1)
        drawn[image][row][column] = torch.einsum("nyx,nc->yxc", weight, values)
    whole = torch.stack([torch.cat([torch.cat(row, 1) for row in image]) for image in drawn])
    whole = whole[:, None, :height, :width]
    return whole[..., :-1], whole[..., -1:]


def test_arguments_are_those_of_the_installed_version(real: ModuleType) -> None:
    calls: list[inspect.BoundArguments] = []
    signature = inspect.signature(real.rasterization)

    def rasterization(**arguments: Any) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        calls.append(signature.bind(**arguments))
        image = arguments["colors"].new_zeros(2, 1, HEIGHT, WIDTH, 6)
        return image, image[..., :1], {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real, "rasterization", rasterization)
        gsplat.render(scene(), camera(), WIDTH, HEIGHT)
    calls[0].apply_defaults()
    left_alone = calls[0].arguments
    assert left_alone["rasterize_mode"] == "classic"
    assert left_alone["camera_model"] == "pinhole"
    assert left_alone["radius_clip"] == 0.0
    assert not left_alone["with_ut"]


@pytest.mark.parametrize("name", SCENES)
def test_conventions_are_those_of_the_reference(real: ModuleType, name: str) -> None:
    gaussians, K = capped(SCENES[name][0]), SCENES[name][1]
    assert real.__version__.startswith("1.5")

    def draw(render: Callable[..., Any], precision: torch.dtype) -> tuple[list, list]:
        leaves = changed(gaussians, lambda tensor: tensor.to(precision).requires_grad_())
        drawn = outputs(render(leaves, K.to(precision), WIDTH, HEIGHT))
        random = torch.Generator().manual_seed(1)
        loss = sum((torch.randn(d.shape, generator=random) * d).sum() for d in drawn)
        return list(drawn), list(torch.autograd.grad(loss, leaves.tensors()))

    drawn, gradients = draw(gsplat.render, torch.float32)
    exact, exact_gradients = draw(reference.render, torch.float64)
    for value, true_value in zip(drawn, exact, strict=True):
        error = (value - true_value).abs() / true_value.abs().max()
        assert (error > VALUE_TOLERANCE).double().mean() <= FLIPPED
    for gradient, true_gradient in zip(gradients, exact_gradients, strict=True):
        error = (gradient - true_gradient).norm() / true_gradient.norm()
        assert error <= GRADIENT_TOLERANCE


def test_a_gaussian_that_is_not_finite_is_left_out(real: ModuleType) -> None:
    del real
    for field in FIELDS:
        broken = changed(capped(scene()), torch.clone)
        getattr(broken, field)[0, 7] = torch.nan
        drawn = gsplat.render(broken, camera(), WIDTH, HEIGHT)
        truth = reference.render(broken, camera(), WIDTH, HEIGHT)
        for value, true_value in zip(outputs(drawn), outputs(truth), strict=True):
            assert value.isfinite().all()
            torch.testing.assert_close(value, true_value, atol=1e-4, rtol=1e-3)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A machine with a GPU, gsplat and all that it needs; tests take parts of it away."""
    package = tmp_path / "gsplat"
    package.mkdir()
    made = SimpleNamespace(
        package=package, capability=(9, 0),
        tools=Toolchain(tmp_path / "bin/nvcc", "13.0", "g++", "12.2.0", "13.0"),
    )  # fmt: skip
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "cuda_runtime.h").touch()
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.setenv("CUDA_HOME", "restored after the test")
    monkeypatch.setenv("MAX_JOBS", "2")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    monkeypatch.setattr(gsplat, "package_folder", lambda: made.package)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: made.capability)
    monkeypatch.setattr(Toolchain, "find", classmethod(lambda _: made.tools))
    monkeypatch.setattr(gsplat, "_load", lambda: "")
    monkeypatch.setattr(gsplat, "_draw_once", lambda: "")
    gsplat.obstacle.cache_clear()
    rasterizer._warn_of_copies.cache_clear()
    yield made
    gsplat.obstacle.cache_clear()
    rasterizer._warn_of_copies.cache_clear()


def test_nothing_stands_in_the_way(machine: SimpleNamespace, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert rasterizer._choose("auto", is_cuda=True) is gsplat
        assert rasterizer._choose("auto", is_cuda=True) is gsplat
    (announced,) = (text for text in caplog.messages if "gsplat" in text)
    assert "compiling gsplat for this GPU, once: about 14 minutes on 2 cores" in announced
    gsplat.obstacle.cache_clear()
    caplog.clear()
    (machine.package / "csrc.so").touch()
    assert gsplat.obstacle() == ""
    assert not caplog.messages, "what is compiled needs no announcement"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"package": None}, "gsplat is not installed"),
        ({"tools": Toolchain(None, "", "g++", "12", "13.0")}, "install the CUDA toolkit 13.0"),
        (
            {"tools": Toolchain(Path("/x/bin/nvcc"), "12.8", "g++", "12", "13.0")},
            "PyTorch does not compile with nvcc 12.8",
        ),
        ({"capability": (6, 1)}, "too old for gsplat: compute capability 6.1, it needs 7.0"),
    ],
)
def test_each_obstacle_is_one_sentence_before_the_portable_rasteriser_takes_over(
    machine: SimpleNamespace, caplog, change: dict[str, Any], sentence: str
) -> None:
    machine.__dict__.update(change)
    with caplog.at_level(logging.WARNING):
        assert rasterizer._choose("auto", is_cuda=True) is portable
        assert rasterizer._choose("auto", is_cuda=True) is portable
    (message,) = caplog.messages
    assert sentence in message
    assert "Gaussians are drawn on the CPU" in message
    assert "\n" not in message
    with pytest.raises(DeviceError, match="`gsplat` cannot be used") as caught:
        rasterizer._choose("gsplat", is_cuda=True)
    assert sentence in caught.value.message
    assert caught.value.exit_code == 7


def test_a_failed_compilation_names_its_first_error(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Error building extension 'gsplat_cuda': [1/30] nvcc\nnvcc fatal: no such arch\n"
    real_import = builtins.__import__

    def failing(name: str, *rest: Any) -> Any:
        if name.startswith("gsplat"):
            raise RuntimeError(text)
        return real_import(name, *rest)

    monkeypatch.setenv("MAX_JOBS", "2")
    monkeypatch.setattr(builtins, "__import__", failing)
    found = gsplat._load()
    assert found.startswith("gsplat did not compile: `Error building extension 'gsplat_cuda'")
    assert "\n" not in found


def test_kernels_of_another_card_are_noticed_by_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    def render(*_: Any) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution\nCompile with")

    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *size, **_: ones(*size))
    monkeypatch.setattr(gsplat, "render", render)
    found = gsplat._draw_once()
    assert "`CUDA error: no kernel image is available for execution`" in found
    assert "delete `" in found


def test_a_wrapper_script_is_not_taken_for_the_toolkit(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("closefit.appearance.raster.toolchain.DEFAULT_HOME", tmp_path / "cuda")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvcc").touch()
    tools = Toolchain(tmp_path / "bin" / "nvcc", "13.0", "g++", "12", "13.0")
    (fix,) = tools.fixes()
    assert "set CUDA_HOME to the folder of the CUDA toolkit" in fix
    (tmp_path / "cuda" / "include").mkdir(parents=True)
    (tmp_path / "cuda" / "include" / "cuda_runtime.h").touch()
    assert tools.fixes() == []
    assert tools.home == tmp_path / "cuda"
