"""Finds persons 0 and 1 of a clip among the people that another tool followed.

The people are projected into the picture and compared with the clip's keypoints. One path through
the clip per person is chosen jointly, so that both paths never use the same track. A path may
change to another track where one ends, or where the tool itself confused the two people.
"""

import dataclasses
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from closefit.body.model import Body
from closefit.body.stature import Stature
from closefit.errors import InputError
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import rest_pelvis
from closefit.geometry.camera import project
from closefit.geometry.rotations import rotation_between
from closefit.imports.estimates.facing import camera_rotations
from closefit.imports.estimates.tracks import FRAME_SLACK
from closefit.init.from_estimate import place
from closefit.records import PersonEstimates, VideoInfo

MISFIT_CAP = 0.5
"""Largest error of a keypoint, in heights of the person in the image."""

NOBODY_MISFIT = 0.25
"""Mean keypoint error, in body heights, from which on no track is better than this one."""

CHANGE_MISFIT = 0.3
"""A change to another track costs as much as this error in one frame."""

MOST_TRACKS = 16
"""Only this many tracks, those that fit in most frames, are candidates."""

STATURES_M = (0.5, 5.0)
"""Bounds of the stature that follows from the depths, in metres; outside, the unit is another."""

NEAR_HEIGHTS = 0.6
"""A pelvis at most this far from the middle of a person's keypoints is that person's."""

UNIT_FRAMES = 200
"""Frames, spread over the clip, from which the unit is determined."""

CHUNK = 256
"""Frames compared at once; memory must not grow with the clip."""

HINT = "make the estimate from this very video; docs/estimates.md explains how"


def find_pair(
    path: Path,
    estimates: PersonEstimates,
    targets: KeypointTargets,
    body: Body,
    first_frame: int,
    video: VideoInfo,
) -> PersonEstimates:
    """Return the estimate of persons 0 and 1 in the clip's frames, relative to the clip's camera.

    Args:
        path: Where the estimate comes from, for messages.
        estimates: Everybody, in all frames of the source video (or of the chosen part).
        targets: Keypoints and camera of the clip.
        body: Any body on the device of `targets`.
        first_frame: Number of the clip's first frame in the source video.
        video: The source video.

    Returns:
        The two people. Joint 0 is rotated so that they look the same in our camera as in the
        tool's; depths are scaled with the focal length. A person whom no track fits is `known` in
        no frame.

    Raises:
        InputError: The estimate is not of this video or this part of it, its unit is not the metre,
            or nobody in it fits either person.
    """
    clip = cut_to_clip(path, estimates, first_frame, targets.num_frames, video)
    seen_by_tool = _their_camera(clip, targets)
    if clip.has_camera:
        _check_unit(path, clip, seen_by_tool, body)
        R_clip_tool = None
    else:
        R_clip_tool = camera_rotations(clip, targets, body)
    misfit = _misfits(clip, seen_by_tool, body, R_clip_tool)
    candidates = _most_fitting(misfit)
    paths = best_paths(misfit[:, candidates])
    paths = np.where(paths >= 0, candidates[paths], -1)
    pair = _follow(clip, paths, misfit, R_clip_tool)
    if not pair.known.any():
        _nobody_fits(path, misfit, clip.known.shape[1])
    return in_our_camera(pair, targets) if pair.has_camera else pair


def cut_to_clip(
    path: Path, estimates: PersonEstimates, first_frame: int, frames: int, video: VideoInfo
) -> PersonEstimates:
    """Keep the frames of the clip; unknown ones are added where the estimate ends earlier.

    An estimate that is as long as the clip (and starts later than the video) is of the clip alone,
    any other one is of the whole video.

    Raises:
        InputError: It is longer than the video, or has nobody in the clip.
    """
    length = len(estimates.known)
    if length > video.num_frames + FRAME_SLACK:
        raise InputError(
            f"the estimate `{path}` has a frame {length - 1}, but `{video.path}` has only "
            f"{video.num_frames} frames",
            HINT,
        )
    start = 0 if abs(length - frames) <= FRAME_SLACK else first_frame
    numbers = np.arange(start, start + frames)
    inside = numbers < length
    numbers = np.minimum(numbers, length - 1)
    known = estimates.known[numbers] & inside[:, None]
    if not known.any():
        present = np.flatnonzero(estimates.known.any(axis=1))
        span = f"frames {present[0]} to {present[-1]}" if len(present) else "no frame"
        raise InputError(
            f"the estimate `{path}` has people in {span} only, but the clip is frames "
            f"{first_frame} to {first_frame + frames - 1} of `{video.path}`",
            HINT,
        )
    return dataclasses.replace(
        estimates,
        rotations=estimates.rotations[numbers],
        transl_m=estimates.transl_m[numbers],
        known=known,
    )


