"""Scores the stages of a finished run against exact truth; runs nothing itself.

The truth is an `.npz` in camera coordinates (OpenCV axes, metres) with K (3,3), rotations
(T,2,24,3,3), betas (2,10), transl (T,2,3), which is the pelvis position, joints3d (T,2,24,3), order
(T,) and contact (T,); `order` and `contact` as in `metrics.depth_order_error` and
`touching.CONTACT_M`. `closefit demo` writes one beside its clip.
"""

import math
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from closefit.body.keypoints import KeypointRegressor
from closefit.body.model import Body
from closefit.body.skeleton import EVALUATION_JOINTS
from closefit.boundary.arrays import Npz
from closefit.boundary.refusals import word
from closefit.boundary.values import entry, numbers, refusals_as, whole_numbers
from closefit.errors import ArtifactMissingError, FileMissingError, ObservationsError
from closefit.evaluation import metrics
from closefit.exporters.contacts import Contacts, find_contacts, join
from closefit.geometry.camera import project
from closefit.geometry.contact import CONTACT_M
from closefit.geometry.units import MM_PER_M
from closefit.models import weights
from closefit.quality.contact_probability import judged
from closefit.records import Motion, OptimizedMotion
from closefit.storage import artifacts

JointSet = Literal["smpl", "lsp"]

HIPS: dict[JointSet, tuple[int, int]] = {"smpl": (0, 1), "lsp": (2, 3)}
"""The two hips among the joints of each set."""

HIP_JOINTS = [1, 2]

MAX_TRUTH_MISMATCH_M = 0.02
"""The truth's own joints may differ from those of its posed body by this much."""

OTHER_CLIP_ERROR = 0.15
"""Joints this far off in the image, in heights of a person, are those of another clip.

Fits to the keypoints of the right clip were within 0.02, truths of other clips 0.25 or more away.
"""

FRAMES_AT_ONCE = 64
"""Frames whose contacts are measured at once; all of a long clip would not fit into memory."""

STAGES: dict[str, type[Motion]] = {"init": Motion, "optimize": OptimizedMotion}


def _measure(label: str, unit: str) -> Any:
    """Declare a field of `Measures` with the words that a table shows."""
    return field(metadata={"label": label, "unit": unit})


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Scores of one stage; NaN where there was nothing to score."""

    mpjpe_mm: float = _measure("joint error (MPJPE)", "mm")
    pa_mpjpe_mm: float = _measure("joint error, aligned (PA-MPJPE)", "mm")
    pair_pa_mpjpe_mm: float = _measure("joint error, pair aligned", "mm")
    mpvpe_mm: float = _measure("vertex error (MPVPE)", "mm")
    interaction_mm: float = _measure("interaction error", "mm")
    a_pd_mm: float = _measure("penetration (A-PD)", "mm")
    acceleration_mm: float = _measure("acceleration error", "mm/frame²")
    contact_precision: float = _measure("contact precision", "share")
    contact_recall: float = _measure("contact recall", "share")
    part_contact_precision: float = _measure("contact of parts, precision", "share")
    part_contact_recall: float = _measure("contact of parts, recall", "share")
    part_contact_f1: float = _measure("contact of parts, F1", "share")
    contact_gap_mm: float = _measure("gap where the truth touches", "mm")
    wrong_depth_order: float = _measure("wrong depth order", "share")
    depth_order_frames: int = _measure("depth order scored in", "frames")
    image_error: float = _measure("error in the image", "heights")
    identity_swaps: int = _measure("identities swapped in", "frames")
    valid_share: float = _measure("scored person-frames", "share")

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the scores by name, ready for JSON: None stands for NaN."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def labels(cls) -> dict[str, tuple[str, str]]:
        """Return what a table calls each score, and its unit."""
        return {f.name: (f.metadata["label"], f.metadata["unit"]) for f in fields(cls)}


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the scores need of a truth file."""

    K: Float[np.ndarray, "3 3"]
    rotations: Float[np.ndarray, "frame 2 24 3 3"]
    betas: Float[np.ndarray, "2 10"]
    transl: Float[np.ndarray, "frame 2 3"]
    joints3d: Float[np.ndarray, "frame 2 24 3"]
    order: Int[np.ndarray, " frame"]
    contact: Bool[np.ndarray, " frame"]


