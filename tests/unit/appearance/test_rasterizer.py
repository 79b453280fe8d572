"""Laws of the rasterisers: the formulas, agreement, invariances, determinism, robustness."""

import dataclasses
import math
from collections.abc import Callable

import jaxtyping
import pytest
import torch
from torch import Tensor

from closefit.appearance.raster import gsplat
from closefit.appearance.raster.conventions import MAX_ALPHA, MIN_ALPHA
from closefit.appearance.raster.gaussians import Gaussians, Render
from closefit.appearance.raster.rasterizer import RasterBackend, rasterize
from closefit.errors import DeviceError

WIDTH, HEIGHT = 37, 26
FIELDS = [field.name for field in dataclasses.fields(Gaussians)]
BACKENDS: tuple[RasterBackend, ...] = ("portable", "reference")
both = pytest.mark.parametrize("backend", BACKENDS)


def camera(cx: float = WIDTH / 2, cy: float = HEIGHT / 2, focal: float = 40.0) -> Tensor:
    return torch.tensor([[[focal, 0.0, cx], [0.0, 1.1 * focal, cy], [0.0, 0.0, 1.0]]])


def scene(frames: int = 2, number: int = 50, seed: int = 0, channels: int = 5) -> Gaussians:
    """Overlapping Gaussians of all shapes around the axis; only the means depend on the frame."""
    random = torch.Generator().manual_seed(seed)
    spread = torch.tensor([0.4, 0.3, 0.5])
    means = torch.randn(frames, number, 3, generator=random) * spread
    return Gaussians(
        means=means + torch.tensor([0.0, 0.0, 2.5]),
        quat_wxyz=torch.randn(1, number, 4, generator=random),
        scales=0.01 * torch.exp(2.5 * torch.rand(1, number, 3, generator=random)),
        opacities=torch.rand(1, number, generator=random),
        features=torch.rand(1, number, channels, generator=random),
    )


def one(
    sigma_m: float = 0.1, opacity: float = 0.7, depths: tuple[float, ...] = (2.0,)
) -> Gaussians:
    """Spheres on the optical axis."""
    number = len(depths)
    means = torch.zeros(1, number, 3)
    means[0, :, 2] = torch.tensor(depths)
    return Gaussians(
        means=means,
        quat_wxyz=torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(1, number, 1),
        scales=torch.full((1, number, 3), sigma_m),
        opacities=torch.full((1, number), opacity),
        features=torch.linspace(0.2, 1.0, number)[None, :, None],
    )


def changed(gaussians: Gaussians, change: Callable[[Tensor], Tensor]) -> Gaussians:
    return Gaussians(**{name: change(getattr(gaussians, name)) for name in FIELDS})


def outputs(render: Render) -> tuple[Tensor, Tensor, Tensor]:
    return render.features, render.alpha, render.depth


def draw_with_gradients(
    gaussians: Gaussians, K: Tensor, backend: RasterBackend, seed: int = 1
) -> tuple[Render, list[Tensor]]:
    leaves = changed(gaussians, lambda tensor: tensor.detach().clone().requires_grad_())
    render = rasterize(leaves, K, WIDTH, HEIGHT, backend=backend)
    random = torch.Generator().manual_seed(seed)
    loss = sum(
        (torch.randn(output.shape, generator=random).to(output) * output).sum()
        for output in outputs(render)
    )
    assert isinstance(loss, Tensor)
    return render, list(torch.autograd.grad(loss, [getattr(leaves, name) for name in FIELDS]))


def moved(gaussians: Gaussians, offset: list[float]) -> Gaussians:
    return dataclasses.replace(gaussians, means=gaussians.means + torch.tensor(offset))


def scaled(gaussians: Gaussians, factors: list[float]) -> Gaussians:
    return dataclasses.replace(gaussians, scales=gaussians.scales * torch.tensor(factors))


def capped(gaussians: Gaussians) -> Gaussians:
    """No opacity at the cap: gsplat's own cap is another, so it draws such Gaussians thinner."""
    return dataclasses.replace(gaussians, opacities=0.98 * gaussians.opacities)


SCENES = {
    "overlapping": (scene(seed=1), camera()),
    "needles and discs": (scaled(scene(seed=2), [8.0, 1.0, 0.01]), camera()),
    "partly behind the camera": (moved(scene(seed=3), [0.0, 0.0, -2.4]), camera()),
    "partly out of the image": (moved(scene(seed=4), [0.9, -0.6, 0.0]), camera()),
    "principal point far off": (scene(seed=5), camera(cx=50.0, cy=-3.0)),
    "long focal length": (scene(seed=6), camera(focal=400.0)),
    "opaque": (dataclasses.replace(scene(seed=7), opacities=torch.ones(1, 50)), camera()),
    "a camera per frame": (scene(seed=8), torch.cat([camera(), camera(cx=12.0, focal=55.0)])),
    "one feature": (scene(seed=9, channels=1), camera()),
}


