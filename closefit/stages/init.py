"""Stage `init`: keypoints in, both people's motion in one metric camera frame out."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.config import Config
from closefit.errors import PeopleError
from closefit.events import Notice
from closefit.fit.confidence import pose_confidence
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.targets import KeypointTargets, targets_from_track
from closefit.fit.weights import DETECTED_KEYPOINTS, PRIOR_KEYPOINTS
from closefit.geometry.camera import fov_from_focal
from closefit.geometry.camera_path import CameraPath
from closefit.imports.estimates.matching import find_pair
from closefit.imports.estimates.reading import read_estimates
from closefit.init.clip_fit import ClipFit
from closefit.init.focal_search import search_focal, with_focal
from closefit.init.from_estimate import fit_from_estimate
from closefit.init.from_prior import PriorFit, fit_from_prior, fit_pair
from closefit.init.hypotheses import fit_best
from closefit.prior.network import Denoiser
from closefit.records import Motion, PersonEstimates, Track
from closefit.stages.inputs import focal_length, load_body, load_network, read_camera
from closefit.storage.job import Job
from closefit.storage.run_record import EstimateFigures, FitFigures, FocalFigures
from closefit.tracking.steadying import camera_path, shown_corners, steadied, still_intrinsics
from closefit.video import frame_times

VALID_WITHIN_S = 0.5
"""A pose counts as observed if its person was seen at most this long before or after."""


def run(job: Job) -> None:
    """Fit both bodies to the tracked keypoints and write `artifacts/init.npz`.

    Raises:
        InputError: The camera file or the estimate to start from cannot be used.
        PeopleError: Nothing trustworthy is known of a person in any frame.
    """
    filmed = job.load(Track)
    body = load_body(job)
    K = still_intrinsics(filmed, read_camera(job.config.camera, job.video, len(filmed.time_s)).K)
    track = steadied(filmed, K)
    confidence = job.config.init.keypoint_confidence
    targets = targets_from_track(track, K, confidence, job.device, shown_corners(filmed))
    limits = JointLimits.create(job.device, torch.float32)
    settings = job.config.init
    prior = _prior_settings(job.config, job.device)
    estimates = _given_estimates(job, filmed, targets, body)
    if estimates is None:
        _check_seen(targets, settings.keypoint_confidence)
    network = load_network(job) if settings.prior else None
    if network is not None and estimates is None:
        K, targets = _with_found_focal(job, body, targets, limits, network, prior, K)
    on_step = job.progress("init")
    if estimates is not None and network is not None:
        order = "as estimated"
        fit = fit_pair(body, targets, limits, network, prior, estimates, on_step)
    elif estimates is not None:
        fit, order = fit_from_estimate(body, targets, limits, estimates, settings.steps, on_step)
    elif network is not None:
        order = "as sampled"
        fit = fit_from_prior(body, targets, limits, network, prior, on_step)
    else:
        fit, order = fit_best(body, targets, limits, settings.steps, on_step)
    motion = motion_from_fit(body, targets, fit, K, f"depth order: {order}")
    job.save(motion)
    job.report(FitFigures(init_energy=round(fit.energy, 3), depth_order_start=order))


def _with_found_focal(
    job: Job,
    body: Body,
    targets: KeypointTargets,
    limits: JointLimits,
    network: Denoiser,
    prior: PriorFit,
    K: Float[np.ndarray, "frame 3 3"],
) -> tuple[Float[np.ndarray, "frame 3 3"], KeypointTargets]:
    """Intrinsics and observations with the focal length at which the clip fits best.

    They stay as they are where the camera is known.
    """
    camera = job.config.camera
    known = camera.file is not None or focal_length(camera, job.video)[1] != "assumed"
    if known or not job.config.init.focal_search:
        return K, targets
    size_wh = job.video.width, job.video.height
    found = search_focal(
        *(body, targets, limits, network, prior, size_wh), job.progress("focal length")
    )
    job.report(
        FocalFigures(focal_px=round(found.focal_px, 3), focal_log_sigma=round(found.log_sigma, 4))
    )
    fov_deg = fov_from_focal(*size_wh, found.focal_px)
    job.emit(
        Notice(
            f"focal length {found.focal_px:.0f} px, estimated from the clip to about "
            f"{100 * found.log_sigma:.0f} % (field of view {fov_deg:.0f} degrees)"
        )
    )
    ratio = found.focal_px / float(K[0, 0, 0])
    found_targets = with_focal(targets, ratio)
    return found_targets.K.cpu().numpy(), found_targets


def _check_seen(targets: KeypointTargets, min_confidence: float) -> None:
    """Refuse to make up a motion out of nothing."""
    for person, seen in enumerate(targets.seen.any(0).tolist()):
        if not seen:
            raise PeopleError(
                f"person {person} has no frame in which four keypoints have a confidence of "
                f"{min_confidence:g} or more",
                hint="look at `closefit stage track DIR --preview`; another --perception may see "
                "more, and `--set init.keypoint_confidence=0.1` trusts less sure keypoints",
            )


def _prior_settings(config: Config, device: str) -> PriorFit:
    settings = config.init
    imported = config.track.backend(device) == "import"
    return PriorFit(
        samples=settings.prior_samples,
        steps=settings.prior_steps,
        trust=settings.prior_trust,
        pose=settings.prior_pose,
        keypoints=PRIOR_KEYPOINTS if imported else DETECTED_KEYPOINTS,
        seed=config.seed,
        one_sample=settings.prior_start == "sample",
    )


def _given_estimates(
    job: Job, filmed: Track, targets: KeypointTargets, body: Body
) -> PersonEstimates | None:
    """Poses of both people before the still camera from `--init-from`, where that is given."""
    if job.config.init.init_from is None:
        return None
    path = Path(job.config.init.init_from)
    first_frame = int(np.searchsorted(frame_times(job.video), filmed.time_s[0]))
    found = read_estimates(path, job.video)
    if filmed.camera_moves and found.has_camera:
        camera = camera_path(filmed, targets.K.cpu().numpy())
        confidence = job.config.init.keypoint_confidence
        in_frames = targets_from_track(filmed, camera.K, confidence, job.device)
        pair = find_pair(path, found, in_frames, body, first_frame, job.video)
        pair = _before_still_camera(pair, camera)
    else:
        pair = find_pair(path, found, targets, body, first_frame, job.video)
    for person, share in enumerate(pair.known.mean(axis=0)):
        if share == 0:
            text = f"person {person} is not in the estimate `{path}` and comes from keypoints alone"
            job.emit(Notice(text, warning=True))
    shares = pair.known.mean(axis=0).round(3).tolist()
    job.report(EstimateFigures(init_from=pair.tool, init_from_share=shares))
    return pair


def _before_still_camera(pair: PersonEstimates, camera: CameraPath) -> PersonEstimates:
    """Turn poses from each frame's camera into the still one."""
    turns = camera.R.swapaxes(-1, -2).astype(pair.rotations.dtype)[:, None]
    rotations = pair.rotations.copy()
    rotations[:, :, 0] = turns @ rotations[:, :, 0]
    transl_m = (turns @ pair.transl_m[..., None])[..., 0]
    return dataclasses.replace(pair, rotations=rotations, transl_m=transl_m)


