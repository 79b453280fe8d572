"""The joint optimisation: resumes bit for bit, improves a motion, survives bad input."""

import copy
import dataclasses
import math
from collections.abc import Sequence
from functools import cache

import pytest
import torch

from closefit.appearance.avatar import Avatars, SurfaceRig
from closefit.appearance.raster.rasterizer import rasterize
from closefit.appearance.surface import surface_texels
from closefit.config import OptimizeConfig
from closefit.fit.floor import FloorPlane, typical_up
from closefit.fit.objective import MotionObjective, motion_terms
from closefit.fit.variables import MotionVariables
from closefit.fit.weights import MotionWeights
from closefit.geometry.camera import crop_intrinsics
from closefit.geometry.penetration import PenetrationProxy
from closefit.optimize import depth_order
from closefit.optimize import loop as loop_module
from closefit.optimize.depth_order import DepthOrderPhase, Segment
from closefit.optimize.loop import JointLoop, JointModel, kept_share
from closefit.optimize.motion_model import DirectMotion, MotionModel, PriorMotion
from closefit.optimize.objective import CroppedFrames, JointObjective, ObservedClip
from closefit.optimize.phases import Phases
from closefit.optimize.schedule import plan_minibatches
from closefit.prior.network import Denoiser, NetworkConfig
from tests.known_motion import FRAMES, KnownMotion, mpjpe_m

CONFIG = OptimizeConfig(
    passes=6, warmup_passes=2, image_size_px=64, map_size=32, latent_channels=4, decoder_width=4
)
SIZE = (64, 48)


@pytest.fixture(scope="module")
def crops(known: KnownMotion) -> CroppedFrames:
    """The known motion filmed: two grey people before white, with a true union mask."""
    K = crop_intrinsics(known.targets.K, 0.0, 0.0, SIZE[0] / 480, SIZE[1] / 360)
    texels = surface_texels(known.body, 64)
    v = known.variables
    with torch.no_grad():
        avatars, rig = Avatars(texels, 4, 4), SurfaceRig(known.body, texels)
        gaussians = rig.pose(avatars(), v.rotations(), v.betas, v.transl(known.body))
        render = rasterize(gaussians, K, *SIZE)
    image = render.features[..., :3] + 1.0 - render.alpha[..., None]
    return CroppedFrames(
        images=(255 * image.clamp(0, 1)).to(torch.uint8),
        masks=(255 * render.alpha).to(torch.uint8),
        masked=torch.ones(FRAMES, dtype=torch.bool),
        K=K,
    )


def _shaken(variables: MotionVariables) -> MotionVariables:
    generator = torch.Generator().manual_seed(3)
    noise = 0.04 * torch.randn(1, *variables.pose_6d.shape[1:], generator=generator)
    return dataclasses.replace(variables, pose_6d=variables.pose_6d + noise)


@cache
def _proxy(known: KnownMotion) -> PenetrationProxy:
    """Made once: coarsening a mesh takes longer than the rest of these tests."""
    return PenetrationProxy.create(known.body.v_template, known.body.faces, 400)


def _loop(
    known: KnownMotion,
    crops: CroppedFrames | None,
    config: OptimizeConfig = CONFIG,
    motion: str = "direct",
) -> JointLoop:
    torch.manual_seed(0)
    texels = surface_texels(known.body, config.map_size)
    up = typical_up(torch.device("cpu"))
    lowest = (known.joints[:, :, [10, 11]] @ up).min()
    objective = JointObjective(
        MotionObjective(
            known.body, "coco17", motion_terms(known.body, known.prior, MotionWeights())
        ),
        SurfaceRig(known.body, texels),
        _proxy(known),
        None,
        config,
        config.weight_anchor_pose,
    )
    plan = plan_minibatches(
        torch.zeros(FRAMES).numpy(),
        warmup_passes=config.warmup_passes if crops is not None else 0,
        passes=config.passes,
        window=config.window_frames,
        per_step=config.frames_per_step,
        seed=0,
    )
    model = JointModel(
        _motion(known, motion, config),
        FloorPlane.from_plane(torch.cat([up, -lowest[None]])),
        Avatars(texels, config.latent_channels, config.decoder_width),
    )
    return JointLoop(objective, model, ObservedClip(known.targets, crops), plan, config)


def _motion(known: KnownMotion, kind: str, config: OptimizeConfig) -> MotionModel:
    start = _shaken(known.variables)
    if kind == "direct":
        return DirectMotion(start, config.lr_motion)
    network = Denoiser(NetworkConfig(width=32, blocks=1, heads=4, feed_forward=32))
    torch.nn.init.normal_(network.head[1].weight, std=0.02)
    rates = config.lr_prior, config.lr_motion
    return PriorMotion(network, start, known.targets, *rates, seed=0, kind=kind)


def _finish(loop: JointLoop) -> JointLoop:
    while not loop.finished:
        loop.step()
    return loop


