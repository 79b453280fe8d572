from pathlib import Path

import numpy as np
import pygltflib
import pytest
import torch
from scipy.spatial.transform import Rotation

from closefit.body.skeleton import JOINT_NAMES
from closefit.exporters.contacts import Touch
from closefit.exporters.gltf import SceneCamera, SkinnedPerson, strongest_influences, write_glb
from closefit.exporters.joint_names import joint_names
from closefit.exporters.motion_files import Footage, write_motion_files
from closefit.exporters.scene import motion_in, scene_from_camera
from closefit.storage.workspace import Workspace

TYPES = {5126: np.float32, 5121: np.uint8, 5125: np.uint32}
COLUMNS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Document:
    """A reader of skinned animations, by the rules of glTF."""

    def __init__(self, path: Path) -> None:
        self.gltf = pygltflib.GLTF2().load(str(path))
        self.blob = self.gltf.binary_blob()

    def array(self, index: int) -> np.ndarray:
        accessor = self.gltf.accessors[index]
        view = self.gltf.bufferViews[accessor.bufferView]
        kind, columns = TYPES[accessor.componentType], COLUMNS[accessor.type]
        assert view.byteOffset % 4 == 0
        flat = np.frombuffer(self.blob, kind, accessor.count * columns, view.byteOffset)
        return flat.reshape(accessor.count, columns)

    def matrices(self, frame: int) -> dict[int, np.ndarray]:
        nodes, animation = self.gltf.nodes, self.gltf.animations[0]
        values = {
            (channel.target.node, channel.target.path): self.array(
                animation.samplers[channel.sampler].output
            )[frame]
            for channel in animation.channels
        }
        found: dict[int, np.ndarray] = {}

        def walk(index: int, above: np.ndarray) -> None:
            node, local = nodes[index], np.eye(4)
            turn = values.get((index, "rotation"), node.rotation or [0, 0, 0, 1])
            local[:3, :3] = Rotation.from_quat(turn).as_matrix()
            local[:3, 3] = values.get((index, "translation"), node.translation or [0, 0, 0])
            found[index] = above @ local
            for child in node.children or []:
                walk(child, found[index])

        for root in self.gltf.scenes[self.gltf.scene].nodes:
            walk(root, np.eye(4))
        return found

    def skinned(self, name: str, frame: int) -> np.ndarray:
        node = next(n for n in self.gltf.nodes if n.name == f"{name}_body")
        skin, attributes = self.gltf.skins[node.skin], self.primitive(name).attributes
        inverse = self.array(skin.inverseBindMatrices).reshape(-1, 4, 4).swapaxes(1, 2)
        world = self.matrices(frame)
        joints = np.stack([world[joint] for joint in skin.joints]) @ inverse
        weights, places = self.array(attributes.WEIGHTS_0), self.array(attributes.JOINTS_0)
        blended = (joints[places] * weights[..., None, None]).sum(1)
        rest = self.array(attributes.POSITION)
        return (blended[:, :3, :3] @ rest[..., None])[..., 0] + blended[:, :3, 3]

    def primitive(self, name: str) -> pygltflib.Primitive:
        return next(m for m in self.gltf.meshes if m.name == name).primitives[0]


@pytest.fixture(scope="module")
def written(motion, body, tmp_path_factory) -> tuple[Document, np.ndarray]:
    """The document, and the vertices that it should show."""
    transform = scene_from_camera(motion.floor)
    rest = body.rest(torch.from_numpy(motion.betas))
    people = tuple(
        SkinnedPerson(
            vertices=rest.vertices[person].numpy(),
            faces=body.faces.numpy(),
            colours=np.full((body.num_vertices, 3), 0.5, np.float32),
            weights=body.weights.numpy(),
            joints=rest.joints[person].numpy(),
        )
        for person in range(2)
    )
    path = tmp_path_factory.mktemp("gltf") / "scene.glb"
    camera = SceneCamera(T_scene_camera=transform, fov_y_rad=0.8, aspect=1.5)
    times = 2.0 + np.arange(6) / 25.0
    write_glb(path, people, motion_in(motion, transform), times, camera)
    arrays = (motion.rotations, motion.betas, motion.transl)
    posed = body.pose(*(torch.from_numpy(array) for array in arrays)).vertices.numpy()
    return Document(path), posed @ transform[:3, :3].T + transform[:3, 3]