@pytest.mark.parametrize("name", SCENES)
def test_portable_agrees_with_reference(name: str) -> None:
    gaussians, K = SCENES[name]
    drawn, gradients = draw_with_gradients(gaussians, K, "portable")
    exact = changed(gaussians, lambda tensor: tensor.double())
    truth, true_gradients = draw_with_gradients(exact, K.double(), "reference")
    for value, true_value in zip(outputs(drawn), outputs(truth), strict=True):
        error = (value - true_value).abs() / true_value.abs().max()
        # At a cutoff, rounding may decide whether a pixel gets a contribution.
        assert (error > 1e-4).double().mean() <= 1e-3
        assert error.max() < 2 * MIN_ALPHA
    for field, gradient, true_gradient in zip(FIELDS, gradients, true_gradients, strict=True):
        error = (gradient - true_gradient).abs().max() / true_gradient.abs().max()
        assert error < 1e-3, field


def test_reference_passes_gradcheck() -> None:
    start = changed(scene(frames=1, number=6, seed=3), lambda tensor: tensor.double())
    leaves = [getattr(start, name).requires_grad_() for name in FIELDS]
    K = torch.tensor([[[8.0, 0.0, 3.2], [0.0, 9.0, 2.4], [0.0, 0.0, 1.0]]], dtype=torch.float64)

    def draw(*tensors: Tensor) -> tuple[Tensor, ...]:
        return outputs(rasterize(Gaussians(*tensors), K, 6, 5, backend="reference"))

    assert torch.autograd.gradcheck(draw, leaves)


@both
def test_one_sphere_is_the_formula(backend: RasterBackend) -> None:
    focal, sigma_m, depth_m, opacity = 40.0, 0.1, 2.0, 0.7
    K = camera(focal=focal)
    render = rasterize(one(sigma_m, opacity, (depth_m,)), K, WIDTH, HEIGHT, backend=backend)
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    variance_x = (focal * sigma_m / depth_m) ** 2 + 0.3
    variance_y = (1.1 * focal * sigma_m / depth_m) ** 2 + 0.3
    distance = (x - WIDTH / 2) ** 2 / variance_x + (y - HEIGHT / 2) ** 2 / variance_y
    alpha = opacity * torch.exp(-0.5 * distance)
    alpha = torch.where(alpha < MIN_ALPHA, 0.0, alpha)
    torch.testing.assert_close(render.alpha[0], alpha, atol=1e-5, rtol=0)
    torch.testing.assert_close(render.features[0, ..., 0], 0.2 * alpha, atol=1e-5, rtol=0)
    torch.testing.assert_close(render.depth[0], depth_m * alpha, atol=1e-5, rtol=0)


@both
def test_the_nearer_hides_the_farther(backend: RasterBackend) -> None:
    render = rasterize(one(10.0, 0.7, (3.0, 2.0)), camera(), WIDTH, HEIGHT, backend=backend)
    y, x = HEIGHT // 2, WIDTH // 2
    near, far = 0.7, 0.3 * 0.7
    assert render.alpha[0, y, x].item() == pytest.approx(near + far, abs=1e-3)
    assert render.features[0, y, x, 0].item() == pytest.approx(1.0 * near + 0.2 * far, abs=1e-3)
    assert render.depth[0, y, x].item() == pytest.approx(2.0 * near + 3.0 * far, abs=5e-3)


@both
def test_alpha_is_capped(backend: RasterBackend) -> None:
    render = rasterize(one(10.0, 1.0), camera(), WIDTH, HEIGHT, backend=backend)
    assert render.alpha.max().item() == pytest.approx(MAX_ALPHA, abs=1e-6)


@both
def test_a_pixel_is_finished_before_its_light_falls_under_the_limit(backend: RasterBackend) -> None:
    """0.2**5 is above 1e-4 and 0.2**6 is not: the sixth and all behind it are left out."""
    depths = tuple(2.0 + 0.1 * i for i in range(10))
    render = rasterize(one(100.0, 0.8, depths), camera(), WIDTH, HEIGHT, backend=backend)
    assert render.alpha[0, 13, 18].item() == pytest.approx(1.0 - 0.2**5, abs=1e-5)