def evaluate_run(
    folder: Path, truth: Path, truth_body: Path | None = None, joints: JointSet = "smpl"
) -> dict[str, Measures]:
    """Score every stage of a run that has written a motion.

    Args:
        folder: Results folder of `closefit run`.
        truth: Truth of the same clip, frame by frame.
        truth_body: Body that the truth's betas are for; the free body when None.
        joints: `smpl` for 14 joints of the skeleton, `lsp` for the paper's LSP-14 points.

    Returns:
        Scores by stage, `init` before `optimize`.

    Raises:
        InputError: The truth is missing, malformed, or of another clip or body.
        ArtifactError: No stage has been run, or its artifact is damaged.
        WeightsError: A body is missing.
    """
    paths = {stage: folder / "artifacts" / f"{stage}.npz" for stage in STAGES}
    done = {stage: path for stage, path in paths.items() if path.exists()}
    if not done:
        raise ArtifactMissingError(
            f"`{folder}` holds no motion to evaluate",
            hint=f"run `closefit run VIDEO --out {word(folder)}` first",
        )
    target = read_truth(truth)
    target_body = Body.load(truth_body or weights.locate(weights.BODIES["closefit"]))
    scores = {}
    for stage, path in done.items():
        motion = artifacts.read(path, STAGES[stage])
        body = Body.load(weights.locate(weights.BODIES[str(motion.body_name)]))
        scores[stage] = evaluate_motion(motion, body, target, target_body, joints)
    return scores


def doubts(folder: Path, scores: dict[str, Measures]) -> list[str]:
    """Return warnings about the validity of a run's scores, one sentence each."""
    found = []
    paths = {stage: folder / "artifacts" / f"{stage}.npz" for stage in scores}
    last = list(scores.values())[-1]
    if last.image_error > OTHER_CLIP_ERROR:
        found.append(
            f"the joints lie `{last.image_error:.2f}` of a person's height away from the truth in "
            "the image: is this the truth of the same clip?"
        )
    if len(paths) == len(STAGES):
        before = artifacts.read_provenance(paths["init"], Motion)
        used = artifacts.read_provenance(paths["optimize"], OptimizedMotion).inputs.get("init")
        if used is not None and used != before.fingerprint:
            found.append(
                f"`optimize` of `{folder}` started from another `init` than the one there now: "
                f"run `closefit stage optimize {word(folder)}` again"
            )
    return found


def read_truth(path: Path) -> Truth:
    """Read and check a truth file.

    Raises:
        FileMissingError: There is no such file.
        ObservationsError: It is damaged, or an array is missing or of the wrong shape.
    """
    hint = "give the `truth.npz` of this clip; `closefit demo` writes one beside its video"
    if not path.exists():
        raise FileMissingError(f"no truth file at `{path}`", hint=hint)
    with refusals_as(ObservationsError, path, hint):
        arrays = Npz(path)
        frames = len(np.atleast_1d(entry(arrays, "transl")))
        shapes = {
            "K": (3, 3),
            "rotations": (frames, 2, 24, 3, 3),
            "betas": (2, 10),
            "transl": (frames, 2, 3),
            "joints3d": (frames, 2, 24, 3),
        }
        found = {name: numbers(entry(arrays, name), name, *shapes[name]) for name in shapes}
        floats = {name: array.astype(np.float32) for name, array in found.items()}  # as bodies are
        order = whole_numbers(entry(arrays, "order"), "order", frames, low=-1, high=1)
        contact = whole_numbers(arrays["contact"] * 1, "contact", frames, low=0, high=1)
    return Truth(**floats, order=order, contact=contact.astype(bool))


def evaluate_motion(
    motion: Motion, body: Body, truth: Truth, truth_body: Body, joints: JointSet = "smpl"
) -> Measures:
    """Score one motion; its people are matched to the truth's over the whole clip.

    Bodies with equally many vertices are taken to have the same mesh; vertex errors are NaN
    otherwise.

    Raises:
        ObservationsError: The truth has another number of frames, or is for another body.
    """
    frames, truth_frames = motion.transl.shape[0], truth.transl.shape[0]
    if frames != truth_frames:
        raise ObservationsError(
            f"the run has `{frames}` frames but the truth has `{truth_frames}`",
            hint="give the truth of this clip, and run all of it (without --start and --end)",
        )
    if truth_body.num_vertices == body.num_vertices:
        truth_body = replace(truth_body, landmarks=body.landmarks)
    pelvis = truth_body.rest(_tensor(truth.betas)).joints[:, 0].numpy()
    target = _pose(truth_body, truth, truth.transl - pelvis, joints)
    _check_body(target, truth)
    scene = _pose(body, motion, motion.transl, joints)
    pixels, true_pixels = scene.in_pixels(motion.K), target.in_pixels(truth.K[None])
    assignment = metrics.assign_people(pixels, true_pixels, motion.valid)
    people = list(assignment.people)
    valid = motion.valid[:, people]
    return Measures(
        **_scores(
            scene.ordered(people), target, truth, valid, motion.confidence[:, people], joints
        ),
        image_error=metrics.image_error(pixels[:, people], true_pixels, valid),
        identity_swaps=int(assignment.swapped.sum()),
    )