@pytest.mark.parametrize("frame", [0, 2, 5])
@pytest.mark.parametrize("person", [0, 1])
def test_the_skin_moves_as_the_body_does(written, body, frame: int, person: int) -> None:
    document, expected = written
    error = np.linalg.norm(
        document.skinned(f"person_{person}", frame) - expected[frame, person], axis=-1
    )
    four_are_all = (body.weights > 0).sum(-1).numpy() <= 4
    assert error[four_are_all].max() < 1e-4
    assert error.mean() < 1e-4
    assert error.max() < 0.02


def test_the_animation_lasts_as_long_as_the_clip(written) -> None:
    document, _ = written
    animation = document.gltf.animations[0]
    times = document.array(animation.samplers[0].input)
    np.testing.assert_allclose(times[:, 0], np.arange(6) / 25.0, atol=1e-6)
    assert len(animation.channels) == 2 * (len(JOINT_NAMES) + 1)


def test_neighbouring_quaternions_point_the_same_way(written) -> None:
    document, _ = written
    for channel in document.gltf.animations[0].channels:
        if channel.target.path == "rotation":
            sampler = document.gltf.animations[0].samplers[channel.sampler]
            quats = document.array(sampler.output)
            assert ((quats[1:] * quats[:-1]).sum(-1) > 0).all()


def test_joints_carry_names_of_person_and_joint(written) -> None:
    names = {node.name for node in written[0].gltf.nodes}
    for person in range(2):
        assert {f"person_{person}_{joint}" for joint in JOINT_NAMES} <= names


def test_each_person_is_an_armature_of_its_own(written) -> None:
    gltf = written[0].gltf
    roots = {gltf.nodes[index].name for index in gltf.scenes[0].nodes}
    bodies = {f"person_{person}_body" for person in range(2)}
    assert roots == {"person_0", "person_1", "camera"} | bodies
    for skin in gltf.skins:
        armature = gltf.nodes[skin.skeleton]
        assert armature.name == skin.name
        assert armature.children == [skin.joints[0]]


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("mixamo", {"mixamorig:Hips", "mixamorig:LeftUpLeg", "mixamorig:RightForeArm"}),
        ("unreal", {"pelvis", "thigh_l", "lowerarm_r", "spine_03", "head"}),
    ],
)
def test_joints_are_named_as_in_another_skeleton(style, expected, motion, body, tmp_path) -> None:
    assert len(set(joint_names(style))) == len(JOINT_NAMES)
    workspace = Workspace(tmp_path)
    footage = Footage(np.arange(6) / 25.0, 25.0, (320, 240))
    touch = Touch(1, 3, "head", "torso", 2.5, 0.0, 0.5, 0.6)
    write_motion_files(workspace, body, motion, footage, style=style, markers=[touch])
    gltf = pygltflib.GLTF2().load(str(workspace.glb))
    for skin in gltf.skins:
        assert tuple(gltf.nodes[joint].name for joint in skin.joints) == joint_names(style)
    assert expected <= set(joint_names(style))
    assert f"JOINT {joint_names(style)[1]}\n" in workspace.bvh(0).read_text()
    (marker,) = gltf.scenes[0].extras["contacts"]
    assert (marker["start_s"], marker["end_s"]) == (0.04, 0.12)
    assert (marker["person_0"], marker["person_1"]) == ("head", "torso")


def test_colours_are_linear_light(written) -> None:
    document, _ = written
    colours = document.array(document.primitive("person_0").attributes.COLOR_0)
    np.testing.assert_array_equal(np.unique(colours), [55, 255])  # 0.5 in sRGB is 0.214


def test_the_camera_sees_what_the_video_saw(written, motion) -> None:
    document, expected = written
    index = next(i for i, node in enumerate(document.gltf.nodes) if node.camera is not None)
    camera = np.linalg.inv(document.matrices(0)[index])
    seen = expected[0, 0] @ camera[:3, :3].T + camera[:3, 3]
    assert (seen[:, 2] < -2).all()  # it looks along -z, the person is four metres away
    pelvis = motion.joints[0, 0, 0] * [1, -1, -1]
    assert np.linalg.norm(seen.mean(0) - pelvis) < 0.5


def test_the_strongest_influences_sum_to_one() -> None:
    weights = np.random.default_rng(0).dirichlet(np.full(24, 0.3), size=50)
    joints, kept = strongest_influences(weights)
    np.testing.assert_allclose(kept.sum(1), 1.0)
    assert (kept[:, 0] >= kept[:, -1]).all()
    np.testing.assert_array_equal(joints[:, 0], weights.argmax(1))