def best_paths(misfit: Float[np.ndarray, "frame track person"]) -> Int[np.ndarray, "frame person"]:
    """Choose a track for each of the two people in every frame, -1 for none.

    The sum of errors is smallest over all pairs of paths that never share a track (Viterbi).

    Args:
        misfit: Error of each track as each person; `MISFIT_CAP` where the track is unknown, and
            0 for all tracks where the person is not observed.
    """
    frames, tracks, _ = misfit.shape
    none = np.where((misfit > 0).any(axis=1, keepdims=True), NOBODY_MISFIT, 0.0)
    local = np.concatenate([misfit, none], axis=1)  # the last column is "no track"
    first, second = np.divmod(np.arange((tracks + 1) ** 2), tracks + 1)
    allowed = (first != second) | (first == tracks)
    first, second = first[allowed], second[allowed]
    change = (first[:, None] != first).astype(np.float64) + (second[:, None] != second)
    total = np.zeros(len(first))
    origin = np.zeros((frames, len(first)), dtype=np.int64)
    for frame in range(frames):
        if frame:
            ways = total[:, None] + CHANGE_MISFIT * change
            origin[frame] = ways.argmin(axis=0)
            total = ways.min(axis=0)
        total = total + local[frame, first, 0] + local[frame, second, 1]
    state = int(total.argmin())
    paths = np.empty((frames, 2), dtype=np.int64)
    for frame in reversed(range(frames)):
        paths[frame] = first[state], second[state]
        state = int(origin[frame, state])
    return np.where(paths == tracks, -1, paths)


