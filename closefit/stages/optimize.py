"""Stage `optimize`: motion and appearance of both people, refined together on the pixels."""

import dataclasses
import importlib.util
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.appearance.avatar import Avatars, SurfaceRig
from closefit.appearance.perceptual import ImageDistance, PerceptualLoss, SqueezeNetDistance
from closefit.appearance.surface import SurfaceTexels, surface_texels
from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.errors import ArtifactDamagedError, FitDivergedError
from closefit.events import Emit, Notice, Step
from closefit.fit.confidence import pose_confidence
from closefit.fit.floor import FloorPlane
from closefit.fit.objective import MotionObjective, motion_terms
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.targets import KeypointTargets, targets_from_track
from closefit.fit.variables import MotionVariables, variables_from_motion
from closefit.fit.weights import SILHOUETTE_WEIGHTS, MotionWeights
from closefit.geometry.penetration import PenetrationProxy
from closefit.interruption import Held
from closefit.models.weights import LPIPS, LPIPS_STAND_IN, find, locate
from closefit.optimize.depth_order import DepthOrderPhase, overlapping_segments
from closefit.optimize.loop import JointLoop, JointModel, kept_share
from closefit.optimize.motion_model import DirectMotion, MotionModel, PriorMotion
from closefit.optimize.objective import JointObjective, ObservedClip
from closefit.optimize.phases import Phases
from closefit.optimize.schedule import plan_minibatches
from closefit.records import Motion, OptimizedMotion, Track
from closefit.stages.crops import crop_frames, remove_crops
from closefit.stages.inputs import load_body, load_network
from closefit.storage import checkpoints
from closefit.storage.job import Job
from closefit.storage.run_record import OptimizeFigures
from closefit.tracking.detections import box_iou
from closefit.tracking.steadying import shown_corners, steadied

CHECKPOINT_EVERY_S = 45.0
CHECKPOINT_FORMAT = 4
"""Raised when what a checkpoint holds changes; others are ignored."""

LpipsNetwork = Literal["alexnet", "squeezenet", "off"]

logger = logging.getLogger(__name__)


def run(job: Job) -> None:
    """Optimise from `artifacts/init.npz` and write `artifacts/optimize.npz`.

    Raises:
        FitDivergedError: The fit diverged; the best state was written before.
    """
    filmed, start = job.load(Track), job.load(Motion)
    track = steadied(filmed, start.K)
    body = load_body(job)
    confidence = job.config.init.keypoint_confidence
    targets = targets_from_track(track, start.K, confidence, job.device, shown_corners(filmed))
    config = job.config.optimize
    if set(SILHOUETTE_WEIGHTS) <= set(config.without):
        targets = dataclasses.replace(targets, silhouettes=None)
    try:
        size_px = config.image_size_px
        crops = None
        if config.appearance:
            crops = crop_frames(job, filmed, track, start.K, size_px)
        texels = surface_texels(body, config.map_size)
        clip = ObservedClip(targets, crops)
        phases = _resumed(job, lambda: _prepare(job, body, texels, track, start, clip))
        with Held() as signal:
            _run_phases(job, phases, signal)
            record = _record(phases, body, texels, start, targets)
            job.save(record)
            job.workspace.optimize_checkpoint.unlink(missing_ok=True)
    finally:
        remove_crops(job.workspace.artifacts)
    loop = phases.loop
    job.profile.update(loop.clock.profile())
    job.report(
        OptimizeFigures(
            optimize_status=str(record.status),
            optimize_steps=loop.state.step,
            depth_order_swapped_frames=phases.swapped_frames,
            kept_keypoints=round(float(record.kept_keypoints), 4),
            lpips=_lpips_network(job),
        )
    )
    if loop.diverged:
        raise FitDivergedError(
            f"the optimisation diverged after {loop.state.step} steps; its best state was kept",
            hint="run `closefit stage optimize DIR --set optimize.lr_motion=5e-4`, or look at the "
            "initial motion in the overlay first",
        )