@dataclass(frozen=True, eq=False)
class PosedPair:
    """Both people posed: what is compared."""

    joints: Float[np.ndarray, "frame 2 24 3"]
    points: Float[np.ndarray, "frame 2 point 3"]
    vertices: Float[Tensor, "frame 2 vertex 3"]
    faces: Int[Tensor, "face 3"]
    vertex_parts: Int[Tensor, " vertex"]

    def contacts(self) -> Contacts:
        """Measure gap, penetration and touching parts, a range of frames at a time."""
        return join(
            [
                find_contacts(vertices, self.faces, self.vertex_parts)
                for vertices in self.vertices.split(FRAMES_AT_ONCE)
            ]
        )

    def in_pixels(self, K: Float[np.ndarray, "#frame 3 3"]) -> Float[np.ndarray, "frame 2 point 2"]:
        """Project the points."""
        pixels: np.ndarray = project(_tensor(self.points), _tensor(K[:, None, None])).numpy()
        return pixels

    def ordered(self, people: list[int]) -> "PosedPair":
        """Return the scene with its people in this order."""
        return replace(
            self,
            joints=self.joints[:, people],
            points=self.points[:, people],
            vertices=self.vertices[:, people],
        )


def _pose(
    body: Body, source: Motion | Truth, transl: Float[np.ndarray, "frame 2 3"], joints: JointSet
) -> PosedPair:
    """Pose both people of a motion or a truth; `transl` as SMPL has it."""
    posed = body.pose(_tensor(source.rotations), _tensor(source.betas), _tensor(transl))
    if joints == "smpl":
        points = posed.joints[:, :, EVALUATION_JOINTS]
    else:
        regressor = KeypointRegressor(body, "lsp14")
        points = regressor(posed.joints, posed.vertices[:, :, regressor.vertex_indices])
    return PosedPair(
        joints=posed.joints.double().numpy(),
        points=points.double().numpy(),
        vertices=posed.vertices,
        faces=body.faces,
        vertex_parts=body.vertex_parts(),
    )


def _scores(
    scene: PosedPair,
    target: PosedPair,
    truth: Truth,
    valid: Bool[np.ndarray, "frame 2"],
    confidence: Float[np.ndarray, "frame 2"],
    joint_set: JointSet,
) -> dict[str, Any]:
    """Return all measures but the identity swaps, by name."""
    points, true_points = scene.points, target.points
    both: Bool[np.ndarray, " frame"] = np.all(valid, axis=1)
    found = scene.contacts()
    contact = metrics.contact_score((found.gap_m < CONTACT_M)[both], truth.contact[both])
    reported = judged(found, scene.joints, confidence)
    part_contact = metrics.part_contact_score(
        np.isfinite(reported.distance_m), np.isfinite(target.contacts().distance_m), both
    )
    order = metrics.depth_order_error(
        scene.joints[:, :, 0], target.joints[:, :, 0], truth.order, valid
    )
    return {
        "mpjpe_mm": metrics.mpjpe(points, true_points, valid, HIPS[joint_set]),
        "pa_mpjpe_mm": metrics.pa_mpjpe(points, true_points, valid),
        "pair_pa_mpjpe_mm": metrics.pair_pa_mpjpe(points, true_points, valid),
        "mpvpe_mm": _vertex_error(scene, target, valid),
        "interaction_mm": metrics.interaction_error(points, true_points, valid),
        "a_pd_mm": metrics.mean_over(found.mean_depth_mm, both),
        "acceleration_mm": metrics.acceleration_error(points, true_points, valid),
        "contact_precision": contact.precision,
        "contact_recall": contact.recall,
        "part_contact_precision": part_contact.precision,
        "part_contact_recall": part_contact.recall,
        "part_contact_f1": part_contact.f1,
        "contact_gap_mm": MM_PER_M * metrics.mean_over(found.gap_m, both & truth.contact),
        "wrong_depth_order": order.wrong_share,
        "depth_order_frames": order.scored,
        "valid_share": float(valid.mean()),
    }


def _vertex_error(scene: PosedPair, target: PosedPair, valid: Bool[np.ndarray, "frame 2"]) -> float:
    """MPVPE about the hip joints' midpoint; NaN for different meshes."""
    if scene.vertices.shape != target.vertices.shape:
        return math.nan
    root, true_root = (posed.joints[:, :, HIP_JOINTS].mean(axis=2) for posed in (scene, target))
    vertices, true_vertices = scene.vertices.numpy(), target.vertices.numpy()
    return metrics.mpvpe(vertices, true_vertices, root, true_root, valid)


def _check_body(target: PosedPair, truth: Truth) -> None:
    """Refuse a truth whose joints do not follow from its pose on this body."""
    mismatch = float(np.abs(target.joints - truth.joints3d).max())
    if mismatch > MAX_TRUTH_MISMATCH_M:
        raise ObservationsError(
            f"the truth's joints are up to `{mismatch:.3f}` m away from those of its posed body",
            hint="give the body that the truth was made with: `--truth-body FILE`",
        )


def _tensor(array: Float[np.ndarray, "*shape"]) -> Float[Tensor, "*shape"]:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
