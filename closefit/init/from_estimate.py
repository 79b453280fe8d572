"""The initial motion from another tool's poses.

Only rotations are adopted unchanged. Positions follow from the keypoints and the camera of the run,
as tools assume other cameras and body shapes, which both change depth.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.body.stature import Stature
from closefit.fit.objective import MotionObjective, motion_terms
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables, rest_pelvis
from closefit.fit.weights import (
    ESTIMATE_OUTLIER_SIGMAS,
    ESTIMATE_POSE,
    ESTIMATE_SIGMA_RAD,
    PLACING_OUTLIER_SIGMAS,
    WIDE_OUTLIER_SIGMAS,
    MotionWeights,
)
from closefit.geometry.camera import project
from closefit.geometry.rotations import interpolate_rotations, matrix_to_6d
from closefit.init.clip_fit import ClipFit
from closefit.init.hypotheses import Progress, fit_orders, most_steps
from closefit.init.lifting import lift, lifting_steps
from closefit.init.near_reference import pose_term, stature_term
from closefit.records import PersonEstimates

MOST_LOG_STATURE = 0.25
"""Log of a height over the mean. Beyond it the tool's depths do not imply a height."""

PLACING_ROUNDS = 6

DEPTH_FACTOR = 2.0
"""A depth that differs from the person's typical one by more than this factor is rejected."""


def fit_from_estimate(
    body: Body,
    targets: KeypointTargets,
    limits: JointLimits,
    estimates: PersonEstimates,
    steps: int,
    on_step: Callable[[int, int], None],
) -> tuple[ClipFit, str]:
    """Fit the clip from another tool's poses, and stay near them; both depth orders are tried.

    A person who is in no frame of the estimate is lifted from the keypoints.

    Args:
        body: Body on the device of `targets`.
        targets: Observed keypoints.
        limits: Plausible joint rotations.
        estimates: Persons 0 and 1 in the frames of `targets`, relative to its camera.
        steps: Number of Adam steps of the last fit.
        on_step: Called with (steps done, steps in all).

    Returns:
        The fit, and the depth order it started from: `as estimated` or `swapped`.
    """
    covered = estimates.known.any(axis=0)
    lifting = 0 if covered.all() else lifting_steps(targets.num_frames)
    progress = Progress(on_step, lifting + most_steps(steps))
    start = start_from_estimate(body, targets, estimates)
    if lifting:
        start = _merge(start, lift(body, targets, limits, progress), torch.as_tensor(covered))
    statures = implied_statures(body, start, estimates)
    # Heights that the tool implies set the scale of the scene.
    scale = 0.0 if bool(statures.isfinite().any()) else MotionWeights.scale
    wide, final = (
        estimate_objective(
            body, limits, targets, estimates, statures,
            MotionWeights(outlier_sigmas=sigmas, scale=scale),
        )
        for sigmas in (WIDE_OUTLIER_SIGMAS, MotionWeights.outlier_sigmas)
    )  # fmt: skip
    return fit_orders(final, wide, targets, "as estimated", start, steps, progress)