def _prepare(
    job: Job,
    body: Body,
    texels: SurfaceTexels,
    track: Track,
    start: Motion,
    clip: ObservedClip,
) -> Phases:
    """Build the model at the initial motion, the objective and the plan."""
    config = job.config.optimize

    def tensor(array: Float[np.ndarray, "..."]) -> Tensor:
        return torch.as_tensor(array, device=job.device)

    torch.manual_seed(job.config.seed)
    avatars = Avatars(texels, config.latent_channels, config.decoder_width).to(job.device)
    if config.compile:
        _compile(avatars, job.device, job.emit)
    overlap = np.nan_to_num(box_iou(track.boxes_xyxy[:, :1], track.boxes_xyxy[:, 1:])[:, 0, 0])
    warmup_passes = config.warmup_passes if clip.crops is not None else 0
    plan = plan_minibatches(
        overlap,
        warmup_passes=warmup_passes,
        passes=config.passes,
        window=config.window_frames,
        per_step=config.frames_per_step,
        seed=job.config.seed,
    )
    variables = variables_from_motion(
        tensor(start.rotations), tensor(start.betas), tensor(start.transl), body
    )
    loop = JointLoop(
        _objective(job, body, texels, clip.targets.set_name),
        JointModel(
            _motion_model(job, variables, clip.targets),
            FloorPlane.from_plane(tensor(start.floor)),
            avatars,
        ),
        clip,
        plan,
        config,
        variables,
    )
    check = None
    if config.check_depth_order and warmup_passes > 0:  # it needs learned avatars
        check = DepthOrderPhase(loop, overlapping_segments(overlap))
    return Phases(loop, check)


def _compile(avatars: Avatars, device: str, emit: Emit) -> None:
    """Replay the avatars' decoder as CUDA graphs instead of launching its kernels one by one.

    It is the part of a step whose shapes never change. The length of a window and the number of
    rendered frames do, and each would have to be compiled anew (docs/gpu.md).
    """
    obstacle = ""
    if device != "cuda":
        obstacle = "it is for a GPU"
    elif importlib.util.find_spec("triton") is None:
        obstacle = "PyTorch compiles for the GPU with `triton`, which is not installed"
    if obstacle:
        emit(Notice(f"`optimize.compile` is ignored: {obstacle}"))
        return
    avatars.compile(mode="reduce-overhead", fullgraph=True)


def _objective(job: Job, body: Body, texels: SurfaceTexels, set_name: str) -> JointObjective:
    config, init = job.config.optimize, job.config.init
    weights = MotionWeights()
    if init.prior:
        weights = MotionWeights.with_prior(
            pose=init.prior_pose, keypoints=config.weight_prior_keypoints
        )
    limits = JointLimits.create(job.device, torch.float32)
    terms = motion_terms(body, limits, weights)
    kept = [term for term in terms if term.name not in config.without]
    proxy = PenetrationProxy.create(
        body.v_template, body.faces, vertex_parts=body.weights.argmax(dim=-1)
    )
    return JointObjective(
        MotionObjective(body, set_name, kept),
        SurfaceRig(body, texels),
        proxy,
        _perceptual(job),
        config,
        config.weight_stay_near_init if init.prior else config.weight_anchor_pose,
    )


def _motion_model(job: Job, start: MotionVariables, targets: KeypointTargets) -> MotionModel:
    """What moves the motion."""
    config, branch = job.config.optimize, job.config.motion_branch
    if branch == "direct":
        return DirectMotion(start, config.lr_motion)
    rates = config.lr_prior, config.lr_motion
    return PriorMotion(load_network(job), start, targets, *rates, job.config.seed, branch)


def _lpips_network(job: Job) -> LpipsNetwork:
    """The network of the LPIPS term: AlexNet where it is here, else a stand-in or nothing."""
    config, folder = job.config.optimize, job.config.weights_dir
    if not config.appearance or config.weight_lpips == 0:
        return "off"
    if find(LPIPS, folder) is not None:
        return "alexnet"
    return "squeezenet" if config.lpips_stand_in and find(LPIPS_STAND_IN, folder) else "off"


def _perceptual(job: Job) -> ImageDistance | None:
    """LPIPS or what stands in for it; without AlexNet's weights with one warning."""
    network, folder = _lpips_network(job), job.config.weights_dir
    if network == "alexnet":
        return PerceptualLoss(locate(LPIPS, folder), job.device)
    if job.config.optimize.appearance and job.config.optimize.weight_lpips > 0:
        state = "LPIPS is off" if network == "off" else "SqueezeNet's features stand in for LPIPS"
        text = f"{state}: its AlexNet weights are not here; `closefit download-weights` gets them"
        job.emit(Notice(text, warning=True))
    if network == "off":
        return None
    return SqueezeNetDistance(locate(LPIPS_STAND_IN, folder)).to(job.device)


