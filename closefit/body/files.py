"""Reading a body from disk: the free body's `.npz` and the SMPL `.npz` that `import_smpl` writes.

Both have SMPL's key names. The free body stores joint positions and their shape directions; SMPL
stores a regressor from vertices to joints, which is folded into the same two arrays here.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from closefit.body.skeleton import NUM_JOINTS, PARENTS
from closefit.boundary.arrays import Npz
from closefit.boundary.values import RefusedError
from closefit.errors import WeightsDamagedError, WeightsMissingError

Array = Shaped[np.ndarray, "..."]

NUM_BETAS = 10

SMPL_LANDMARKS = {
    "nose": 332,
    "right_eye": 6260,
    "left_eye": 2800,
    "right_ear": 4071,
    "left_ear": 583,
    "left_big_toe": 3216,
    "left_small_toe": 3226,
    "left_heel": 3387,
    "right_big_toe": 6617,
    "right_small_toe": 6624,
    "right_heel": 6787,
    "head_top": 411,
}
"""Vertex indices of SMPL's mesh; the usual ones of OpenPose-style keypoints."""

FACE_LANDMARKS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
"""Order of `face_vertices`, which is COCO's order of the face points."""


@dataclass(frozen=True)
class BodyArrays:
    """What a body file holds, in the shapes and types of `Body`."""

    name: str
    tensors: Mapping[str, Array]
    landmarks: Mapping[str, int]


def read_body_arrays(path: Path) -> BodyArrays:
    """Read and check a body file.

    Raises:
        WeightsMissingError: There is no such file.
        WeightsDamagedError: The file is damaged or not a body.
    """
    raw = _read_npz(path)
    try:
        name = "smpl" if "J_regressor" in raw else "closefit"
        tensors = _tensors(raw)
        landmarks = _landmarks(raw, name)
        problem = _problem(tensors, raw)
    except KeyError as error:
        raise _not_a_body(path, f"it has no `{error.args[0]}`") from error
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise _not_a_body(path, "its arrays do not fit together") from error
    if problem is None and not all(0 <= v < len(tensors["v_template"]) for v in landmarks.values()):
        problem = "its landmarks name vertices that do not exist"
    if problem is not None:
        raise _not_a_body(path, problem)
    return BodyArrays(name=name, tensors=tensors, landmarks=landmarks)


def _read_npz(path: Path) -> dict[str, Array]:
    """Return all arrays of an `.npz`, refusing pickles."""
    if not os.path.lexists(path):
        raise WeightsMissingError(
            f"no body model at `{path}`",
            hint="run `closefit download-weights`, or `closefit import-smpl FILE` to use SMPL",
        )
    try:
        archive = Npz(path, kinds="biufU")
        return {key: archive[key] for key in archive}
    except RefusedError as refused:
        raise _not_a_body(path, refused.problem) from refused


def _not_a_body(path: Path, reason: str) -> WeightsDamagedError:
    return WeightsDamagedError(
        f"`{path}` is not a usable body model: {reason}",
        hint="run `closefit download-weights`, or `closefit import-smpl FILE` for SMPL",
    )


def _tensors(raw: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays of `Body` under its field names."""
    v_template = raw["v_template"].astype(np.float64)
    shapedirs = raw["shapedirs"][..., :NUM_BETAS].astype(np.float64)
    if "J_regressor" in raw:
        regressor = raw["J_regressor"].astype(np.float64)
        joints_template = regressor @ v_template
        joints_dirs = np.einsum("jv,vcb->jcb", regressor, shapedirs)
    else:
        joints_template, joints_dirs = raw["joints_template"], raw["joints_dirs"]
    weights = raw["weights"].astype(np.float64)
    arrays = {
        "v_template": v_template,
        "shapedirs": shapedirs,
        "joints_template": joints_template,
        "joints_dirs": joints_dirs,
        # Files may hold the weights in half precision: their sum is 1 only after this.
        "weights": weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-6),
        "uv": raw.get("uv", np.zeros((0, 2))),
    }
    if "posedirs" in raw:
        arrays["posedirs"] = raw["posedirs"]
    tensors = {key: np.ascontiguousarray(value, np.float32) for key, value in arrays.items()}
    faces = raw["f"] if "f" in raw else raw["faces"]
    tensors["faces"] = faces.astype(np.int64)
    tensors["faces_uv"] = raw.get("faces_uv", np.zeros((0, 3))).astype(np.int64)
    return tensors


def _landmarks(raw: Mapping[str, Array], name: str) -> dict[str, int]:
    """Return the vertex index of each named anatomical point."""
    if name == "smpl":
        return dict(SMPL_LANDMARKS)
    if "landmark_names" in raw:
        names = [str(landmark) for landmark in raw["landmark_names"]]
        return dict(zip(names, raw["landmark_vertices"].tolist(), strict=True))
    return dict(zip(FACE_LANDMARKS, raw["face_vertices"].tolist(), strict=True))


def _problem(tensors: Mapping[str, Array], raw: Mapping[str, Array]) -> str | None:
    """Return what is wrong with the arrays, or None."""
    vertices = tensors["v_template"].shape[0]
    expected = {
        "v_template": (vertices, 3),
        "shapedirs": (vertices, 3, NUM_BETAS),
        "joints_template": (NUM_JOINTS, 3),
        "joints_dirs": (NUM_JOINTS, 3, NUM_BETAS),
        "weights": (vertices, NUM_JOINTS),
        "posedirs": (vertices, 3, 9 * (NUM_JOINTS - 1)),
    }
    for key, shape in expected.items():
        if key in tensors and tensors[key].shape != shape:
            return f"`{key}` has shape {tensors[key].shape} instead of {shape}"
        if key in tensors and not np.isfinite(tensors[key]).all():
            return f"`{key}` has values that are not numbers"
    faces, faces_uv = tensors["faces"], tensors["faces_uv"]
    if faces.ndim != 2 or faces.shape[1] != 3 or not _within(faces, vertices):
        return "its faces name vertices that do not exist"
    if tensors["uv"].shape[1:] != (2,) or not _within(faces_uv, len(tensors["uv"])):
        return "its texture coordinates do not fit its faces"
    parents = raw["kintree_table"][0] if "kintree_table" in raw else raw.get("parents", PARENTS)
    # The root's parent is stored as -1, 0 or 2**32 - 1, depending on the file's origin.
    if tuple(int(parent) for parent in parents[1:]) != PARENTS[1:]:
        return "its skeleton is not SMPL's"
    return None


def _within(places: Array, count: int) -> bool:
    return bool((places >= 0).all() and (places < count).all())
