"""`scene.glb`: both people skinned and animated in one scene, with the camera that filmed them.

glTF 2.0, y up, metres, floor at height zero. A node `person_0` holds person 0's joints, so that
programs make one armature of each person; the skins, `person_0_body`, lie beside it. Joints are
called `person_0_pelvis` and so on, or as in another skeleton. The scene's `extras` list contacts,
with seconds of the animation. Four joints move a vertex at most, so where the body has more, the
weakest are left out. SMPL's pose-dependent corrections cannot be expressed and are left out too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import pygltflib as gl
import roma
import torch
from jaxtyping import Float, Int, Shaped

from closefit.body.skeleton import NUM_JOINTS, PARENTS
from closefit.config import JointNames
from closefit.exporters.contacts import Touch
from closefit.exporters.joint_names import joint_names
from closefit.exporters.scene import SceneMotion
from closefit.storage.artifacts import atomic_write

INFLUENCES = 4
ROUGHNESS = 0.9
CAMERA_FROM_OPENCV = np.diag([1.0, -1.0, -1.0])
"""A glTF camera looks along -z with y up."""

NEAR_M = 0.05


@dataclass(frozen=True, eq=False)
class SkinnedPerson:
    """One person's skin in the shaped rest pose: metres, colours in sRGB from 0 to 1."""

    vertices: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]
    colours: Float[np.ndarray, "vertex 3"]
    weights: Float[np.ndarray, "vertex 24"]
    joints: Float[np.ndarray, "24 3"]


@dataclass(frozen=True, eq=False)
class SceneCamera:
    """The camera of the source video.

    Attributes:
        T_scene_camera: From the camera to the scene; one per frame where the camera turns, always
            at one place.
        fov_y_rad: Vertical field of view in the first frame.
        aspect: Width over height.
        principal_offset: Principal point right of and below the middle, over the picture's height.
            glTF has no place for it.
        zoom: Focal length of each frame over that of the first, where the camera turns. glTF has no
            place for it either.
    """

    T_scene_camera: Float[np.ndarray, "*frame 4 4"]
    fov_y_rad: float
    aspect: float
    principal_offset: tuple[float, float] = (0.0, 0.0)
    zoom: Float[np.ndarray, " frame"] | None = None

    @property
    def turns(self) -> Float[np.ndarray, "*frame 3 3"]:
        """From the axes of a camera of glTF and USD to the scene."""
        return self.T_scene_camera[..., :3, :3] @ CAMERA_FROM_OPENCV

    @property
    def place(self) -> Float[np.ndarray, "3"]:
        """Where it is in the scene."""
        return self.T_scene_camera.reshape(-1, 4, 4)[0, :3, 3]


class ContactMarker(TypedDict):
    """An unbroken contact, as the scene's `extras` list it.

    Attributes:
        start_s: Time of its first frame in the animation.
        end_s: Time of its last frame in the animation.
        person_0: Part of person 0.
        person_1: Part of person 1.
        distance_mm: Smallest distance.
        penetration_mm: Deepest penetration.
    """

    start_s: float
    end_s: float
    person_0: str
    person_1: str
    distance_mm: float
    penetration_mm: float


def write_glb(
    path: Path,
    people: tuple[SkinnedPerson, SkinnedPerson],
    motion: SceneMotion,
    times_s: Float[np.ndarray, " frame"],
    camera: SceneCamera,
    style: JointNames = "smpl",
    markers: Sequence[Touch] = (),
) -> None:
    """Write both people and their motion, all or nothing; playback starts at the first frame."""
    builder = _Builder()
    animation = gl.Animation(name="motion")
    clock = builder.add((times_s - times_s[0]).astype(np.float32), "SCALAR", bounds=True)
    for person, skin in enumerate(people):
        prefix = f"person_{person}_" if style == "smpl" else ""
        names = [prefix + name for name in joint_names(style)]
        pelvis_node = builder.add_person(f"person_{person}", skin, names)
        quats = continuous_quats(motion.rotations[:, person])
        pelvis = motion.pelvis[:, person].astype(np.float32)
        builder.animate(animation, clock, pelvis_node, "translation", pelvis)
        for joint in range(NUM_JOINTS):
            turns = np.ascontiguousarray(quats[:, joint])
            builder.animate(animation, clock, pelvis_node + joint, "rotation", turns)
    camera_node = builder.add_camera(camera)
    if camera.turns.ndim == 3:
        quats = continuous_quats(camera.turns[:, None])[:, 0]
        builder.animate(animation, clock, camera_node, "rotation", np.ascontiguousarray(quats))
    builder.gltf.animations.append(animation)
    since = (times_s - times_s[0]).round(4).tolist()
    builder.gltf.scenes[0].extras = {"contacts": [_marker(touch, since) for touch in markers]}
    with atomic_write(path) as file:
        file.write(builder.to_bytes())