@both
def test_order_of_gaussians_does_not_matter(backend: RasterBackend) -> None:
    gaussians = scene()
    order = torch.randperm(gaussians.means.shape[1])
    shuffled = changed(gaussians, lambda tensor: tensor[:, order])
    drawn, gradients = draw_with_gradients(gaussians, camera(), backend)
    drawn_shuffled, gradients_shuffled = draw_with_gradients(shuffled, camera(), backend)
    for value, value_shuffled in zip(outputs(drawn), outputs(drawn_shuffled), strict=True):
        torch.testing.assert_close(value, value_shuffled)
    for gradient, gradient_shuffled in zip(gradients, gradients_shuffled, strict=True):
        torch.testing.assert_close(gradient[:, order], gradient_shuffled)


@both
def test_moving_the_principal_point_shifts_the_image(backend: RasterBackend) -> None:
    gaussians = scaled(scene(), [0.5, 0.5, 0.5])
    still = rasterize(gaussians, camera(), WIDTH, HEIGHT, backend=backend)
    shifted_K = camera(cx=WIDTH / 2 + 5, cy=HEIGHT / 2 - 3)
    shifted = rasterize(gaussians, shifted_K, WIDTH, HEIGHT, backend=backend)
    torch.testing.assert_close(
        still.features[:, 3:, :-5], shifted.features[:, :-3, 5:], atol=1e-4, rtol=0
    )


@both
def test_one_row_for_all_frames_equals_copies(backend: RasterBackend) -> None:
    # More frames than the portable rasteriser has blocks; the reference would take long.
    frames = 20 if backend == "portable" else 2
    gaussians = scene(frames)
    copies = changed(gaussians, lambda tensor: tensor.expand(frames, *tensor.shape[1:]))
    drawn, gradients = draw_with_gradients(gaussians, camera(), backend)
    drawn_copies, gradients_copies = draw_with_gradients(copies, camera(), backend)
    for value, value_copies in zip(outputs(drawn), outputs(drawn_copies), strict=True):
        torch.testing.assert_close(value, value_copies, atol=0, rtol=0)
    for name, gradient, gradient_copies in zip(FIELDS, gradients, gradients_copies, strict=True):
        assert gradient.shape == getattr(gaussians, name).shape
        summed = gradient_copies.sum_to_size(gradient.shape)
        torch.testing.assert_close(gradient, summed, atol=1e-3, rtol=1e-3)


@both
def test_one_set_of_gaussians_through_several_cameras(backend: RasterBackend) -> None:
    K = torch.cat([camera(), camera(focal=30.0), camera(cx=10.0)])
    gaussians = scene(frames=1)
    together, gradients = draw_with_gradients(gaussians, K, backend)
    assert [len(gradient) for gradient in gradients] == [1] * len(FIELDS)
    for frame in range(3):
        alone = rasterize(gaussians, K[frame : frame + 1], WIDTH, HEIGHT, backend=backend)
        torch.testing.assert_close(together.features[frame], alone.features[0], atol=0, rtol=0)


@both
@pytest.mark.parametrize("where", ["no Gaussians", "behind the camera", "out of the image"])
def test_nothing_to_draw_shows_the_background(backend: RasterBackend, where: str) -> None:
    gaussians = scene(number=0 if where == "no Gaussians" else 50)
    if where != "no Gaussians":
        gaussians = moved(gaussians, [0.0, 0.0, -9.0] if "behind" in where else [90.0, 0.0, 0.0])
    background = torch.tensor([0.1, 0.2, 0.3, 0.0, 0.5])
    leaves = changed(gaussians, lambda tensor: tensor.clone().requires_grad_())
    render = rasterize(leaves, camera(), WIDTH, HEIGHT, background, backend=backend)
    torch.testing.assert_close(render.features, background.expand(2, HEIGHT, WIDTH, 5))
    assert render.alpha.abs().max() == 0
    assert render.depth.abs().max() == 0
    render.features.sum().backward()
    assert all(getattr(leaves, name).grad.abs().sum() == 0 for name in FIELDS)


@both
def test_background_shines_through(backend: RasterBackend) -> None:
    background = torch.rand(5, requires_grad=True)
    black = rasterize(scene(), camera(), WIDTH, HEIGHT, backend=backend)
    render = rasterize(scene(), camera(), WIDTH, HEIGHT, background, backend=backend)
    through = (1.0 - black.alpha[..., None]) * background
    torch.testing.assert_close(render.features, black.features + through)
    (gradient,) = torch.autograd.grad(render.features.sum(), background)
    torch.testing.assert_close(gradient, (1.0 - black.alpha).sum().expand(5))


@both
def test_identity_channels_sum_to_alpha(backend: RasterBackend) -> None:
    gaussians = scene(number=60, channels=2)
    person = torch.eye(2).repeat_interleave(30, dim=0)[None]
    render = rasterize(
        dataclasses.replace(gaussians, features=person), camera(), WIDTH, HEIGHT, backend=backend
    )
    torch.testing.assert_close(render.features.sum(dim=-1), render.alpha, atol=1e-6, rtol=0)
    assert render.alpha.min() >= 0
    assert render.alpha.max() <= 1


