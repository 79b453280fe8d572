"""Build `weights/closefit_body.npz`, the free (CC0) body, from Anny's rest meshes.

Run from the project's root: `python weights/build_body.py` (needs the `anny` package; about a
minute; no network). Anny's body assets come from MakeHuman and are CC0; so is the result.

Recipe:
1. Draw a population of rest bodies, adults and children, and put y up, facing +z, pelvis at 0.
2. Merge Anny's 104 bones into SMPL's 24 joints; a joint is the head of its first bone.
3. Straighten every body to a T-pose with the merged skin weights.
4. The template is the average adult. Shape directions are principal components (area-weighted) of
   the differences from it over the whole population, scaled so that adults have unit variance.
5. Draw the surface of all of them without a bust (and with the same directions in all else): joints
   do not show it, so that fits to keypoints would give men one.
6. Make everything exactly mirror symmetric, name the landmarks, write.
"""

import hashlib
import logging
from pathlib import Path

import anny
import numpy as np
import torch
from scipy.spatial import cKDTree

from closefit.body.skeleton import JOINT_INDEX, JOINT_NAMES, MIRROR, PARENTS

logger = logging.getLogger(__name__)

NUM_BETAS = 10
SEED = 0
NUM_ADULTS = 600
NUM_CHILDREN = 200

LEFT_BONES = {
    "pelvis": ("root",),
    "spine1": ("spine04",),
    "spine2": ("spine03",),
    "spine3": ("spine02",),
    "neck": ("neck01",),
    "head": ("head",),
    "left_hip": ("upperleg01.L",),
    "left_knee": ("lowerleg01.L",),
    "left_ankle": ("foot.L",),
    "left_foot": ("toe2-1.L", "toe1-1.L", "toe3-1.L", "toe4-1.L", "toe5-1.L"),
    "left_collar": ("clavicle.L",),
    "left_shoulder": ("upperarm01.L",),
    "left_elbow": ("lowerarm01.L",),
    "left_wrist": ("wrist.L",),
    "left_hand": ("finger3-1.L", "finger2-1.L", "finger4-1.L", "finger5-1.L"),
}
"""Anny bones that start each joint's part; the head of the first one is the joint. Bones not
named belong to the part of their nearest named ancestor (the thumb to the wrist)."""

OUTWARD_LEG = (0.052, -1.0, 0.0)
"""Direction of thigh and shin in the rest pose: 3 degrees outward, knees straight."""

T_POSE = {
    "left_shoulder": ("left_elbow", (1.0, 0.0, 0.0)),
    "left_elbow": ("left_wrist", (1.0, 0.0, 0.0)),
    "left_wrist": ("left_hand", (1.0, 0.0, 0.0)),
    "left_hip": ("left_knee", OUTWARD_LEG),
    "left_knee": ("left_ankle", OUTWARD_LEG),
}
"""For each joint that is straightened: the child it points to, and the direction to point in."""


def mirrored_name(name: str) -> str:
    """Return the right-side name of a left-side joint or Anny bone, others unchanged."""
    return name.replace("left_", "right_").replace(".L", ".R")


def bones_by_joint() -> list[tuple[str, ...]]:
    """Return the Anny bones of each of the 24 joints, both sides."""
    bones = dict(LEFT_BONES)
    for joint, names in LEFT_BONES.items():
        bones[mirrored_name(joint)] = tuple(mirrored_name(name) for name in names)
    return [bones[joint] for joint in JOINT_NAMES]