def _run_phases(job: Job, phases: Phases, signal: Held) -> None:
    """Do the remaining steps; save a checkpoint now and then, and when a signal ends the run."""
    loop, saved = phases.loop, time.monotonic()
    while not loop.finished:
        terms = phases.advance()
        job.emit(Step("optimize", loop.state.step, loop.num_steps, terms))
        due = signal.came or time.monotonic() - saved > CHECKPOINT_EVERY_S
        if due and not loop.finished:
            _save_checkpoint(job.workspace.optimize_checkpoint, job.fingerprint, phases)
            saved = time.monotonic()
        if signal.came and not loop.finished:
            job.emit(Notice(f"saved at step {loop.state.step} of {loop.num_steps}"))
            signal.take_effect()
    if loop.diverged:
        loop.use_best()


def _save_checkpoint(path: Path, fingerprint: str, phases: Phases) -> None:
    checkpoints.save(path, (CHECKPOINT_FORMAT, fingerprint), phases.state_dict())


def _resumed(job: Job, prepare: Callable[[], Phases]) -> Phases:
    """Continue from a checkpoint of exactly this fit, if there is one; set aside a damaged one."""
    phases, path = prepare(), job.workspace.optimize_checkpoint
    if not os.path.lexists(path):
        return phases
    try:
        key, state = checkpoints.load(path, job.device)
        if key != (CHECKPOINT_FORMAT, job.fingerprint):
            return phases
        phases.load_state_dict(state)
    except (ArtifactDamagedError, *checkpoints.BAD_STATE) as error:
        logger.warning("%s: %r", path, error)
        kept = checkpoints.set_aside(path)
        text = f"the checkpoint is damaged; it is kept as `{kept}`, and the fit starts anew"
        job.emit(Notice(text, warning=True))
        return prepare()
    job.emit(Notice(f"continues at step {phases.loop.state.step} of {phases.loop.num_steps}"))
    return phases


def _record(
    phases: Phases,
    body: Body,
    texels: SurfaceTexels,
    start: Motion,
    targets: KeypointTargets,
) -> OptimizedMotion:
    def array(tensor: Tensor) -> np.ndarray:
        return tensor.detach().cpu().numpy()

    loop = phases.loop
    with torch.no_grad():
        variables = loop.variables
        rotations, transl = variables.rotations(), variables.transl(body)
        joints, projected = KeypointProjector(body, targets.set_name)(
            rotations, variables.betas, transl, targets.K
        )
        confidence = pose_confidence(projected, targets)
        gaussians = loop.model.avatars()
    names = sorted({name for terms in loop.curves for name in terms})
    curves = np.array(
        [[terms.get(name, np.nan) for name in names] for terms in loop.curves], np.float32
    ).reshape(len(loop.curves), len(names))
    return OptimizedMotion(
        rotations=array(rotations),
        betas=array(variables.betas),
        transl=array(transl),
        joints=array(joints),
        K=start.K,
        valid=start.valid,
        confidence=array(confidence),
        body_name=start.body_name,
        floor=array(loop.model.floor.plane()),
        notes=np.array(_notes(str(start.notes), phases.swapped_frames)),
        gaussian_face=np.stack([array(texels.face)] * 2),
        gaussian_barycentric=np.stack([array(texels.barycentric)] * 2),
        gaussian_offset_m=array(gaussians.offset_m),
        gaussian_rotation=array(gaussians.rotation),
        gaussian_scale_m=array(gaussians.scale_m),
        gaussian_colour=array(gaussians.colour),
        gaussian_opacity=array(gaussians.opacity),
        gaussian_identity=array(gaussians.identity),
        status=np.array(loop.status),
        curve_names=np.array(names, dtype=np.str_),
        curves=curves,
        kept_keypoints=np.array(kept_share(loop.rejected, targets.weight), np.float32),
    )


def _notes(of_init: str, swapped_frames: int) -> str:
    """The notes of init, and corrections of its depth order."""
    if swapped_frames == 0:
        return of_init
    return f"{of_init}; depth order swapped in {swapped_frames} frames to match the image"