@both
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gaussian_that_is_not_finite_is_left_out(
    backend: RasterBackend, field: str, bad: float
) -> None:
    gaussians = scene()
    broken = changed(gaussians, torch.clone)
    last = (slice(None), 7) if field == "opacities" else (slice(None), 7, -1)
    getattr(broken, field)[last] = bad
    rest = torch.arange(50) != 7
    drawn, gradients = draw_with_gradients(broken, camera(), backend)
    without = changed(gaussians, lambda tensor: tensor[:, rest])
    drawn_without, gradients_without = draw_with_gradients(without, camera(), backend)
    for value, value_without in zip(outputs(drawn), outputs(drawn_without), strict=True):
        torch.testing.assert_close(value, value_without, atol=1e-6, rtol=0)
    for gradient, gradient_without in zip(gradients, gradients_without, strict=True):
        assert gradient[:, 7].abs().sum() == 0
        torch.testing.assert_close(gradient[:, rest], gradient_without)


def test_extreme_sizes_do_not_crash() -> None:
    gaussians = scene(number=60)
    sizes = 10.0 ** torch.linspace(-30, 30, 60)
    render, _ = draw_with_gradients(
        dataclasses.replace(gaussians, scales=sizes[None, :, None].repeat(1, 1, 3)),
        camera(),
        "portable",
    )
    assert all(torch.isfinite(output).all() for output in outputs(render))


def test_portable_repeats_bit_for_bit_on_any_number_of_threads() -> None:
    gaussians, before = scene(frames=20), torch.get_num_threads()
    runs = []
    try:
        for threads in (2, 2, 1, 3):
            torch.set_num_threads(threads)
            render, gradients = draw_with_gradients(gaussians, camera(), "portable")
            runs.append([*outputs(render), *gradients])
    finally:
        torch.set_num_threads(before)
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(run, runs[0], strict=True))


def test_precision_of_the_caller_is_kept() -> None:
    exact = changed(scene(), lambda tensor: tensor.double())
    render, gradients = draw_with_gradients(exact, camera().double(), "portable")
    assert {tensor.dtype for tensor in (*outputs(render), *gradients)} == {torch.float64}


def test_without_a_required_gradient_there_is_no_backward_pass() -> None:
    with torch.no_grad():
        render = rasterize(scene(), camera(), WIDTH, HEIGHT)
    assert not render.features.requires_grad


def test_tensors_that_do_not_fit_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users run without the type checker of the tests; compiled code must not get these."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    gaussians = changed(scene(frames=1), lambda tensor: tensor.repeat_interleave(3, dim=0))
    for name in FIELDS:
        for wrong in (getattr(gaussians, name)[:, :-1], getattr(gaussians, name)[:2]):
            with pytest.raises(ValueError, match="do not fit together"):
                dataclasses.replace(gaussians, **{name: wrong})
    with pytest.raises(ValueError, match="`K` is for 2 frames, the Gaussians are for 3"):
        rasterize(gaussians, camera().repeat(2, 1, 1), WIDTH, HEIGHT)


def test_gsplat_is_refused_where_it_cannot_run() -> None:
    with pytest.raises(DeviceError, match="`gsplat` cannot be used") as caught:
        rasterize(scene(), camera(), WIDTH, HEIGHT, backend="gsplat")
    assert "CUDA" in caught.value.hint


@pytest.mark.gpu
@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("backend", ["gsplat", "portable"])
def test_on_a_gpu_all_agree_with_the_reference(backend: RasterBackend, name: str) -> None:
    if backend == "gsplat" and gsplat.obstacle():
        pytest.skip(gsplat.obstacle())
    gaussians, K = capped(SCENES[name][0]), SCENES[name][1]
    on_gpu = changed(gaussians, lambda tensor: tensor.cuda())
    drawn, gradients = draw_with_gradients(on_gpu, K.cuda(), backend)
    exact = changed(gaussians, lambda tensor: tensor.double())
    truth, true_gradients = draw_with_gradients(exact, K.double(), "reference")
    for value, true_value in zip(outputs(drawn), outputs(truth), strict=True):
        error = (value.cpu() - true_value).abs() / true_value.abs().max()
        assert (error > 1e-4).double().mean() <= 1e-3
    for gradient, true_gradient in zip(gradients, true_gradients, strict=True):
        assert (gradient.cpu() - true_gradient).norm() <= 1e-3 * true_gradient.norm()
