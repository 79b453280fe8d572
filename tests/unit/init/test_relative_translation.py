"""The relative translation of two people places a person without keypoints."""

import dataclasses

import pytest
import torch

from closefit.fit.weights import RELATIVE_TRANSLATION_SIGMA_M
from closefit.init.from_prior import PriorFit, fit_from_prior, hidden_share
from closefit.init.near_reference import relative_translation_loss
from closefit.init.prior_start import sample_start
from closefit.models.weights import PRIOR, locate
from closefit.prior.loading import load_prior
from tests.known_motion import FRAMES, KnownMotion


@pytest.fixture
def pelvis() -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    away = torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64)
    return away + torch.randn(6, 2, 3, generator=generator, dtype=torch.float64)


def loss(pelvis: torch.Tensor, reference: torch.Tensor, outlier: float = 4.0) -> torch.Tensor:
    return relative_translation_loss(
        pelvis, reference, torch.ones(len(pelvis), dtype=pelvis.dtype), outlier
    )


def test_it_is_zero_at_the_reference_and_in_a_scene_of_any_size(pelvis: torch.Tensor) -> None:
    for scale in (1.0, 0.7, 1.6):
        assert float(loss(scale * pelvis, pelvis)) < 1e-20


def test_it_counts_in_sigmas_at_the_reference_depth(pelvis: torch.Tensor) -> None:
    moved = pelvis.clone()
    moved[:, 0, 0] += 2.0 * RELATIVE_TRANSLATION_SIGMA_M  # across the view: depth stays
    assert float(loss(moved, pelvis, 1e6)) == pytest.approx(0.5 * 4.0)


def test_its_gradient_is_that_of_finite_differences(pelvis: torch.Tensor) -> None:
    off = (pelvis + 0.05 * torch.sin(torch.arange(36.0).reshape(6, 2, 3))).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: loss(p, pelvis), off)


def test_only_frames_with_trust_count(pelvis: torch.Tensor) -> None:
    trust = torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    off = (pelvis + 0.03).detach()
    off[:, 0] += 0.05
    off.requires_grad_()
    relative_translation_loss(off, pelvis, trust, 4.0).backward()
    assert torch.equal(off.grad.abs().sum((1, 2)) > 0, trust > 0)


def test_the_share_grows_as_the_worse_seen_person_vanishes(known: KnownMotion) -> None:
    weight = torch.ones(FRAMES, 2, 17)
    weight[1, 0, :8] = 0.0  # just over half are left
    weight[2, 1, :13] = 0.0
    weight[3, 1] = 0.0
    share = hidden_share(dataclasses.replace(known.targets, weight=weight))
    expected = torch.zeros(FRAMES)
    expected[2], expected[3] = 1.0 - 2.0 * 4 / 17, 1.0
    torch.testing.assert_close(share, expected)


def test_a_person_who_is_never_seen_stays_where_the_prior_places_them(known: KnownMotion) -> None:
    weight = known.targets.weight.clone()
    weight[:, 1] = 0.0
    targets = dataclasses.replace(
        known.targets, weight=weight, seen=known.targets.seen & (weight > 0).any(-1)
    )
    network = load_prior(locate(PRIOR))[0]
    settings = PriorFit(samples=2, steps=100)
    expected, _ = sample_start(network, known.body, targets, settings.samples, settings.seed)
    fit = fit_from_prior(known.body, targets, known.prior, network, settings, lambda *_: None)
    pelvis = fit.variables.pelvis().detach()
    scale = expected.pelvis_m[..., 2].mean() / pelvis[..., 2].mean()
    found, target = (p[:, 0] - p[:, 1] for p in (scale * pelvis, expected.pelvis_m))
    assert float((found - target).norm(dim=-1).mean()) < 0.05