def start_from_estimate(
    body: Body, targets: KeypointTargets, estimates: PersonEstimates
) -> MotionVariables:
    """Poses of the estimate, placed so that mean bodies project onto the keypoints.

    Frames without an estimate are interpolated, those without keypoints keep the place of their
    neighbours; a person who has none gets the estimate's own place.
    """
    device = targets.K.device
    known = torch.as_tensor(estimates.known, device=device)
    rotations = fill_rotations(torch.as_tensor(estimates.rotations, device=device).float(), known)
    betas = torch.zeros(2, 10, device=device)
    projector = KeypointProjector(body, targets.set_name)
    with torch.no_grad():
        _, relative = projector.keypoints(rotations, betas, -rest_pelvis(body, betas))
        pelvis, placed = place(relative, targets)
    usual = _usual_depth(body, targets)
    depth = torch.where(placed, pelvis[..., 2], torch.nan)
    typical = depth.nanmedian(0).values
    placed &= (depth / typical).log().abs() < torch.log(torch.tensor(DEPTH_FACTOR))
    own = torch.as_tensor(estimates.transl_m, device=device).float()
    for person in range(2):
        if not placed[:, person].any():
            given = known[:, person] & (own[:, person, 2] > 0)
            pelvis[given, person], placed[:, person] = own[given, person], given
    standing = torch.stack([torch.zeros_like(usual), torch.zeros_like(usual), usual], -1)
    nowhere = ~placed.any(0)
    pelvis = torch.where(nowhere[:, None], standing, pelvis)
    pelvis = _fill_linear(pelvis, placed | nowhere)
    return MotionVariables(
        pose_6d=matrix_to_6d(rotations),
        pelvis_ray=pelvis[..., :2] / pelvis[..., 2:],
        log_depth=pelvis[..., 2].log(),
        betas=betas,
    )


def implied_statures(
    body: Body, start: MotionVariables, estimates: PersonEstimates
) -> Float[Tensor, "person"]:
    """Body heights (metres) that the tool's depths imply; NaN where they imply none.

    In `start`, bodies of mean height are at the depth that matches their size in the image. A
    person whom the tool places farther away by some factor must be taller by that factor.

    Args:
        body: Body of `start`.
        start: What `start_from_estimate` returns.
        estimates: Persons 0 and 1, relative to the camera of `start`.
    """
    device = start.log_depth.device
    theirs = torch.as_tensor(estimates.transl_m[..., 2], device=device).float()
    usable = torch.as_tensor(estimates.known, device=device) & (theirs > 0)
    ratio = torch.where(usable, theirs / start.log_depth.exp(), torch.nan).nanmedian(0).values
    believable = (ratio.log().abs() < MOST_LOG_STATURE) & estimates.has_camera
    mean: Tensor = Stature(body)(torch.zeros_like(start.betas))
    return torch.where(believable, ratio * mean, torch.nan)


def place(
    relative: Float[Tensor, "*hypothesis frame person keypoint 3"], targets: KeypointTargets
) -> tuple[Float[Tensor, "*hypothesis frame person 3"], Bool[Tensor, "*hypothesis frame person"]]:
    """Find where posed bodies stand so that their keypoints project onto the observed ones.

    For given depths the projection is linear in the position, so this is a weighted least squares
    problem in three unknowns; a few rounds of reweighting discount outliers.

    Args:
        relative: Keypoints of the posed bodies about the pelvis, in camera axes.
        targets: Observed keypoints.

    Returns:
        Pelvis in the camera frame (in front of the camera), metres, and whether there were enough
        keypoints to find it.
    """
    K = targets.K[:, None, None]
    normalised = (targets.points_px - K[..., :2, 2]) / K[..., (0, 1), (0, 1)]
    eye = torch.eye(2, device=normalised.device).expand(*normalised.shape, 2)
    rows = torch.cat([eye, -normalised[..., None]], -1)
    aims = normalised * relative[..., 2:] - relative[..., :2]
    nearest = 0.3 + relative[..., 2].abs().amax(-1)
    weight = targets.weight.expand(relative.shape[:-1])
    ridge = 1e-6 * torch.eye(3, device=normalised.device)
    pelvis = relative.new_zeros((*relative.shape[:-2], 3))
    for _ in range(PLACING_ROUNDS):
        normal = torch.einsum("...k,...kri,...krj->...ij", weight, rows, rows) + ridge
        right = torch.einsum("...k,...kri,...kr->...i", weight, rows, aims)
        pelvis = torch.linalg.solve(normal, right)
        projected = project(relative + pelvis[..., None, :], K)
        error = (
            ((projected - targets.points_px) / targets.sigma_px[..., None, None]).square().sum(-1)
        )
        weight = targets.weight / (1.0 + error / PLACING_OUTLIER_SIGMAS**2).square()
    placed = targets.seen & (pelvis[..., 2] > nearest) & torch.isfinite(pelvis).all(-1)
    return torch.where(placed[..., None], pelvis, torch.ones_like(pelvis)), placed