def strongest_influences(
    weights: Float[np.ndarray, "vertex 24"],
) -> tuple[Int[np.ndarray, "vertex 4"], Float[np.ndarray, "vertex 4"]]:
    """Four joints with the largest weights of each vertex; the weights sum to 1 again."""
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    kept = np.take_along_axis(weights, joints, axis=1)
    kept = kept / kept.sum(axis=1, keepdims=True)
    return np.where(kept > 0, joints, 0), kept


class _Builder:
    """A glTF document that grows by people, and the binary data it refers to."""

    def __init__(self) -> None:
        material = gl.Material(
            name="skin",
            pbrMetallicRoughness=gl.PbrMetallicRoughness(
                metallicFactor=0.0, roughnessFactor=ROUGHNESS
            ),
        )
        self.gltf = gl.GLTF2(
            asset=gl.Asset(version="2.0", generator="closefit"),
            scene=0,
            scenes=[gl.Scene(name="closefit", nodes=[])],
            materials=[material],
        )
        self._blob = bytearray()

    def add(
        self,
        array: Shaped[np.ndarray, "..."],
        kind: str,
        *,
        target: int | None = None,
        bounds: bool = False,
        normalized: bool = False,
    ) -> int:
        """Append an array and return its accessor; rows are padded to four bytes by the caller."""
        component = {
            np.dtype(np.float32): gl.FLOAT,
            np.dtype(np.uint8): gl.UNSIGNED_BYTE,
            np.dtype(np.uint32): gl.UNSIGNED_INT,
        }[array.dtype]
        self.gltf.bufferViews.append(
            gl.BufferView(
                buffer=0, byteOffset=len(self._blob), byteLength=array.nbytes, target=target
            )
        )
        self._blob += np.ascontiguousarray(array).tobytes()
        accessor = gl.Accessor(
            bufferView=len(self.gltf.bufferViews) - 1,
            componentType=component,
            count=len(array),
            type=kind,
            normalized=normalized,
        )
        if bounds:
            rows = array.reshape(len(array), -1)
            accessor.min, accessor.max = rows.min(0).tolist(), rows.max(0).tolist()
        self.gltf.accessors.append(accessor)
        return len(self.gltf.accessors) - 1

    def add_person(self, name: str, person: SkinnedPerson, joint_names: Sequence[str]) -> int:
        """Add one person's skeleton and skin; returns the pelvis node, the other joints follow."""
        armature, first = len(self.gltf.nodes), len(self.gltf.nodes) + 1
        self.gltf.nodes.append(gl.Node(name=name, children=[first]))
        for joint, joint_name in enumerate(joint_names):
            parent = PARENTS[joint]
            bone = person.joints[joint] - (person.joints[parent] if parent >= 0 else 0.0)
            children = [first + child for child in range(NUM_JOINTS) if PARENTS[child] == joint]
            self.gltf.nodes.append(
                gl.Node(name=joint_name, translation=bone.tolist(), children=children)
            )
        inverse_bind = np.tile(np.eye(4, dtype=np.float32), (NUM_JOINTS, 1, 1))
        inverse_bind[:, :3, 3] = -person.joints
        columns_first = np.ascontiguousarray(inverse_bind.transpose(0, 2, 1))
        skin = gl.Skin(
            name=name,
            joints=list(range(first, first + NUM_JOINTS)),
            inverseBindMatrices=self.add(columns_first, "MAT4"),
            skeleton=armature,
        )
        self.gltf.skins.append(skin)
        self.gltf.meshes.append(gl.Mesh(name=name, primitives=[self._skin_primitive(person)]))
        self.gltf.nodes.append(
            gl.Node(
                name=f"{name}_body", mesh=len(self.gltf.meshes) - 1, skin=len(self.gltf.skins) - 1
            )
        )
        self.gltf.scenes[0].nodes += [armature, len(self.gltf.nodes) - 1]
        return first

    def _skin_primitive(self, person: SkinnedPerson) -> gl.Primitive:
        joints, weights = strongest_influences(person.weights)
        opaque = np.concatenate([linear_light(person.colours), np.ones((len(joints), 1))], axis=1)
        vertex_data = gl.ARRAY_BUFFER
        attributes = gl.Attributes(
            POSITION=self.add(
                person.vertices.astype(np.float32), "VEC3", target=vertex_data, bounds=True
            ),
            NORMAL=self.add(_vertex_normals(person), "VEC3", target=vertex_data),
            COLOR_0=self.add(
                np.round(255.0 * opaque).astype(np.uint8),
                "VEC4",
                target=vertex_data,
                normalized=True,
            ),
            JOINTS_0=self.add(joints.astype(np.uint8), "VEC4", target=vertex_data),
            WEIGHTS_0=self.add(weights.astype(np.float32), "VEC4", target=vertex_data),
        )
        corners = person.faces.astype(np.uint32).reshape(-1)
        indices = self.add(corners, "SCALAR", target=gl.ELEMENT_ARRAY_BUFFER)
        return gl.Primitive(attributes=attributes, indices=indices, material=0)

    def animate(
        self,
        animation: gl.Animation,
        clock: int,
        node: int,
        path: str,
        values: Float[np.ndarray, "frame value"],
    ) -> None:
        """Add one channel: `values` of the node's `path` at the times of accessor `clock`."""
        kind = "VEC4" if path == "rotation" else "VEC3"
        output = self.add(values, kind)
        animation.samplers.append(gl.AnimationSampler(input=clock, output=output))
        target = gl.AnimationChannelTarget(node=node, path=path)
        sampler = len(animation.samplers) - 1
        animation.channels.append(gl.AnimationChannel(sampler=sampler, target=target))

    def add_camera(self, camera: SceneCamera) -> int:
        """Add the camera of the video, so that programs can look through it; returns its node."""
        lens = gl.Perspective(yfov=camera.fov_y_rad, aspectRatio=camera.aspect, znear=NEAR_M)
        self.gltf.cameras.append(gl.Camera(name="video", type="perspective", perspective=lens))
        turn = camera.turns.reshape(-1, 3, 3)[0]
        quat = roma.rotmat_to_unitquat(torch.from_numpy(turn)).tolist()
        place = camera.place.tolist()
        self.gltf.nodes.append(gl.Node(name="camera", camera=0, rotation=quat, translation=place))
        self.gltf.scenes[0].nodes.append(len(self.gltf.nodes) - 1)
        return len(self.gltf.nodes) - 1

    def to_bytes(self) -> bytes:
        """The document with its data in one GLB."""
        self.gltf.buffers = [gl.Buffer(byteLength=len(self._blob))]
        self.gltf.set_binary_blob(bytes(self._blob))
        return b"".join(self.gltf.save_to_bytes())


