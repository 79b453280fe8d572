"""The appearance of both people: latent codes decoded to Gaussians on the posed bodies."""

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from closefit.appearance.raster.gaussians import Gaussians
from closefit.appearance.surface import SurfaceTexels
from closefit.appearance.unet import UNet
from closefit.body.model import Body
from closefit.body.skeleton import PARENTS
from closefit.geometry.constants import constant, indices

CHANNELS = {
    "offset": 3,
    "colour": 3,
    "opacity": 1,
    "rotation": 3,
    "scale": 3,
    "identity": 1,
}
"""The 14 channels of the Gaussian UV map (paper section 3.3)."""

OFFSET_UNIT_M = 0.02
SCALE_OF_SPACING = 0.7
"""Standard deviation of a fresh Gaussian over the distance to its neighbours: closes the gaps."""
MAX_LOG_SCALE = 1.2
FRESH_OPACITY_LOGIT = 2.5
FRESH_IDENTITY_LOGIT = 4.0
UNIT_LOGIT = 2.0
"""Logits per unit of network output, so that one learning rate suits all channels."""


def _chain(joint: int) -> set[int]:
    """The joint and all joints above it."""
    return {joint} if joint == 0 else {joint} | _chain(PARENTS[joint])


CHAINS = tuple(
    tuple(float(above in _chain(joint)) for joint in range(len(PARENTS)))
    for above in range(len(PARENTS))
)
"""1 in row `above` and column `joint` where the first is the second or lies above it."""


@dataclass(frozen=True, eq=False)
class GaussianMap:
    """Decoded Gaussians of both people, in the frames of their mesh faces.

    Attributes:
        offset_m: Offset from the surface point, in the face's frame (third axis outwards).
        colour: RGB, 0 to 1.
        opacity: 0 to 1.
        rotation: Axis-angle in the face's frame.
        scale_m: Standard deviations along the Gaussian's axes.
        identity: Ownership, 0 to 1, by the person whose body carries the Gaussian.
    """

    offset_m: Float[Tensor, "person gaussian 3"]
    colour: Float[Tensor, "person gaussian 3"]
    opacity: Float[Tensor, "person gaussian"]
    rotation: Float[Tensor, "person gaussian 3"]
    scale_m: Float[Tensor, "person gaussian 3"]
    identity: Float[Tensor, "person gaussian"]


class Avatars(nn.Module):
    """Latent codes (one per person) and the decoder that turns them into Gaussians."""

    def __init__(self, texels: SurfaceTexels, channels: int, width: int) -> None:
        """Start both people grey, opaque and on the surface."""
        super().__init__()
        self._texels = texels
        self.latent = nn.Parameter(0.1 * torch.randn(2, channels, texels.size, texels.size))
        self.decoder = UNet(channels, sum(CHANNELS.values()), width)

    def forward(self) -> GaussianMap:
        """Decode the map once and keep the texels on the surface."""
        uv_map = self.decoder(self.latent)[:, :, self._texels.row, self._texels.column]
        raw = dict(zip(CHANNELS, uv_map.mT.split(tuple(CHANNELS.values()), dim=-1), strict=True))
        spacing = self._texels.spacing_m[:, None] * SCALE_OF_SPACING
        return GaussianMap(
            offset_m=OFFSET_UNIT_M * raw["offset"],
            colour=torch.sigmoid(UNIT_LOGIT * raw["colour"]),
            opacity=torch.sigmoid(UNIT_LOGIT * raw["opacity"] + FRESH_OPACITY_LOGIT)[..., 0],
            rotation=raw["rotation"],
            scale_m=spacing * torch.exp(MAX_LOG_SCALE * torch.tanh(raw["scale"])),
            identity=torch.sigmoid(UNIT_LOGIT * raw["identity"] + FRESH_IDENTITY_LOGIT)[..., 0],
        )