def fill_rotations(
    rotations: Float[Tensor, "frame person 24 3 3"], known: Bool[Tensor, "frame person"]
) -> Float[Tensor, "frame person 24 3 3"]:
    """Interpolate unknown frames between the known ones before and after.

    The first and the last known frame extend to the ends; a person without any stays unchanged.
    """
    before, after, share = _neighbours(known)
    people = torch.arange(known.shape[1], device=known.device)
    filled = interpolate_rotations(
        rotations[before, people], rotations[after, people], share[..., None]
    )
    return torch.where(known[..., None, None, None], rotations, filled)


def _fill_linear(
    values: Float[Tensor, "frame person 3"], known: Bool[Tensor, "frame person"]
) -> Float[Tensor, "frame person 3"]:
    before, after, share = _neighbours(known)
    people = torch.arange(known.shape[1], device=known.device)
    return torch.lerp(values[before, people], values[after, people], share[..., None])


def _neighbours(
    known: Bool[Tensor, "frame person"],
) -> tuple[Int[Tensor, "frame person"], Int[Tensor, "frame person"], Float[Tensor, "frame person"]]:
    """Known frames before and after each frame, and how far it lies between them, 0 to 1."""
    count = known.shape[0]
    frame = torch.arange(count, device=known.device)[:, None].expand(known.shape)
    before = torch.where(known, frame, -1).cummax(0).values
    after = torch.where(known, frame, count).flip(0).cummin(0).values.flip(0)
    before, after = (
        torch.where(before < 0, after, before),
        torch.where(after == count, before, after),
    )
    nobody = ~known.any(0)
    before, after = (torch.where(nobody, frame, side) for side in (before, after))
    share = (frame - before) / (after - before).clamp_min(1)
    return before, after, share.clamp(0.0, 1.0)


def _usual_depth(body: Body, targets: KeypointTargets) -> Float[Tensor, "frame person"]:
    """Depth (metres) at which the mean body is as tall in the image as the person."""
    height = body.v_template[:, 1]
    return targets.K[:, None, 1, 1] * (height.max() - height.min()) / targets.height_px


def _merge(
    start: MotionVariables, lifted: MotionVariables, covered: Bool[Tensor, "person"]
) -> MotionVariables:
    """Take covered people from `start` and the others from `lifted`."""

    def choose(given: Tensor, other: Tensor) -> Tensor:
        mask = covered.to(given.device).reshape(1, -1, *[1] * (given.ndim - 2))
        return torch.where(mask, given, other)

    return MotionVariables(
        choose(start.pose_6d, lifted.pose_6d),
        choose(start.pelvis_ray, lifted.pelvis_ray),
        choose(start.log_depth, lifted.log_depth),
        start.betas,
    )


def estimate_objective(
    body: Body,
    limits: JointLimits,
    targets: KeypointTargets,
    estimates: PersonEstimates,
    statures: Float[Tensor, "person"],
    weights: MotionWeights,
) -> MotionObjective:
    """The terms of a clip fit, and those that keep poses and body heights near the estimate."""
    device = targets.K.device
    rotations = torch.as_tensor(estimates.rotations, device=device).float()
    trust = torch.as_tensor(estimates.known, device=device).float()[..., None].repeat(1, 1, 24)
    if not estimates.has_camera:
        trust[..., 0] = 0.0  # the camera's heading is only a rough estimate
    sigma = torch.full_like(trust, ESTIMATE_SIGMA_RAD)
    reference = pose_term(rotations, sigma, ESTIMATE_POSE * trust, ESTIMATE_OUTLIER_SIGMAS)
    terms = [*motion_terms(body, limits, weights), reference, stature_term(statures)]
    return MotionObjective(body, targets.set_name, terms)