def _marker(touch: Touch, since_s: list[float]) -> ContactMarker:
    """Describe one contact for programs that show markers."""
    return {
        "start_s": since_s[touch.first_frame],
        "end_s": since_s[touch.last_frame],
        "person_0": touch.part_0,
        "person_1": touch.part_1,
        "distance_mm": touch.distance_mm,
        "penetration_mm": touch.penetration_mm,
    }


def continuous_quats(
    rotations: Float[np.ndarray, "frame joint 3 3"],
) -> Float[np.ndarray, "frame joint 4"]:
    """Return unit quaternions (xyzw) without sign flips between frames."""
    quats: np.ndarray = roma.rotmat_to_unitquat(torch.from_numpy(rotations)).numpy()
    agreement = (quats[1:] * quats[:-1]).sum(-1)
    sign = np.cumprod(np.where(agreement < 0, -1.0, 1.0), axis=0)
    quats[1:] *= sign[..., None]
    return quats.astype(np.float32)


def linear_light(colours: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "vertex 3"]:
    """Turn sRGB into linear light, which is what vertex colours are in glTF and USD."""
    linear: Float[np.ndarray, "vertex 3"] = np.where(
        colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4
    )
    return linear


def _vertex_normals(person: SkinnedPerson) -> Float[np.ndarray, "vertex 3"]:
    """Area-weighted unit normals."""
    a, b, c = np.moveaxis(person.vertices[person.faces], 1, 0)
    face_normals = np.cross(b - a, c - a)
    normals = np.zeros_like(person.vertices)
    for corner in range(3):
        np.add.at(normals, person.faces[:, corner], face_normals)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    upwards = np.array([0.0, 1.0, 0.0], dtype=normals.dtype)
    unit = np.where(length > 1e-12, normals / np.maximum(length, 1e-12), upwards)
    return unit.astype(np.float32)