class SurfaceRig:
    """Moves Gaussians with the body: each is skinned like its surface point.

    The point's rest position, shape directions and skinning weights are interpolated on its face,
    so that the whole mesh is never skinned. Coordinates come first and Gaussians last in the
    tensors of the inner loop, which makes skinning one matrix product.
    """

    def __init__(self, body: Body, texels: SurfaceTexels) -> None:
        """Interpolate the body at the texels."""
        corners = body.faces[texels.face]

        def at_texels(values: Tensor) -> Tensor:
            weight = texels.barycentric.reshape(*texels.barycentric.shape, *[1] * (values.ndim - 1))
            return (values[corners] * weight).sum(1)

        self._template = at_texels(body.v_template)
        self._shapedirs = at_texels(body.shapedirs)
        self._weights = at_texels(body.weights).T.contiguous()
        self._posedirs = None if body.posedirs is None else at_texels(body.posedirs)
        self._frames = face_frames(body.v_template[corners])
        self._joints = body.subset(torch.empty(0, dtype=torch.int64, device=corners.device))

    def pose(
        self,
        gaussian_map: GaussianMap,
        rotations: Float[Tensor, "frame person 24 3 3"],
        betas: Float[Tensor, "person 10"],
        transl: Float[Tensor, "frame person 3"],
    ) -> Gaussians:
        """Place all Gaussians of both people in the camera frame; person 0's come first.

        Features are red, green, blue and the two people's ownership.
        """
        rest = self._template + torch.einsum("gck,pk->pgc", self._shapedirs, betas)
        rest = rest + (self._frames @ gaussian_map.offset_m[..., None])[..., 0]
        world, means = self._skin(rest, rotations, betas, transl)
        own = self._frames @ roma.rotvec_to_rotmat(gaussian_map.rotation)
        with torch.no_grad():
            turned = self._blend_rotations(world)
        quat = _multiply(turned, roma.rotmat_to_unitquat(own).mT)
        ownership = torch.stack([gaussian_map.identity, 1.0 - gaussian_map.identity], dim=-1)
        ownership = torch.stack([ownership[0], ownership[1].flip(-1)])
        features = torch.cat([gaussian_map.colour, ownership], dim=-1)
        return Gaussians(
            means=means.mT.flatten(1, 2),
            quat_wxyz=quat.roll(1, dims=-2).mT.flatten(1, 2),
            scales=gaussian_map.scale_m.flatten(0, 1)[None],
            opacities=gaussian_map.opacity.flatten(0, 1)[None],
            features=features.flatten(0, 1)[None],
        )

    def _skin(
        self,
        rest: Float[Tensor, "person gaussian 3"],
        rotations: Float[Tensor, "frame person 24 3 3"],
        betas: Float[Tensor, "person 10"],
        transl: Float[Tensor, "frame person 3"],
    ) -> tuple[Float[Tensor, "frame person 24 3 3"], Float[Tensor, "frame person 3 gaussian"]]:
        """Joint rotations in the camera frame and linearly blended points."""
        posed = self._joints.pose(rotations, betas, transl)
        world = posed.transforms[..., :3, :3]
        joints = self._joints.rest(betas).joints
        shift = posed.joints - (world @ joints[..., None])[..., 0]
        # (frame, person, row, joint) @ (joint, gaussian): nothing is copied per frame.
        blended = world.permute(0, 1, 4, 3, 2) @ self._weights
        points = rest.mT
        if self._posedirs is not None:
            feature = (rotations[:, :, 1:] - torch.eye(3, device=rotations.device)).flatten(2)
            points = points + torch.einsum("gck,tpk->tpcg", self._posedirs, feature)
        means = (blended * points.unsqueeze(-2)).sum(2) + shift.mT @ self._weights
        return world, means

    def _blend_rotations(
        self, world: Float[Tensor, "frame person 24 3 3"]
    ) -> Float[Tensor, "frame person 4 gaussian"]:
        """Skin-weighted mean of the joints' rotations as quaternions (xyzw) of any length."""
        quats = roma.rotmat_to_unitquat(world)
        parents = indices((0, *PARENTS[1:]), world.device)
        agrees = (quats * quats[..., parents, :]).sum(-1) >= 0
        turns = (~agrees).to(quats.dtype) @ constant(CHAINS, quats)
        aligned = quats * (1.0 - 2.0 * turns.remainder(2.0))[..., None]
        blended: Tensor = aligned.mT @ self._weights
        return blended


def _multiply(
    p: Float[Tensor, "frame person 4 gaussian"], q: Float[Tensor, "person 4 gaussian"]
) -> Float[Tensor, "frame person 4 gaussian"]:
    """Quaternion product of xyzw columns; `roma` takes rows, which would need copies."""
    px, py, pz, pw = p.unbind(-2)
    qx, qy, qz, qw = q.unbind(-2)
    return torch.stack(
        [
            pw * qx + px * qw + py * qz - pz * qy,
            pw * qy - px * qz + py * qw + pz * qx,
            pw * qz + px * qy - py * qx + pz * qw,
            pw * qw - px * qx - py * qy - pz * qz,
        ],
        dim=-2,
    )


def face_frames(corners: Float[Tensor, "face 3 3"]) -> Float[Tensor, "face 3 3"]:
    """Orthonormal frames of triangles as columns: along the first edge, across it, outwards."""
    along = nn.functional.normalize(corners[:, 1] - corners[:, 0], dim=-1)
    out = nn.functional.normalize(torch.linalg.cross(along, corners[:, 2] - corners[:, 0]), dim=-1)
    return torch.stack([along, torch.linalg.cross(out, along), out], dim=-1)
