"""Renders decide who is nearer: a wrong order is found, a right one is left alone."""

import dataclasses

import numpy as np
import pytest
import torch

from closefit.appearance.avatar import Avatars, GaussianMap, SurfaceRig
from closefit.appearance.raster.rasterizer import rasterize
from closefit.appearance.surface import surface_texels
from closefit.config import OptimizeConfig
from closefit.fit.floor import FloorPlane, typical_up
from closefit.fit.objective import MotionObjective, motion_terms
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.variables import MotionVariables
from closefit.fit.weights import MotionWeights
from closefit.geometry.camera import crop_intrinsics
from closefit.geometry.penetration import PenetrationProxy
from closefit.optimize.depth_order import (
    CLEAR_M,
    SEGMENT,
    DepthOrderPhase,
    overlapping_segments,
    swapped,
)
from closefit.optimize.loop import JointLoop, JointModel
from closefit.optimize.motion_model import DirectMotion
from closefit.optimize.objective import CroppedFrames, JointObjective, ObservedClip
from tests.known_motion import FRAMES, KnownMotion

SIZE = (96, 72)
CONFIG = OptimizeConfig()


class _RedAndGreen(Avatars):
    """An appearance that was learned already."""

    def forward(self) -> GaussianMap:
        """Colour the two people."""
        gaussians = super().forward()
        red_green = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.7, 0.1]])
        return dataclasses.replace(gaussians, colour=red_green[:, None].expand_as(gaussians.colour))


@pytest.fixture(scope="module")
def truth(known: KnownMotion) -> MotionVariables:
    """The known people, 0.3 m apart in the image plane: the nearer one hides much of the other."""
    v = known.variables
    pelvis = torch.tensor([[-0.12, 0.1, 3.1], [0.18, 0.1, 3.45]]).expand(FRAMES, 2, 3)
    return MotionVariables(
        v.pose_6d, pelvis[..., :2] / pelvis[..., 2:], pelvis[..., 2].log(), v.betas
    )


@pytest.fixture(scope="module")
def check(known: KnownMotion, truth: MotionVariables) -> DepthOrderPhase:
    """A check against images and keypoints of the true motion."""
    torch.manual_seed(0)
    body, K = known.body, known.targets.K
    texels = surface_texels(body, 48)
    rig, avatars = SurfaceRig(body, texels), _RedAndGreen(texels, 4, 4)
    crop_K = crop_intrinsics(K, 0.0, 0.0, SIZE[0] / 480, SIZE[1] / 360)
    with torch.no_grad():
        rotations, transl = truth.rotations(), truth.transl(body)
        joints, points = KeypointProjector(body, "coco17")(rotations, truth.betas, transl, K)
        render = rasterize(rig.pose(avatars(), rotations, truth.betas, transl), crop_K, *SIZE)
    image = render.features[..., :3] + 1.0 - render.alpha[..., None]
    up = typical_up(torch.device("cpu"))
    plane = torch.cat([up, -(joints[:, :, [10, 11]] @ up).min()[None]])
    loop = JointLoop(
        JointObjective(
            MotionObjective(body, "coco17", motion_terms(body, known.prior, MotionWeights())),
            rig,
            PenetrationProxy.create(body.v_template, body.faces, 400),
            None,
            CONFIG,
            CONFIG.weight_stay_near_init,
        ),
        JointModel(DirectMotion(truth, CONFIG.lr_motion), FloorPlane.from_plane(plane), avatars),
        ObservedClip(
            dataclasses.replace(known.targets, points_px=points),
            CroppedFrames(
                images=(255 * image.clamp(0, 1)).to(torch.uint8),
                masks=(255 * render.alpha).to(torch.uint8),
                masked=torch.ones(FRAMES, dtype=torch.bool),
                K=crop_K,
            ),
        ),
        [],
        CONFIG,
    )
    return DepthOrderPhase(loop, [])


def test_a_wrong_order_is_found(check: DepthOrderPhase, truth: MotionVariables) -> None:
    motion, found = check.corrected(swapped(truth, (0, 8)), [(0, 8), (8, FRAMES)])
    assert found == [(0, 8)]
    assert (motion.log_depth[:, 0] < motion.log_depth[:, 1]).all()


def test_a_right_order_is_left_alone(check: DepthOrderPhase, truth: MotionVariables) -> None:
    motion, found = check.corrected(truth, [(0, 8), (8, FRAMES)])
    assert found == []
    for one, other in zip(motion.tensors(), truth.tensors(), strict=True):
        assert torch.equal(one, other)


def test_frames_outside_the_segment_stay(check: DepthOrderPhase, truth: MotionVariables) -> None:
    wrong = swapped(truth, (2, 8))
    motion, found = check.corrected(wrong, [(2, 8)])
    assert found == [(2, 8)]
    for one, other in zip(motion.tensors()[:3], wrong.tensors()[:3], strict=True):
        assert torch.equal(one[:2], other[:2])
        assert torch.equal(one[8:], other[8:])


def test_swapping_keeps_places_in_the_image_and_undoes_itself(truth: MotionVariables) -> None:
    other = swapped(truth, (3, 7))
    pelvis, was = other.pelvis(), truth.pelvis()
    torch.testing.assert_close(pelvis[..., :2] / pelvis[..., 2:], was[..., :2] / was[..., 2:])
    assert torch.equal(other.log_depth[3:7], truth.log_depth[3:7].flip(-1))
    assert torch.equal(swapped(other, (3, 7)).log_depth, truth.log_depth)


def test_people_at_one_depth_are_swapped_to_clearly_different_ones(truth: MotionVariables) -> None:
    gap = torch.tensor([[0.01, -0.01]])
    near = truth.log_depth.mean(-1, keepdim=True) + gap
    motion = dataclasses.replace(truth, log_depth=near)
    depth = swapped(motion, (3, 7)).log_depth.exp()
    apart = (depth[:, 1] - depth[:, 0])[3:7]
    assert (apart > 0.9 * CLEAR_M).all()
    torch.testing.assert_close(depth.mean(-1), near.exp().mean(-1))
    torch.testing.assert_close(depth[7:], near.exp()[7:])


def test_segments_are_short_and_only_where_people_overlap() -> None:
    overlap = np.zeros(60)
    overlap[3:5] = 0.3  # too short to decide
    overlap[10:31] = 0.3
    overlap[55:] = 0.3
    segments = overlapping_segments(overlap)
    assert segments == [(10, 18), (18, 26), (26, 31), (55, 60)]
    assert max(stop - first for first, stop in segments) <= SEGMENT
    assert overlapping_segments(np.zeros(60)) == []
