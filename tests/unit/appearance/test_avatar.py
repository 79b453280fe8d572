"""Gaussians on the body: they sit where the surface is, for every pose and shape."""

from pathlib import Path

import pytest
import roma
import torch

from closefit.appearance.avatar import CHANNELS, Avatars, SurfaceRig, face_frames
from closefit.appearance.surface import SurfaceTexels, surface_texels
from closefit.appearance.unet import UNet
from closefit.body.model import Body

WEIGHTS = Path(__file__).resolve().parents[3] / "weights"


@pytest.fixture(scope="module")
def body() -> Body:
    """The free body."""
    return Body.load(WEIGHTS / "closefit_body.npz")


@pytest.fixture(scope="module")
def texels(body: Body) -> SurfaceTexels:
    """A coarse map of it."""
    return surface_texels(body, 64)


def _motion() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rotations = roma.rotvec_to_rotmat(0.4 * torch.randn(3, 2, 24, 3))
    return rotations, 0.7 * torch.randn(2, 10), torch.randn(3, 2, 3)


def test_the_map_has_the_papers_14_channels() -> None:
    assert sum(CHANNELS.values()) == 14


def test_texels_lie_on_their_faces(texels: SurfaceTexels) -> None:
    assert float(texels.barycentric.min()) > -1e-6
    torch.testing.assert_close(texels.barycentric.sum(-1), torch.ones(len(texels.face)))
    assert len(torch.unique(texels.row * texels.size + texels.column)) == len(texels.row)


def test_texels_cover_every_part_of_the_body(body: Body, texels: SurfaceTexels) -> None:
    parts = body.vertex_parts()[body.faces[texels.face][:, 0]]
    assert set(parts.tolist()) == set(range(int(body.vertex_parts().max()) + 1))


def test_more_texels_lie_closer_together(body: Body, texels: SurfaceTexels) -> None:
    finer = surface_texels(body, 128)
    ratio = texels.spacing_m.median() / finer.spacing_m.median()
    assert float(ratio) == pytest.approx(2.0, rel=0.1)


def test_a_body_without_uvs_gets_an_atlas(body: Body) -> None:
    bare = Body(
        **{
            **vars(body),
            "uv": torch.zeros(0, 2),
            "faces_uv": torch.zeros(0, 3, dtype=torch.int64),
        }
    )
    texels = surface_texels(bare, 512)
    assert len(torch.unique(texels.face)) > 0.9 * len(body.faces)


def test_fresh_gaussians_ride_on_the_skinned_surface(body: Body, texels: SurfaceTexels) -> None:
    rotations, betas, transl = _motion()
    with torch.no_grad():
        gaussians = SurfaceRig(body, texels).pose(Avatars(texels, 4, 4)(), rotations, betas, transl)
    vertices = body.pose(rotations, betas, transl).vertices[:, :, body.faces[texels.face]]
    expected = (vertices * texels.barycentric[..., None]).sum(-2)
    distance = (gaussians.means - expected.flatten(1, 2)).norm(dim=-1)
    # Blending weights on a face instead of its corners bends the surface by next to nothing.
    assert float(distance.mean()) < 2e-4
    assert float(distance.max()) < 1e-2


def test_gaussians_turn_with_the_whole_body(body: Body, texels: SurfaceTexels) -> None:
    rotations, betas, transl = _motion()
    turn = roma.random_rotmat(1)[0]
    pelvis = body.rest(betas).joints[:, 0]
    turned = rotations.clone()
    turned[:, :, 0] = turn @ rotations[:, :, 0]
    moved = (turn @ (transl + pelvis)[..., None])[..., 0] - pelvis
    rig, avatars = SurfaceRig(body, texels), Avatars(texels, 4, 4)
    torch.nn.init.normal_(avatars.decoder.head.weight)
    with torch.no_grad():
        before = rig.pose(avatars(), rotations, betas, transl)
        after = rig.pose(avatars(), turned, betas, moved)
    torch.testing.assert_close(after.means, before.means @ turn.T, rtol=1e-4, atol=1e-4)
    axes = [
        roma.unitquat_to_rotmat(roma.quat_wxyz_to_xyzw(gaussians.quat_wxyz))
        for gaussians in (before, after)
    ]
    torch.testing.assert_close(axes[1], turn @ axes[0], rtol=1e-3, atol=1e-3)


def test_ownership_sums_to_one_and_starts_with_its_person(
    texels: SurfaceTexels, body: Body
) -> None:
    with torch.no_grad():
        gaussians = SurfaceRig(body, texels).pose(Avatars(texels, 4, 4)(), *_motion())
    ownership = gaussians.features[0, :, 3:]
    torch.testing.assert_close(ownership.sum(-1), torch.ones(len(ownership)))
    half = len(ownership) // 2
    assert float(ownership[:half, 0].min()) > 0.9
    assert float(ownership[half:, 1].min()) > 0.9


def test_face_frames_point_outwards(body: Body) -> None:
    corners = body.v_template[body.faces]
    frames = face_frames(corners)
    identity = torch.eye(3).expand(len(frames), 3, 3)
    torch.testing.assert_close(frames.mT @ frames, identity, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        torch.linalg.det(frames), torch.ones(len(frames)), rtol=1e-4, atol=1e-4
    )


def test_unet_starts_at_zero_and_keeps_the_size() -> None:
    net = UNet(5, 14, 4)
    latent = torch.randn(2, 5, 32, 32)
    out = net(latent)
    assert out.shape == (2, 14, 32, 32)
    assert not out.detach().any()


def test_people_do_not_mix_in_the_decoder() -> None:
    net = UNet(5, 14, 4)
    torch.nn.init.normal_(net.head.weight)
    latent = torch.randn(2, 5, 32, 32)
    changed = latent.clone()
    changed[1] += 1.0
    torch.testing.assert_close(net(latent)[0], net(changed)[0])
