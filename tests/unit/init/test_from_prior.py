"""The prior that ships begins a fit: from keypoints alone, and from another tool's people."""

import dataclasses

import numpy as np
import pytest
import roma
import torch

from closefit.body.stature import Stature
from closefit.fit.prior_clip import keypoints_at
from closefit.fit.targets import KeypointTargets
from closefit.fit.weights import MEAN_STATURE_M
from closefit.init.clip_fit import ClipFit
from closefit.init.from_estimate import fit_from_estimate
from closefit.init.from_prior import PriorFit, fit_from_prior, fit_pair
from closefit.models.weights import PRIOR, locate
from closefit.prior.loading import load_prior
from closefit.prior.network import Denoiser
from closefit.prior.sampling import ClipSampler
from closefit.records import PersonEstimates
from tests.known_motion import KnownMotion, mpjpe_m
from tests.unit.init.test_from_estimate import estimate_of, hide, joints_of, without

SETTINGS = PriorFit(samples=2, steps=150)
HIDDEN = slice(3, 9)


@pytest.fixture(scope="module")
def network() -> Denoiser:
    return load_prior(locate(PRIOR))[0]


def trembling(known: KnownMotion) -> PersonEstimates:
    """A tool's result that is off by some degrees, much the same in all frames."""
    generator = np.random.default_rng(0)
    axes = 0.12 * generator.normal(size=(1, 2, 24, 3)) * np.ones((len(known.joints), 1, 1, 1))
    off = roma.rotvec_to_rotmat(torch.tensor(axes)).float()
    estimates = estimate_of(known)
    rotations = torch.as_tensor(estimates.rotations) @ off
    return dataclasses.replace(estimates, rotations=rotations.numpy())


def pair(
    known: KnownMotion, network: Denoiser, estimates: PersonEstimates, targets: KeypointTargets
) -> ClipFit:
    return fit_pair(known.body, targets, known.prior, network, SETTINGS, estimates, lambda *_: None)


def test_the_same_seed_gives_the_same_motion(known: KnownMotion, network: Denoiser) -> None:
    first, second = (
        fit_from_prior(
            known.body, known.targets, known.prior, network, SETTINGS, lambda *_: None
        ).variables
        for _ in range(2)
    )
    for one, other in zip(first.tensors(), second.tensors(), strict=True):
        assert torch.equal(one, other)


def test_without_steps_a_sample_of_the_prior_is_the_motion(
    known: KnownMotion, network: Denoiser
) -> None:
    """As in the paper; the floor alone is found."""
    settings = PriorFit(samples=1, steps=0, one_sample=True, seed=3)
    fit = fit_from_prior(known.body, known.targets, known.prior, network, settings, lambda *_: None)
    sampler = ClipSampler(network, keypoints_at(known.targets, torch.arange(12.0)))
    drawn = sampler.sample(1, torch.Generator().manual_seed(3))
    expected = drawn.map(lambda values: values[0])
    torch.testing.assert_close(fit.variables.rotations(), expected.rotations, atol=1e-4, rtol=0)
    torch.testing.assert_close(fit.variables.pelvis(), expected.pelvis_m, atol=1e-4, rtol=0)
    assert torch.isfinite(fit.floor).all()


@pytest.mark.parametrize("factor", [1.0, 1.15, 1.5])
def test_people_are_as_tall_as_people_are(
    known: KnownMotion, network: Denoiser, factor: float
) -> None:
    """A camera of another focal length sees the same people; scale does not come from pixels.

    The network's guess of their shapes has a say of under a percent.
    """
    K = known.targets.K.clone()
    K[:, [0, 1], [0, 1]] *= factor
    targets = dataclasses.replace(known.targets, K=K)
    fit = fit_from_prior(known.body, targets, known.prior, network, SETTINGS, lambda *_: None)
    mean = float(Stature(known.body)(fit.variables.betas.detach()).mean())
    assert mean == pytest.approx(MEAN_STATURE_M, rel=0.01)


def test_the_prior_completes_the_estimate_of_a_tool(known: KnownMotion, network: Denoiser) -> None:
    estimates = trembling(known)
    alone, _ = fit_from_estimate(
        known.body, known.targets, known.prior, estimates, SETTINGS.steps, lambda *_: None
    )
    together = pair(known, network, estimates, known.targets)
    errors = [mpjpe_m(joints_of(known, fit.variables), known.joints) for fit in (together, alone)]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("frames", [HIDDEN, slice(None)])
def test_whom_the_tool_lost_the_prior_adds(
    known: KnownMotion, network: Denoiser, frames: slice
) -> None:
    """In frames without keypoints as well, as long as there are some."""
    targets = hide(known.targets, HIDDEN, 1)
    estimates = without(estimate_of(known), frames, 1)
    joints = joints_of(known, pair(known, network, estimates, targets).variables)
    assert torch.isfinite(joints).all()
    assert mpjpe_m(joints[:, :1], known.joints[:, :1]) < 0.08
    assert mpjpe_m(joints[HIDDEN, 1:], known.joints[HIDDEN, 1:]) < 0.15


def test_a_world_without_a_camera_does_not_determine_the_heading(
    known: KnownMotion, network: Denoiser
) -> None:
    """Somebody turned by 40 degrees in such a world ends where the keypoints are."""
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.7, 0.0]))
    estimates = estimate_of(known, has_camera=False)
    rotations = torch.as_tensor(estimates.rotations).clone()
    rotations[:, :, 0] = turn @ rotations[:, :, 0]
    turned = dataclasses.replace(estimates, rotations=rotations.numpy())
    joints = joints_of(known, pair(known, network, turned, known.targets).variables)
    assert mpjpe_m(joints, known.joints) < 0.1