def draw_population(labels: list[str]) -> torch.Tensor:
    """Return phenotypes (person, label): the average adult first, then adults, then children.

    Heights of men and women follow world averages (1.77 m and 1.63 m, deviation 7 cm); Anny's age
    runs over 0 = baby, 1/3 = child of about twelve, 2/3 = young adult, 1 = old.
    """
    rng = np.random.default_rng(SEED)
    people = 1 + NUM_ADULTS + NUM_CHILDREN
    columns = {
        label: np.clip(rng.normal(0.5, 0.17, people), 0.0, 1.0)
        for label in ("muscle", "weight", "proportions", "cupsize", "firmness")
    }
    columns["height"] = rng.normal(0.37, 0.065, people)
    columns["gender"] = rng.integers(0, 2, people) + rng.uniform(-0.15, 0.15, people)
    columns["gender"] = np.clip(columns["gender"], 0.0, 1.0)
    ages = (rng.uniform(0.6, 1.0, 1 + NUM_ADULTS), rng.uniform(0.12, 0.6, NUM_CHILDREN))
    columns["age"] = np.concatenate(ages)
    ancestry = rng.dirichlet((1.0, 1.0, 1.0), people).T
    columns |= dict(zip(("african", "asian", "caucasian"), ancestry, strict=True))
    average = {label: 0.5 for label in columns} | {"height": 0.37, "age": 0.75}
    for label, column in columns.items():
        column[0] = average[label]
    return torch.tensor(np.stack([columns[label] for label in labels], axis=1))


def without_bust(phenotypes: torch.Tensor, labels: list[str]) -> torch.Tensor:
    """Return the same people with the flattest chest that Anny has."""
    flat = phenotypes.clone()
    flat[:, labels.index("cupsize")] = 0.0
    flat[:, labels.index("firmness")] = 1.0
    return flat


def merged_weights(model: anny.Anny) -> np.ndarray:
    """Return skin weights (vertex, 24) of the merged skeleton."""
    owner = np.zeros(model.bone_count, dtype=np.int64)
    named = {bone: joint for joint, bones in enumerate(bones_by_joint()) for bone in bones}
    for bone, (label, parent) in enumerate(zip(model.bone_labels, model.bone_parents, strict=True)):
        owner[bone] = named.get(label, owner[parent])
    indices, values = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    weights = np.zeros((len(indices), len(JOINT_NAMES)))
    np.add.at(weights, (np.arange(len(indices))[:, None], owner[indices]), values)
    return weights