def _joints(known: KnownMotion, variables: MotionVariables) -> torch.Tensor:
    transl = variables.transl(known.body)
    return known.body.joints(variables.rotations(), variables.betas, transl).detach()


def test_interrupted_and_resumed_is_bit_identical(known: KnownMotion, crops: CroppedFrames) -> None:
    straight = _finish(_loop(known, crops))
    first = _loop(known, crops)
    for _ in range(4):
        first.step()
    second = _loop(known, crops)
    second.load_state_dict(first.state_dict())
    _finish(second)
    for one, other in zip(straight.variables.tensors(), second.variables.tensors(), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(
        straight.model.avatars.parameters(), second.model.avatars.parameters(), strict=True
    ):
        assert torch.equal(one, other)
    assert straight.curves == second.curves


def _until_joint(loop: JointLoop) -> None:
    while loop.phase == "appearance":
        loop.step()


def _phases(
    known: KnownMotion, crops: CroppedFrames, segments: Sequence[Segment], motion: str
) -> Phases:
    loop = _loop(known, crops, motion=motion)
    return Phases(loop, DepthOrderPhase(loop, segments))


@pytest.mark.parametrize("motion", ["direct", "prior", "both"])
def test_depth_orders_are_checked_between_the_phases_a_few_at_a_time(
    known: KnownMotion, crops: CroppedFrames, monkeypatch: pytest.MonkeyPatch, motion: str
) -> None:
    segments = [(0, 4), (4, 8), (8, 12)]
    monkeypatch.setattr(depth_order, "SEGMENTS_AT_ONCE", 2)
    monkeypatch.setattr(depth_order, "REFIT_STEPS", 2)
    monkeypatch.setattr(depth_order, "LEAST_GAIN", -math.inf)  # the other order always wins
    straight = _phases(known, crops, segments, motion)
    _until_joint(straight.loop)
    done, before = straight.loop.state.step, straight.loop.variables.log_depth
    straight.advance()
    assert straight.loop.state.step == done
    assert straight.depth_order.state.checked == 2
    resumed = _phases(known, crops, segments, motion)
    resumed.load_state_dict(copy.deepcopy(straight.state_dict()))
    for phases in (straight, resumed):
        phases.advance()
        loop = phases.loop
        assert loop.state.step == done
        assert phases.depth_order.finished
        assert phases.swapped_frames == 12
        for one, other in zip(loop._start.tensors(), loop.variables.tensors(), strict=True):
            assert torch.equal(one, other)
        now = loop.variables.log_depth
        nearer, was = now[..., 0] < now[..., 1], before[..., 0] < before[..., 1]
        assert (nearer != was)[:12].all()
        assert (nearer == was)[12:].all()
        while not loop.finished:
            phases.advance()
    for one, other in zip(
        straight.loop.variables.tensors(), resumed.loop.variables.tensors(), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("warmup_passes", [0, 4])
def test_a_plan_without_joint_passes_keeps_the_motion(
    known: KnownMotion, crops: CroppedFrames, warmup_passes: int
) -> None:
    """Settled losses of the appearance are no convergence of the motion."""
    config = dataclasses.replace(
        CONFIG, passes=0, warmup_passes=warmup_passes, frames_per_step=1, lr_appearance=0.0,
        lr_latent=0.0,
    )  # fmt: skip
    loop = _finish(_loop(known, crops, config))
    assert len(loop.curves) == loop.num_steps
    assert (loop.num_steps == 0) == (warmup_passes == 0)
    assert loop.status == "step limit"
    start = _shaken(known.variables)
    for now, before in zip(loop.variables.tensors(), start.tensors(), strict=True):
        assert torch.equal(now, before)


def test_it_improves_a_shaken_motion(known: KnownMotion, crops: CroppedFrames) -> None:
    config = dataclasses.replace(CONFIG, passes=60)
    loop = _finish(_loop(known, crops, config))
    before = mpjpe_m(_joints(known, _shaken(known.variables)), known.joints)
    after = mpjpe_m(_joints(known, loop.variables), known.joints)
    assert not loop.diverged
    assert after < 0.85 * before


def test_motion_is_frozen_while_appearance_is_learned(
    known: KnownMotion, crops: CroppedFrames
) -> None:
    loop = _loop(known, crops)
    _until_joint(loop)
    for now, start in zip(
        loop.variables.tensors(), _shaken(known.variables).tensors(), strict=True
    ):
        assert torch.equal(now, start)


def test_without_crops_only_motion_terms_remain(known: KnownMotion) -> None:
    loop = _finish(_loop(known, None))
    assert set(loop.curves[-1]) == {
        "keypoints", "pose", "smooth", "floor", "shape", "upright", "anchor", "penetration",
        "contact", "cover", "inside", "front",
    }  # fmt: skip


def test_no_physics_no_penetration_term(known: KnownMotion) -> None:
    loop = _finish(_loop(known, None, dataclasses.replace(CONFIG, physics=0.0)))
    assert "penetration" not in loop.curves[-1]
    assert "contact" in loop.curves[-1]  # the setting does not release contacts


def test_frames_without_a_mask_do_not_count_in_image_terms(
    known: KnownMotion, crops: CroppedFrames
) -> None:
    blank = dataclasses.replace(
        crops, masks=torch.zeros_like(crops.masks), masked=torch.zeros_like(crops.masked)
    )
    loop = _finish(_loop(known, blank))
    assert loop.curves[-1]["rgb"] == 0.0
    assert loop.curves[-1]["silhouette"] == 0.0
    assert not loop.diverged


def test_the_identity_filter_rejects_keypoints_on_the_other_person_only(
    known: KnownMotion, crops: CroppedFrames
) -> None:
    """A wrist that was detected on the other person's hips no longer counts once rendered."""
    points = known.targets.points_px.clone()
    points[:, 0, 9] = points[:, 1, [11, 12]].mean(1)
    targets = dataclasses.replace(known.targets, points_px=points)
    loop = _finish(_loop(dataclasses.replace(known, targets=targets), crops))
    expected = torch.zeros_like(loop.rejected)
    expected[:, 0, 9] = True
    assert torch.equal(loop.rejected, expected)
    sound = _finish(_loop(known, crops))
    assert not sound.rejected.any()
    # Its part of the loss is gone.
    assert loop.curves[-1]["keypoints"] < sound.curves[-1]["keypoints"] + 1.0


def test_a_loss_that_explodes_ends_with_the_best_state(known: KnownMotion) -> None:
    loop = _loop(known, None, dataclasses.replace(CONFIG, passes=40, lr_motion=50.0))
    _finish(loop)
    loop.use_best()
    assert loop.diverged
    assert all(torch.isfinite(tensor).all() for tensor in loop.variables.tensors())
    best = mpjpe_m(_joints(known, loop.variables), known.joints)
    assert best <= 1.5 * mpjpe_m(_joints(known, _shaken(known.variables)), known.joints)


def test_kept_share_counts_trusted_keypoints_only() -> None:
    weight = torch.tensor([[[1.0, 0.5, 0.0, 0.0]]])
    rejected = torch.tensor([[[True, False, True, False]]])
    assert kept_share(rejected, weight) == 0.5


class _NanGradient(torch.autograd.Function):
    """Passes a value on unchanged; its gradient is not a number."""

    @staticmethod
    def forward(ctx, value):  # noqa: ARG004 - the interface
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):  # noqa: ARG004 - the interface
        return gradient * torch.nan


def _spoil(loop: JointLoop, monkeypatch: pytest.MonkeyPatch, steps: range) -> None:
    """From now on the given steps have finite losses whose gradients are not."""
    honest = loop._terms

    def terms(minibatch):
        found = honest(minibatch)
        if loop.state.step not in steps:
            return found
        return {name: _NanGradient.apply(term) for name, term in found.items()}

    monkeypatch.setattr(loop, "_terms", terms)


@pytest.mark.parametrize("read_every", [1, 5])
def test_gradients_that_are_not_finite_never_reach_the_variables(
    known: KnownMotion, crops: CroppedFrames, monkeypatch: pytest.MonkeyPatch, read_every: int
) -> None:
    """Also where the losses are looked at some steps later, as on a GPU."""
    monkeypatch.setitem(loop_module.READ_EVERY, "cpu", read_every)
    loop = _loop(known, crops)
    _spoil(loop, monkeypatch, range(1, 4))
    while not loop.finished:
        loop.step()
        live = [*loop.model.motion.tensors(), *loop.model.avatars.parameters()]
        assert all(torch.isfinite(tensor).all() for tensor in live)
    assert loop.state.backoffs >= 1
    assert not loop.diverged
    assert len(loop.curves) == loop.num_steps


def test_gradients_that_are_never_finite_end_at_the_start(
    known: KnownMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = _loop(known, None)
    _spoil(loop, monkeypatch, range(100))
    _finish(loop)
    loop.use_best()
    assert loop.status == "diverged"
    start = _shaken(known.variables)
    for now, before in zip(loop.variables.tensors(), start.tensors(), strict=True):
        assert torch.equal(now, before)


def test_looking_at_losses_later_changes_nothing_while_all_goes_well(
    known: KnownMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = _finish(_loop(known, None))
    monkeypatch.setitem(loop_module.READ_EVERY, "cpu", 4)
    later = _finish(_loop(known, None))
    assert at_once.curves == later.curves
    for one, other in zip(at_once.variables.tensors(), later.variables.tensors(), strict=True):
        assert torch.equal(one, other)


def test_the_clock_accounts_for_every_step(known: KnownMotion, crops: CroppedFrames) -> None:
    loop = _finish(_loop(known, crops))
    profile = loop.clock.profile()
    assert profile["steps"] == loop.num_steps
    assert {"render", "backward of render", "penetration", "motion terms"} <= set(profile["share"])
    assert sum(profile["share"].values()) == pytest.approx(1.0, abs=0.01)