def in_our_camera(pair: PersonEstimates, targets: KeypointTargets) -> PersonEstimates:
    """Return poses that have the same image in our camera as `pair` has in the tool's.

    The root rotation and the position are rotated by the angle between the two viewing rays, and
    the depth is scaled by the ratio of the focal lengths.
    """
    own = targets.K.cpu().double()[:, None]
    theirs = torch.as_tensor(pair.K, dtype=torch.float64)
    if not torch.isfinite(theirs).all():
        return pair
    at = torch.as_tensor(pair.transl_m).double()
    usable = torch.as_tensor(pair.known) & (at[..., 2] > 0)
    at = torch.where(usable[..., None], at, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    pixel = project(at, theirs)
    ray = torch.cat(
        [(pixel - own[..., :2, 2]) / own[..., (0, 1), (0, 1)], torch.ones_like(at[..., :1])], -1
    )
    depth = at[..., 2:] * own[..., :1, 0] / theirs[0, 0]
    rotations = pair.rotations.copy()
    R_ours_theirs = rotation_between(at, ray)
    rotations[:, :, 0] = (R_ours_theirs @ torch.as_tensor(rotations[:, :, 0]).double()).numpy()
    transl_m = torch.where(usable[..., None], ray * depth, torch.nan)
    return dataclasses.replace(
        pair, rotations=rotations, transl_m=transl_m.numpy().astype(np.float32), K=own[0, 0].numpy()
    )


def _their_camera(clip: PersonEstimates, targets: KeypointTargets) -> KeypointTargets:
    """The observations, with the tool's camera where it is known."""
    if not np.isfinite(clip.K).all():
        return targets
    return dataclasses.replace(
        targets, K=torch.as_tensor(clip.K).to(targets.K).expand_as(targets.K)
    )


def _relative_keypoints(
    clip: PersonEstimates, targets: KeypointTargets, body: Body, frames: slice
) -> Float[Tensor, "track frame keypoint 3"]:
    """Keypoints of mean bodies about the pelvis."""
    rotations = torch.as_tensor(clip.rotations[frames], device=targets.K.device).float()
    betas = torch.zeros(10, device=targets.K.device)
    projector = KeypointProjector(body, targets.set_name)
    _, relative = projector.keypoints(rotations, betas, -rest_pelvis(body, betas[None])[0])
    return relative.transpose(0, 1)


def _misfits(
    clip: PersonEstimates,
    targets: KeypointTargets,
    body: Body,
    R_clip_tool: Float[Tensor, "track person 3 3"] | None,
) -> Float[np.ndarray, "frame track person"]:
    """Mean keypoint error of each track as each person, in heights of the person in the image."""
    parts = []
    for first in range(0, targets.num_frames, CHUNK):
        frames = slice(first, first + CHUNK)
        part = targets.cut(frames)
        relative = _relative_keypoints(clip, targets, body, frames)[:, :, None]
        if R_clip_tool is None:
            pelvis = torch.as_tensor(clip.transl_m[frames]).to(relative).transpose(0, 1)[:, :, None]
        else:
            relative = torch.einsum("tpij,tfokj->tfpki", R_clip_tool, relative)
            pelvis, _ = place(relative, part)
        projected = project(relative + pelvis[..., None, :], part.K[:, None, None])
        error = (projected - part.points_px).norm(dim=-1) / part.height_px[..., None]
        error = error.nan_to_num(MISFIT_CAP).clamp_max(MISFIT_CAP)
        mean = (part.weight * error).sum(-1) / part.weight.sum(-1).clamp_min(1e-6)
        known = torch.as_tensor(clip.known[frames], device=mean.device).T[..., None]
        mean = torch.where(known, mean, MISFIT_CAP)
        parts.append(torch.where(part.seen, mean, 0.0).transpose(0, 1))
    return torch.cat(parts).cpu().double().numpy()


def _most_fitting(
    misfit: Float[np.ndarray, "frame track person"],
) -> Int[np.ndarray, " candidate"]:
    """Tracks that are better than none as someone in the largest number of frames."""
    gain = np.maximum(NOBODY_MISFIT - misfit, 0.0) * (misfit > 0)
    return np.sort(np.argsort(-gain.sum(axis=(0, 2)))[:MOST_TRACKS])


def _follow(
    clip: PersonEstimates,
    paths: Int[np.ndarray, "frame person"],
    misfit: Float[np.ndarray, "frame track person"],
    R_clip_tool: Float[Tensor, "track person 3 3"] | None,
) -> PersonEstimates:
    """Return the estimates of the chosen tracks, without frames that do not fit."""
    frame, person = np.arange(len(paths))[:, None], np.arange(2)
    fits = misfit[frame, paths, person] < NOBODY_MISFIT
    known: Bool[np.ndarray, "frame person"] = (paths >= 0) & clip.known[frame, paths] & fits
    rotations = np.where(
        known[..., None, None, None], clip.rotations[frame, paths], np.eye(3, dtype=np.float32)
    ).astype(np.float32)
    if R_clip_tool is not None:
        chosen = R_clip_tool.cpu().numpy()[paths, person].astype(np.float32)
        rotations[:, :, 0] = (
            np.where(known[..., None, None], chosen, np.eye(3)) @ rotations[:, :, 0]
        )
    transl_m = np.where(known[..., None], clip.transl_m[frame, paths], np.nan).astype(np.float32)
    return dataclasses.replace(clip, rotations=rotations, transl_m=transl_m, known=known)


def _check_unit(path: Path, clip: PersonEstimates, targets: KeypointTargets, body: Body) -> None:
    """Refuse depths that give people of this size in the image a stature outside `STATURES_M`."""
    some = slice(None, None, -(-targets.num_frames // UNIT_FRAMES))
    targets = targets.cut(some)
    relative = _relative_keypoints(clip, targets, body, some)[:, :, None]
    placed_at, placed = place(relative.expand(-1, -1, 2, -1, -1), targets)
    pelvis = torch.as_tensor(clip.transl_m[some]).to(relative).transpose(0, 1)[:, :, None]
    weight = targets.weight[..., None]
    middle = (targets.points_px * weight).sum(2) / weight.sum(2).clamp_min(1e-6)
    depth = pelvis[..., 2].nan_to_num(0.0)
    pixel = pelvis[..., :2] / depth[..., None] * targets.K[:, None, (0, 1), (0, 1)]
    away = (pixel + targets.K[:, None, :2, 2] - middle).norm(dim=-1)
    near = (away < NEAR_HEIGHTS * targets.height_px) & placed & (depth > 0)
    if not near.any():
        return
    ratio = float((depth / placed_at[..., 2])[near].median())
    stature = ratio * float(Stature(body)(torch.zeros(1, 10).to(relative))[0])
    if not STATURES_M[0] < stature < STATURES_M[1]:
        raise InputError(
            f"the people of the estimate `{path}` would be {stature:.3g} m tall where it puts them",
            hint="its translations must be metres for the camera it names: convert them, or let "
            "the tool write its own file",
        )


def _nobody_fits(
    path: Path, misfit: Float[np.ndarray, "frame track person"], people: int
) -> NoReturn:
    observed = misfit[misfit > 0]
    nearest = f"{100 * observed.min():.0f} %" if len(observed) else "unknown"
    raise InputError(
        f"none of the {people} people in the estimate `{path}` is where the clip's two are: their "
        f"keypoints are {nearest} of a body height off at best",
        HINT,
    )