def motion_from_fit(
    body: Body,
    targets: KeypointTargets,
    fit: ClipFit,
    K: Float[np.ndarray, "frame 3 3"],
    notes: str,
) -> Motion:
    """Turn fitted variables into the record that later stages read."""
    variables = fit.variables
    with torch.no_grad():
        rotations, transl = variables.rotations(), variables.transl(body)
        joints, projected = KeypointProjector(body, targets.set_name)(
            rotations, variables.betas, transl, targets.K
        )
        confidence = pose_confidence(projected, targets)

    def array(tensor: torch.Tensor) -> Float[np.ndarray, "..."]:
        return tensor.detach().cpu().numpy().astype(np.float32)

    return Motion(
        rotations=array(rotations),
        betas=array(variables.betas),
        transl=array(transl),
        joints=array(joints),
        K=K,
        valid=near_observation(targets.seen.cpu().numpy(), round(VALID_WITHIN_S * targets.fps)),
        confidence=array(confidence),
        body_name=np.array(body.name),
        floor=array(fit.floor),
        notes=np.array(notes),
    )


def near_observation(
    seen: Bool[np.ndarray, "frame person"], reach: int
) -> Bool[np.ndarray, "frame person"]:
    """Frames at most `reach` frames away from one in which the person was seen."""
    padded = np.pad(seen, ((reach, reach), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    valid: Bool[np.ndarray, "frame person"] = np.any(windows, axis=-1)
    return valid