def rest_bodies(model: anny.Anny, phenotypes: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return Anny's rest vertices (person, vertex, 3) and our joints (person, 24, 3), pelvis at 0.

    Anny has z up and faces -y.
    """
    output = model(phenotype_kwargs=phenotypes)
    first_bone = [model.bone_labels.index(bones[0]) for bones in bones_by_joint()]
    axes = ([0, 2, 1], np.array([1.0, 1.0, -1.0]))
    vertices = output["rest_vertices"].numpy()[..., axes[0]] * axes[1]
    joints = output["rest_bone_heads"].numpy()[:, first_bone][..., axes[0]] * axes[1]
    pelvis = joints[:, :1]
    return vertices - pelvis, joints - pelvis


def straight_bodies(
    model: anny.Anny, phenotypes: torch.Tensor, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and joints of the people in the T-pose."""
    bodies = [
        straighten(*rest_bodies(model, some), weights) for some in torch.split(phenotypes, 50)
    ]
    vertices, joints = (np.concatenate(parts) for parts in zip(*bodies, strict=True))
    return vertices, joints


def rotation_between(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the smallest rotations (person, 3, 3) from unit vectors `source` to `target`."""
    cross = np.cross(source, target)
    cosine = (source * target).sum(-1)[..., None, None]
    skew = np.cross(np.eye(3), cross[..., None, :])
    return np.eye(3) + skew + skew @ skew / (1.0 + cosine)


def straighten(
    vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and joints in the T-pose.

    Each straightened bone turns by the smallest rotation relative to its parent, so no twist is
    added at a joint. Feet keep their rest orientation, flat on the ground.
    """
    poses = dict(T_POSE)
    for joint, (child, direction) in T_POSE.items():
        target = np.array(direction) * (-1.0, 1.0, 1.0)
        poses[mirrored_name(joint)] = (mirrored_name(child), target)
    rotations = np.tile(np.eye(3), (*joints.shape[:2], 1, 1))
    straight = joints.copy()
    for joint, name in enumerate(JOINT_NAMES):
        parent = PARENTS[joint]
        if parent >= 0:
            bone = joints[:, joint] - joints[:, parent]
            straight[:, joint] = (
                straight[:, parent] + (rotations[:, parent] @ bone[..., None])[..., 0]
            )
        if name.endswith("hand"):
            rotations[:, joint] = rotations[:, parent]
        if name in poses:
            child, direction = poses[name]
            inherited = rotations[:, parent]
            bone = joints[:, JOINT_INDEX[child]] - joints[:, joint]
            bone = inherited @ (bone / np.linalg.norm(bone, axis=-1, keepdims=True))[..., None]
            target = np.array(direction) / np.linalg.norm(direction)
            rotations[:, joint] = rotation_between(bone[..., 0], target) @ inherited
    offsets = straight - (rotations @ joints[..., None])[..., 0]
    moved = np.einsum("vj,njab,nvb->nva", weights, rotations, vertices, optimize=True)
    return moved + weights @ offsets, straight


def vertex_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the surface area around each vertex in square metres."""
    corners = vertices[faces]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1
    )
    return np.bincount(faces.ravel(), np.repeat(area / 6.0, 3), len(vertices))


def shape_mixtures(differences: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Return the principal shape directions as mixtures (NUM_BETAS, person) of the differences.

    `differences` (person, vertex, 3) are taken from the average adult, so the directions pass
    through it. Vertices count by their area: the mesh is far denser on face and hands. Scaled to
    unit deviation among adults, largest first.
    """
    scaled = (differences * np.sqrt(areas)[:, None]).reshape(len(differences), -1)
    gram = scaled @ scaled.T
    _, vectors = np.linalg.eigh(gram)
    mixtures = vectors[:, ::-1][:, :NUM_BETAS].T
    # Person n has coefficient <scaled_n, d> / <d, d> along the direction d = mixture @ scaled.
    coefficients = mixtures @ gram / np.einsum("kn,nm,km->k", mixtures, gram, mixtures)[:, None]
    deviation = np.sqrt((coefficients[:, 1 : 1 + NUM_ADULTS] ** 2).mean(axis=1))
    return mixtures * deviation[:, None]


def mirror_map(template: np.ndarray) -> np.ndarray:
    """Return for each vertex the vertex at its mirror image."""
    distance, mirror = cKDTree(template).query(template * (-1.0, 1.0, 1.0))
    if distance.max() > 1e-3 or (mirror[mirror] != np.arange(len(mirror))).any():
        raise ValueError("the mesh is not mirror symmetric")
    return mirror


def symmetric(values: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Return the mirror-symmetric part of positions or directions (point, 3, ...)."""
    flip = np.array([-1.0, 1.0, 1.0]).reshape(3, *[1] * (values.ndim - 2))
    return 0.5 * (values + values[mirror] * flip)


def landmark_vertices(model: anny.Anny, template: np.ndarray, mirror: np.ndarray) -> dict[str, int]:
    """Return the vertex of each landmark; right ones are the mirror images of left ones.

    Nose: the most forward of the head. Ear: the most lateral of the head. Eye: the most
    forward of the eyeball. Toes: the most forward of the big toe's tip, the most lateral of the
    small toe's tip. Heel: the rearmost of the foot. Head top: the highest of all.
    """
    weights = model.vertex_bone_weights.numpy()
    strongest = model.vertex_bone_indices.numpy()[np.arange(len(weights)), weights.argmax(axis=1)]

    def furthest(bone: str, axis: int, sign: float = 1.0) -> int:
        members = np.flatnonzero(strongest == model.bone_labels.index(bone))
        return int(members[(sign * template[members, axis]).argmax()])

    left = {
        "left_eye": furthest("eye.L", axis=2),
        "left_ear": furthest("head", axis=0),
        "left_big_toe": furthest("toe1-2.L", axis=2),
        "left_small_toe": furthest("toe5-3.L", axis=0),
        "left_heel": furthest("foot.L", axis=2, sign=-1.0),
    }
    right = {mirrored_name(name): int(mirror[vertex]) for name, vertex in left.items()}
    midline = {"nose": furthest("head", axis=2), "head_top": int(template[:, 1].argmax())}
    return midline | left | right


def unexplained_m(differences: np.ndarray, directions: np.ndarray, areas: np.ndarray) -> float:
    """Return the area-weighted rms distance (m) the shape directions leave, over all people."""
    root = np.sqrt(areas / areas.sum())
    basis = (directions * root[:, None, None]).reshape(-1, NUM_BETAS)
    points = (differences * root[:, None]).reshape(len(differences), -1)
    rest = points - points @ basis @ np.linalg.inv(basis.T @ basis) @ basis.T
    return float(np.sqrt((rest**2).sum(axis=1).mean()))


def build() -> dict[str, np.ndarray]:
    """Return all arrays of the body file."""
    model = anny.Anny(phenotypes="all")
    people, weights = draw_population(model.phenotype_labels), merged_weights(model)
    vertices, joints = straight_bodies(model, people, weights)
    faces = model.faces.numpy()
    areas = vertex_areas(vertices[0], faces)
    mirror, mirror_joints = mirror_map(vertices[0]), np.array(MIRROR)

    mixtures = shape_mixtures(vertices - symmetric(vertices[0], mirror), areas)
    flat, _ = straight_bodies(model, without_bust(people, model.phenotype_labels), weights)
    v_template = symmetric(flat[0], mirror)
    differences = flat - v_template
    shapedirs = symmetric(np.einsum("kn,nvc->vck", mixtures, differences), mirror)
    # Positive betas make the body larger: a fixed sign, whatever the eigenvectors' was.
    signs = np.sign(np.einsum("vc,vck->k", v_template, shapedirs))
    shapedirs *= signs
    joints_dirs = np.einsum("kn,njc->jck", mixtures, joints - joints[0]) * signs
    logger.info("average adult: %.3f m tall", np.ptp(v_template[:, 1]))
    logger.info("left unexplained: %.2f mm", 1e3 * unexplained_m(differences, shapedirs, areas))

    landmarks = landmark_vertices(model, v_template, mirror)
    face = [landmarks[name] for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")]
    return {
        "v_template": v_template.astype(np.float32),
        "shapedirs": shapedirs.astype(np.float16),
        "joints_template": symmetric(joints[0], mirror_joints).astype(np.float32),
        "joints_dirs": symmetric(joints_dirs, mirror_joints).astype(np.float32),
        "weights": (0.5 * (weights + weights[mirror][:, mirror_joints])).astype(np.float16),
        "parents": np.array(PARENTS, dtype=np.int64),
        "faces": faces.astype(np.uint16),
        "uv": model.texture_coordinates.numpy().astype(np.float32),
        "faces_uv": model.face_texture_coordinate_indices.numpy().astype(np.uint16),
        "names": np.array(JOINT_NAMES),
        "face_vertices": np.array(face),
        "landmark_names": np.array(list(landmarks)),
        "landmark_vertices": np.array(list(landmarks.values())),
        "license": np.array("CC0-1.0"),
    }


def main() -> None:
    """Build the body and write it beside this script."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    destination = Path(__file__).with_name("closefit_body.npz")
    with destination.open("wb") as file:
        np.savez_compressed(file, **build())
    content = destination.read_bytes()
    logger.info(
        "%s: %d bytes, sha256 %s", destination, len(content), hashlib.sha256(content).hexdigest()
    )


if __name__ == "__main__":
    main()
