"""Stage `optimize`: motion and appearance of both people, refined together on the pixels."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.appearance.avatar import Avatars, SurfaceRig
from closefit.appearance.perceptual import PerceptualLoss
from closefit.appearance.surface import SurfaceTexels, surface_texels
from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.errors import FitDivergedError
from closefit.events import Notice, Step
from closefit.fit.confidence import pose_confidence
from closefit.fit.motion_objective import MotionObjective, MotionWeights
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.targets import KeypointTargets, targets_from_track
from closefit.fit.variables import MotionVariables, variables_from_motion
from closefit.geometry.penetration import PenetrationProxy
from closefit.init.from_prior import weights_with_prior
from closefit.models.weights import LPIPS, find, locate
from closefit.optimize.depth_order import overlapping_segments
from closefit.optimize.loop import JointLoop, kept_share
from closefit.optimize.motion_model import DirectMotion, MotionModel, PriorMotion
from closefit.optimize.objective import CroppedFrames, JointObjective
from closefit.optimize.schedule import plan_visits
from closefit.records import Motion, OptimizedMotion, Track
from closefit.stages.crops import crop_frames, remove_crops
from closefit.stages.inputs import load_body, load_network
from closefit.storage.job import Job
from closefit.tracking.detections import box_iou

CHECKPOINT_EVERY_S = 45.0

logger = logging.getLogger(__name__)


def run(job: Job) -> None:
    """Optimise from `artifacts/init.npz` and write `artifacts/optimize.npz`.

    Raises:
        FitDivergedError: The fit diverged; the best state was written before.
    """
    track, start = job.load(Track), job.load(Motion)
    body = load_body(job)
    targets = targets_from_track(track, start.K, job.config.init.keypoint_confidence, job.device)
    config = job.config.optimize
    crops = crop_frames(job, track, start.K, config.image_size_px) if config.appearance else None
    texels = surface_texels(body, config.map_size)
    loop = _build_loop(job, body, texels, track, start, targets, crops)
    _resume(job, loop)
    _run_loop(job, loop)
    record = _record(loop, body, texels, start, targets)
    job.save(record)
    job.workspace.optimize_checkpoint.unlink(missing_ok=True)
    remove_crops(job.workspace.artifacts)
    job.profile.update(loop.clock.profile())
    job.report(
        {
            "optimize_status": str(record.status),
            "optimize_steps": loop.state.step,
            "depth_order_swapped_frames": loop.state.exchanged,
            "kept_keypoints": round(float(record.kept_keypoints), 4),
        }
    )
    if loop.diverged:
        raise FitDivergedError(
            f"the optimisation diverged after {loop.state.step} steps; its best state was kept",
            hint="run `closefit stage optimize DIR --set optimize.lr_motion=5e-4`, or look at the "
            "initial motion in the overlay first",
        )


def _build_loop(
    job: Job,
    body: Body,
    texels: SurfaceTexels,
    track: Track,
    start: Motion,
    targets: KeypointTargets,
    crops: CroppedFrames | None,
) -> JointLoop:
    config = job.config.optimize

    def tensor(array: Float[np.ndarray, "..."]) -> Tensor:
        return torch.as_tensor(array, device=job.device)

    torch.manual_seed(job.config.seed)
    avatars = Avatars(texels, config.latent_channels, config.decoder_width).to(job.device)
    objective = JointObjective(
        MotionObjective(
            body,
            JointLimits.create(job.device, torch.float32),
            targets.set_name,
            _motion_weights(job),
        ),
        SurfaceRig(body, texels),
        PenetrationProxy.create(
            body.v_template, body.faces, vertex_parts=body.weights.argmax(dim=-1)
        ),
        _perceptual(job),
        config,
        config.weight_stay_near_init if job.config.init.prior else config.weight_anchor_pose,
    )
    overlap = np.nan_to_num(box_iou(track.boxes_xyxy[:, :1], track.boxes_xyxy[:, 1:])[:, 0, 0])
    visits = plan_visits(
        overlap,
        warmup_passes=config.warmup_passes if crops is not None else 0,
        passes=config.passes,
        window=config.window_frames,
        per_step=config.frames_per_step,
        seed=job.config.seed,
    )
    variables = variables_from_motion(
        tensor(start.rotations), tensor(start.betas), tensor(start.transl), body
    )
    return JointLoop(
        objective,
        avatars,
        _motion_model(job, variables, targets),
        tensor(start.floor),
        targets,
        crops,
        visits,
        config,
        overlapping_segments(overlap) if config.check_depth_order else (),
    )


def _motion_weights(job: Job) -> MotionWeights:
    """After a start from the prior, joint limits only exclude what joints cannot do."""
    init = job.config.init
    if not init.prior:
        return MotionWeights()
    return weights_with_prior(init.prior_pose, job.config.optimize.weight_prior_keypoints)


def _motion_model(job: Job, start: MotionVariables, targets: KeypointTargets) -> MotionModel:
    """What the optimiser moves: poses themselves, or the weights of the prior."""
    config = job.config.optimize
    if config.motion == "direct":
        return DirectMotion(start, config.lr_motion)
    network = load_network(job)
    return PriorMotion(network, start, targets, config.lr_prior, config.lr_motion, job.config.seed)


def _perceptual(job: Job) -> PerceptualLoss | None:
    """LPIPS where its weights are; without them the term is off, with one warning."""
    config = job.config.optimize
    if not config.appearance or config.weight_lpips == 0:
        return None
    if find(LPIPS, job.config.weights_dir) is None:
        text = (
            "LPIPS is off: its AlexNet weights are not here; `closefit download-weights` gets them"
        )
        job.emit(Notice(text, warning=True))
        return None
    return PerceptualLoss(locate(LPIPS, job.config.weights_dir), job.device)


def _run_loop(job: Job, loop: JointLoop) -> None:
    """Do the remaining visits; save a checkpoint now and then."""
    saved = time.monotonic()
    while not loop.finished:
        terms = loop.step()
        job.emit(Step("optimize", loop.state.step, loop.num_steps, terms))
        if time.monotonic() - saved > CHECKPOINT_EVERY_S and not loop.finished:
            _save_checkpoint(job.workspace.optimize_checkpoint, job.fingerprint, loop)
            saved = time.monotonic()
    if loop.diverged:
        loop.use_best()


def _save_checkpoint(path: Path, fingerprint: str, loop: JointLoop) -> None:
    partial = path.with_name(f".{path.name}.partial")
    torch.save({"fingerprint": fingerprint, "loop": loop.state_dict()}, partial)
    os.replace(partial, path)


def _resume(job: Job, loop: JointLoop) -> None:
    """Go on from a checkpoint of exactly this fit, if there is one."""
    path = job.workspace.optimize_checkpoint
    if not path.is_file():
        return
    try:
        saved: dict[str, Any] = torch.load(path, map_location=job.device, weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        logger.warning("the checkpoint cannot be read and is ignored: %s", error)
        return
    if saved.get("fingerprint") != job.fingerprint:
        return
    loop.load_state_dict(saved["loop"])
    job.emit(Notice(f"continues at step {loop.state.step} of {loop.num_steps}"))


def _record(
    loop: JointLoop,
    body: Body,
    texels: SurfaceTexels,
    start: Motion,
    targets: KeypointTargets,
) -> OptimizedMotion:
    def array(tensor: Tensor) -> np.ndarray:
        return tensor.detach().cpu().numpy()

    with torch.no_grad():
        variables = loop.variables
        rotations, transl = variables.rotations(), variables.transl(body)
        joints, projected = KeypointProjector(body, targets.set_name)(
            rotations, variables.betas, transl, targets.K
        )
        confidence = pose_confidence(projected, targets)
        gaussians = loop.avatars()
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
        floor=array(loop.floor.plane()),
        notes=np.array(_notes(str(start.notes), loop.state.exchanged)),
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


def _notes(of_init: str, exchanged: int) -> str:
    """What init noted, and what the picture corrected in it."""
    if exchanged == 0:
        return of_init
    return f"{of_init}; the picture swapped it in {exchanged} frames"
