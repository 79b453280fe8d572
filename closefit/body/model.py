"""The parametric body: shape and pose in, vertices and joints out. One type for every source.

The skinning follows SMPL (Loper et al. 2015, Eq. 2-9): the rest body is shaped by `betas`, each
joint rotates its part about the shaped joint, and the whole is moved by `transl`. Everything is a
pure function of its arguments, takes any leading axes and is differentiable.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from closefit.body.files import read_body_arrays
from closefit.body.skeleton import JOINT_PART, LEVELS, PARENTS
from closefit.geometry.constants import constant, indices


@dataclass(frozen=True, eq=False)
class RestBody:
    """A shaped body in the rest pose (y up, facing +z, metres)."""

    vertices: Float[Tensor, "*batch vertex 3"]
    joints: Float[Tensor, "*batch joint 3"]


@dataclass(frozen=True, eq=False)
class PosedBody:
    """A shaped and posed body in the frame that `transl` and the root rotation map to."""

    vertices: Float[Tensor, "*batch vertex 3"]
    joints: Float[Tensor, "*batch joint 3"]
    transforms: Float[Tensor, "*batch joint 4 4"]
    """T_world_joint: the joint's frame has its origin at the joint and rest axes at zero pose."""


@dataclass(frozen=True, eq=False)
class Body:
    """A body model with SMPL's skeleton; tensors only, so it moves between devices as a whole."""

    name: str
    """"closefit" (the free body) or "smpl"."""
    v_template: Float[Tensor, "vertex 3"]
    """Mean shape in metres."""
    shapedirs: Float[Tensor, "vertex 3 10"]
    """Displacement per unit of beta; one unit is one standard deviation of the population."""
    joints_template: Float[Tensor, "joint 3"]
    joints_dirs: Float[Tensor, "joint 3 10"]
    weights: Float[Tensor, "vertex joint"]
    """Skinning weights; rows sum to 1."""
    faces: Int[Tensor, "face 3"]
    """Counter-clockwise seen from outside."""
    uv: Float[Tensor, "uv 2"]
    """Texture coordinates in 0..1, v up."""
    faces_uv: Int[Tensor, "uv_face 3"]
    """For each face the three rows of `uv` of its corners."""
    posedirs: Float[Tensor, "vertex 3 207"] | None
    """SMPL's pose correctives; the free body has none."""
    landmarks: Mapping[str, int]
    """Vertex index of each anatomical point the body knows (see `keypoints.LANDMARKS`)."""

    parents: ClassVar[tuple[int, ...]] = PARENTS

    @classmethod
    def load(cls, path: Path) -> "Body":
        """Read a body from an `.npz`: the free body's format, or what `import_smpl` writes.

        Returns:
            The body on the CPU in float32.

        Raises:
            WeightsError: The file is missing, damaged or not a body.
        """
        arrays = read_body_arrays(path)
        tensors = {key: torch.from_numpy(value) for key, value in arrays.tensors.items()}
        return cls(
            name=arrays.name,
            posedirs=tensors.pop("posedirs", None),
            landmarks=arrays.landmarks,
            **tensors,
        )

    @property
    def num_vertices(self) -> int:
        """Number of vertices."""
        return self.v_template.shape[0]

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Body":
        """Return the body on another device and/or with another floating-point type."""

        def moved(value: object) -> Any:
            if not isinstance(value, Tensor):
                return value
            return value.to(device=device, dtype=dtype if value.is_floating_point() else None)

        fields = dataclasses.fields(self)
        return Body(**{field.name: moved(getattr(self, field.name)) for field in fields})

    def subset(self, indices: Int[Tensor, " chosen"]) -> "Body":
        """Return a body of these vertices only (no faces, UVs or landmarks): skinning costs less.

        Joints and poses are those of the whole body.
        """
        return dataclasses.replace(
            self,
            v_template=self.v_template[indices],
            shapedirs=self.shapedirs[indices],
            weights=self.weights[indices],
            posedirs=None if self.posedirs is None else self.posedirs[indices],
            faces=self.faces[:0],
            uv=self.uv[:0],
            faces_uv=self.faces_uv[:0],
            landmarks={},
        )

    def vertex_parts(self) -> Int[Tensor, " vertex"]:
        """Return for each vertex the index into `skeleton.PART_NAMES` of the part it belongs to.

        A vertex belongs to the joint that has the largest weight on it.
        """
        joint_part = torch.tensor(JOINT_PART, device=self.weights.device)
        return joint_part[self.weights.argmax(dim=-1)]

    def rest(self, betas: Float[Tensor, "*batch 10"]) -> RestBody:
        """Return the shaped body in the rest pose."""
        return RestBody(
            vertices=_blend(self.v_template, self.shapedirs, betas),
            joints=_blend(self.joints_template, self.joints_dirs, betas),
        )

    def pose(
        self,
        rotations: Float[Tensor, "*#batch 24 3 3"],
        betas: Float[Tensor, "*#batch 10"],
        transl: Float[Tensor, "*#batch 3"],
    ) -> PosedBody:
        """Return the shaped, posed and moved body; leading axes broadcast.

        Give `betas` of (2, 10) for `rotations` of (T, 2, 24, 3, 3): the rest body is then computed
        once per person and not once per frame.

        Args:
            rotations: Joint rotations relative to the parent; joint 0 maps the body to the world.
            betas: Shape, in standard deviations.
            transl: Metres; joint 0 ends at the pelvis of the shaped rest body plus `transl`.
        """
        rest = self.rest(betas)
        rotations_world, joints = _forward_kinematics(rotations, rest.joints)
        joints = joints + transl[..., None, :]
        rotations_world = rotations_world.expand(*joints.shape[:-2], -1, -1, -1)
        return PosedBody(
            vertices=self._skin(rest, rotations, rotations_world, joints),
            joints=joints,
            transforms=_rigid_matrices(rotations_world, joints),
        )

    def joints(
        self,
        rotations: Float[Tensor, "*#batch 24 3 3"],
        betas: Float[Tensor, "*#batch 10"],
        transl: Float[Tensor, "*#batch 3"],
    ) -> Float[Tensor, "*batch 24 3"]:
        """Return only the joints, as `pose(...).joints`, without skinning a vertex."""
        rest_joints = _blend(self.joints_template, self.joints_dirs, betas)
        _, joints = _forward_kinematics(rotations, rest_joints)
        return joints + transl[..., None, :]

    def _skin(
        self,
        rest: RestBody,
        rotations: Float[Tensor, "*#batch 24 3 3"],
        rotations_world: Float[Tensor, "*batch 24 3 3"],
        joints: Float[Tensor, "*batch 24 3"],
    ) -> Float[Tensor, "*batch vertex 3"]:
        """Return the linearly blended vertices: sum over joints of w_j (R_j v + t_j)."""
        offsets = joints - (rotations_world @ rest.joints[..., None])[..., 0]
        vertices = rest.vertices
        if self.posedirs is not None:
            vertices = vertices + self._pose_correctives(rotations)
        elif vertices.dim() < joints.dim():
            return self._skin_shared_shapes(vertices, rotations_world, offsets)
        # Blending R_j column by column keeps every product a plain matrix product with the weights;
        # a blended 3x4 matrix per vertex takes 3x longer.
        skinned = self.weights @ offsets
        for axis in range(3):
            column = self.weights @ rotations_world[..., axis]
            skinned = skinned + column * vertices[..., axis : axis + 1]
        return skinned

    def _skin_shared_shapes(
        self,
        vertices: Float[Tensor, "*person vertex 3"],
        rotations_world: Float[Tensor, "*frame_person 24 3 3"],
        offsets: Float[Tensor, "*frame_person 24 3"],
    ) -> Float[Tensor, "*frame_person vertex 3"]:
        """Return the blended vertices of shapes that do not change over the leading axes.

        The weighted rest vertices (vertex, 24 x 4) are made once per shape, and all frames are
        columns of one matrix product: several times faster than a blend per pose.
        """
        homogeneous = torch.nn.functional.pad(vertices, (0, 1), value=1.0)
        weighted = (self.weights[:, :, None] * homogeneous[..., None, :]).flatten(-2)
        moves = torch.cat([rotations_world, offsets[..., None]], dim=-1).mT.flatten(-3, -2)
        frames = moves.shape[: moves.dim() - weighted.dim()]
        columns = moves.flatten(0, len(frames) - 1).movedim(0, -2).flatten(-2)
        skinned = weighted @ columns
        skinned = skinned.reshape(*skinned.shape[:-1], frames.numel(), 3).movedim(-2, 0)
        return skinned.reshape(*frames, *skinned.shape[1:]).contiguous()

    def _pose_correctives(
        self, rotations: Float[Tensor, "*batch 24 3 3"]
    ) -> Float[Tensor, "*batch vertex 3"]:
        """Return SMPL's pose-dependent vertex offsets (Loper et al. Eq. 9)."""
        assert self.posedirs is not None
        identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        feature = (rotations[..., 1:, :, :] - identity).flatten(-3)
        offsets = feature @ self.posedirs.flatten(0, 1).T
        return offsets.reshape(*feature.shape[:-1], self.num_vertices, 3)


