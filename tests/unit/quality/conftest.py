"""Two people who walk past each other, found exactly as a perfect detector sees them."""

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import roma
import torch

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.exporters.mesh_raster import MeshPainter
from closefit.exporters.reprojection import reprojected_keypoints
from closefit.exporters.views import project_perspective
from closefit.geometry.camera import intrinsics
from closefit.geometry.camera_path import CameraPath
from closefit.mask_stack import MaskStack, deflate
from closefit.quality.features import Result
from closefit.quality.measuring import measure
from closefit.records import Motion, Track
from tests.known_motion import WEIGHTS
from tests.samples import make_track

FRAMES, SIZE_WH, FPS, CONFIDENT = 40, (240, 180), 30.0, 0.9


@dataclass(frozen=True, eq=False)
class Finished:
    """A result, its body, and how to measure it again."""

    body: Body
    result: Result

    def again(self, track: Track | None = None, motion: Motion | None = None) -> Result:
        """Measure another motion, or the same one against other observations."""
        return measured(self.body, track or self.result.track, motion or self.result.motion)


def measured(body: Body, track: Track, motion: Motion) -> Result:
    return measure(body, track, motion, CameraPath.still(motion.K), lambda *_: None)


def make_motion(body: Body, aside_m: float = 0.0) -> Motion:
    """Both stand in profile, swing arms and legs, and one passes before the other."""
    phase = torch.linspace(0.0, 6.0, FRAMES)[:, None, None]
    swing = torch.zeros(FRAMES, 2, 24, 3)
    swing[:, :, [1, 2], 0] = 0.25 * torch.sin(phase) * torch.tensor([1.0, -1.0])
    facing = torch.tensor([[0.0, 1.2, 0.0], [0.0, -1.2, 0.0]])
    rotations = JointLimits.create("cpu", torch.float32).relaxed @ roma.rotvec_to_rotmat(swing)
    rotations[:, :, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ roma.rotvec_to_rotmat(facing)
    betas = torch.zeros(2, 10)
    transl = torch.tensor([[-0.35, 0.1, 3.2], [0.35, 0.1, 4.0]]).repeat(FRAMES, 1, 1)
    transl[:, 0, 0] += torch.linspace(0.0, 0.5, FRAMES)
    transl[..., 0] += aside_m
    joints = body.joints(rotations, betas, transl).numpy()
    K = intrinsics(*SIZE_WH, 230.0).astype(np.float32)
    return Motion(
        rotations=rotations.numpy(),
        betas=betas.numpy(),
        transl=transl.numpy(),
        joints=joints,
        K=np.tile(K, (FRAMES, 1, 1)),
        valid=np.ones((FRAMES, 2), bool),
        confidence=np.full((FRAMES, 2), 0.9, np.float32),
        body_name=np.array("closefit"),
        floor=np.array([0.0, -1.0, 0.0, 1.05], np.float32),
        notes=np.array(""),
    )


def perfect_track(body: Body, motion: Motion) -> Track:
    """Keypoints and masks of the posed bodies."""
    pose = map(torch.from_numpy, (motion.rotations, motion.betas, motion.transl))
    vertices = body.pose(*pose).vertices.numpy()
    painter = MeshPainter(body.faces.numpy(), *SIZE_WH)
    owners = [
        painter.owners(project_perspective(pair, K, 0.1))
        for pair, K in zip(vertices, motion.K, strict=True)
    ]
    masks = [[owner == 1, owner == 2] for owner in owners]
    union = MaskStack.of((deflate(a | b) for a, b in masks), SIZE_WH)
    people = MaskStack.of((deflate(mask) for pair in masks for mask in pair), SIZE_WH, (-1, 2))
    points = reprojected_keypoints(body, motion, "coco17")
    confidence = np.full((FRAMES, 2, 17, 1), CONFIDENT)
    corners = np.concatenate([points.min(axis=2), points.max(axis=2)], axis=-1)
    return replace(
        make_track(FRAMES, SIZE_WH),
        boxes_xyxy=corners.astype(np.float32),
        keypoints=np.concatenate([points, confidence], axis=-1).astype(np.float32),
        union_mask_bytes=union.joined,
        union_mask_ends=union.ends,
        person_mask_bytes=people.joined,
        person_mask_ends=people.ends,
    )


@pytest.fixture(scope="session")
def finished() -> Finished:
    body = Body.load(WEIGHTS / "closefit_body.npz")
    motion = make_motion(body)
    return Finished(body, measured(body, perfect_track(body, motion), motion))


def with_people_exchanged(result: Result) -> Result:
    """The same result with the two in the other order, as `measure` would find it."""
    track, motion, contacts = result.track, result.motion, result.contacts
    per_person = ("boxes_xyxy", "keypoints", "seen", "filled", "identity_confidence")
    of_motion = ("rotations", "transl", "joints", "valid", "confidence")
    of_parts = ("distance_m", "near_m", "depth_mm", "place_m", "probability")
    return replace(
        result,
        track=replace(track, **{name: getattr(track, name)[:, ::-1] for name in per_person}),
        motion=replace(
            motion,
            betas=motion.betas[::-1].copy(),
            **{name: getattr(motion, name)[:, ::-1].copy() for name in of_motion},
        ),
        keypoints_px=result.keypoints_px[:, ::-1],
        depth_m=result.depth_m[:, ::-1],
        contacts=replace(
            contacts, **{name: getattr(contacts, name).swapaxes(1, 2) for name in of_parts}
        ),
        silhouettes=replace(result.silhouettes, overlap=result.silhouettes.overlap[:, ::-1]),
    )


def played_backwards(result: Result) -> Result:
    """The same result with its frames in the other order."""
    track, motion = result.track, result.motion
    of_track = ("boxes_xyxy", "keypoints", "seen", "filled", "identity_confidence")
    of_motion = ("rotations", "transl", "joints", "K", "valid", "confidence")
    contacts, silhouettes = result.contacts, result.silhouettes
    return replace(
        result,
        track=replace(track, **{name: getattr(track, name)[::-1] for name in of_track}),
        motion=replace(motion, **{name: getattr(motion, name)[::-1].copy() for name in of_motion}),
        keypoints_px=result.keypoints_px[::-1],
        depth_m=result.depth_m[::-1],
        focal_px=result.focal_px[::-1],
        contacts=replace(
            contacts, **{f.name: getattr(contacts, f.name)[::-1] for f in fields(contacts)}
        ),
        silhouettes=replace(
            silhouettes,
            **{f.name: getattr(silhouettes, f.name)[::-1] for f in fields(silhouettes)},
        ),
    )