def _blend(
    template: Float[Tensor, "point 3"],
    directions: Float[Tensor, "point 3 10"],
    betas: Float[Tensor, "*batch 10"],
) -> Float[Tensor, "*batch point 3"]:
    """Return template + sum of directions weighted by the betas."""
    return template + (betas @ directions.flatten(0, 1).T).reshape(
        *betas.shape[:-1], *template.shape
    )


def _forward_kinematics(
    rotations: Float[Tensor, "*#batch 24 3 3"],
    rest_joints: Float[Tensor, "*#batch 24 3"],
) -> tuple[Float[Tensor, "*#batch 24 3 3"], Float[Tensor, "*#batch 24 3"]]:
    """Return the world rotation and position of every joint, the pelvis at its rest position."""
    parents = indices((0, *PARENTS[1:]), rotations.device)
    batch = np.broadcast_shapes(rotations.shape[:-3], rest_joints.shape[:-2])
    bones = (rest_joints - rest_joints[..., parents, :])[..., None]
    world = [rotations[..., :1, :, :]]
    positions = [rest_joints[..., :1, :].expand(*batch, 1, 3)]
    for above, level in itertools.pairwise(LEVELS):
        joints = slice(level[0], level[-1] + 1)
        parent_in_level = parents[joints] - above[0]
        parent_world = world[-1][..., parent_in_level, :, :]
        step = (parent_world @ bones[..., joints, :, :])[..., 0]
        positions.append(positions[-1][..., parent_in_level, :] + step)
        world.append(parent_world @ rotations[..., joints, :, :])
    return torch.cat(world, dim=-3), torch.cat(positions, dim=-2)


def _rigid_matrices(
    rotations: Float[Tensor, "*batch 3 3"], positions: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 4 4"]:
    """Return 4x4 rigid transforms."""
    top = torch.cat([rotations, positions[..., None]], dim=-1)
    bottom = constant((0.0, 0.0, 0.0, 1.0), top).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], dim=-2)
