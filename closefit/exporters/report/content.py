"""What the page shows besides pictures: contacts, rows over time, figures and doubts, as JSON."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from closefit import __version__, settings
from closefit.body.skeleton import JOINT_INDEX
from closefit.boundary.refusals import word
from closefit.errors import ArtifactError, ArtifactMissingError, ConfigError
from closefit.exporters.contact_file import PartContact, read_contacts
from closefit.exporters.contacts import ranges_of
from closefit.exporters.doubts import doubts
from closefit.exporters.motion import FAR, ExportedMotion, read_motion, to_scene
from closefit.exporters.report.film import stride_of
from closefit.geometry.units import MM_PER_M
from closefit.models import weights
from closefit.palette import DEPTH_COLOURS, DEPTH_STEPS_MM, PERSON_COLOURS, hex_colour
from closefit.records import Motion, OptimizedMotion, Track
from closefit.storage import artifacts
from closefit.storage.workspace import NUM_PEOPLE, Workspace

SPOT_M = 0.11
"""Radius of the light on skin around a contact."""

FLESH_M = 0.2
"""Bodies reach this far beyond their joints."""

PLANTED_M = 0.03
"""A foot this little above its usual lowest height stands."""

DOUBTFUL_IDENTITY = 0.5

FOCAL_ORIGINS = {
    "--focal": "given with --focal",
    "video": "as the camera wrote it into the video",
    "estimated": "estimated from the clip: {}",
    "assumed": "assumed: {}",
}
"""Where a focal length is from; the place is for the field of view."""

Content = dict[str, Any]


def read_content(workspace: Workspace, run: Mapping[str, Any]) -> Content:
    """Collect everything from the files of a results folder; `run` is the content of `run.json`.

    Raises:
        ArtifactError: `motion.npz` or `contacts.json` is missing or damaged.
    """
    hint = f"run `closefit stage export {word(workspace.root)}`"
    for path in (workspace.motion, workspace.contacts, workspace.glb):
        if not path.is_file():
            raise ArtifactMissingError(f"there is no `{path}`", hint)
    motion = read_motion(workspace.motion)
    contacts = read_contacts(workspace.contacts, len(motion.valid), hint)
    touching: list[Any] = [
        contacts["frames_in_contact"],
        contacts["contacts"],
        contacts["per_frame"],
    ]
    frames, fps = len(motion.valid), float(motion.fps)
    stride = stride_of(frames)
    times_s = np.arange(frames) / fps if motion.time_s is None else motion.time_s
    in_scene = _joints_in_scene(motion)
    low, high = in_scene.min((0, 1, 2)), in_scene.max((0, 1, 2))
    video = Path(run.get("video", {}).get("path", workspace.root.name))
    return {
        "title": video.name,
        "summary": _summary(times_s, touching[0], stride),
        "version": run.get("closefit", __version__),
        "command": command_of(run),
        "licences": _licences(workspace),
        "fps": fps / stride,
        "aspect": float(motion.width) / float(motion.height),
        "camera_moves": motion.T_scene_camera is not None and motion.T_scene_camera.ndim == 3,
        "stride": stride,
        "num_frames": frames,
        "times_s": np.round(times_s[::stride], 4).tolist(),
        "middle_m": np.round((low + high) / 2, 3).tolist(),
        "half_m": np.round((high - low) / 2 + FLESH_M, 3).tolist(),
        "spot_m": SPOT_M,
        "colours": {
            "people": [hex_colour(colour) for colour in PERSON_COLOURS],
            "depths": [hex_colour(colour) for colour in DEPTH_COLOURS],
        },
        "depth_steps_mm": DEPTH_STEPS_MM,
        "frames_in_contact": touching[0],
        "contacts": [_shown(contact, stride) for contact in contacts["contacts"]],
        "rows": list(_rows(motion, stride)),
        "figures": list(_figures(motion, in_scene, touching, run)),
        "doubts": [list(doubt) for doubt in doubts(run)],
    }


def command_of(run: Mapping[str, Any]) -> str:
    """Return the command with the settings of a run, without the names of folders."""
    recorded = run.get("settings", {})
    preset = recorded.get("preset", "default")
    with suppress(ConfigError):
        usual = settings.flatten(settings.build_config(values={"preset": preset}))
        changed = [
            f"{key}={_nameless(value)}"
            for key, value in settings.renamed(recorded).items()
            if key in usual and key not in ("preset", "weights_dir") and _differs(value, usual[key])
        ]
        video = Path(run.get("video", {}).get("path", "VIDEO")).name
        words = ["closefit", "run", video, "--out", "DIR", "--preset", preset]
        return shlex.join([*words, *(word for text in changed for word in ("--set", text))])
    return ""


def _differs(value: Any, usual: Any) -> bool:
    return (list(value) if isinstance(value, list | tuple) else value) != (
        list(usual) if isinstance(usual, tuple) else usual
    )


def _nameless(value: Any) -> Any:
    """A page may be handed on: of a path only the file's name."""
    if isinstance(value, list | tuple):
        return json.dumps([_nameless(entry) for entry in value])
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return Path(value).name if isinstance(value, str) and "/" in value else value


def _licences(workspace: Workspace) -> list[str]:
    """Name and licence of each model that a stage used."""
    names: dict[str, None] = {}
    for record in (Track, Motion, OptimizedMotion):
        with suppress(ArtifactError, OSError):
            used = artifacts.read_provenance(workspace.artifact(record.KIND), record).weights
            names |= dict.fromkeys(used)
    known = weights.manifest()
    return [f"{name} ({known[name].licence})" for name in names if name in known]


def _summary(
    times_s: Float[np.ndarray, " frame"], ranges: Sequence[Sequence[int]], stride: int
) -> str:
    frames = len(times_s)
    count = sum(last - first + 1 for first, last in ranges)
    span = float(times_s[-1]) * frames / max(frames - 1, 1)
    text = f"{span:.2f} s, {frames} frames. "
    text += (
        f"The two touch for {span * count / frames:.2f} s ({count / frames:.0%})."
        if count
        else "The two never touch."
    )
    return text + (f" This page shows one frame in {stride}." if stride > 1 else "")


def _shown(contact: PartContact, stride: int) -> Content:
    """What the page needs of a contact: lists only of frames that it shows, depths of stretches."""
    numbers = [number for first, last in contact["frames"] for number in range(first, last + 1)]
    kept = [entry for entry, number in enumerate(numbers) if number % stride == 0]
    depth = dict(zip(numbers, contact["penetration_mm"], strict=True))
    return {
        "person_0": contact["person_0"],
        "person_1": contact["person_1"],
        "frames": contact["frames"],
        "deepest_mm": [
            max(depth[number] for number in range(first, last + 1))
            for first, last in contact["frames"]
        ],
        "distance_mm": [contact["distance_mm"][entry] for entry in kept],
        "penetration_mm": [contact["penetration_mm"][entry] for entry in kept],
        "place_m": [contact["place_m"][entry] for entry in kept],
        "probability": [round(contact["probability"][entry], 2) for entry in kept],
    }


def _rows(motion: ExportedMotion, stride: int) -> Iterator[Content]:
    """Rows below the contacts: curves have a value per shown frame, runs have source frames."""
    kept = slice(None, None, stride)
    overlap = _box_overlap(motion.keypoints2d_reprojected)[kept]
    yield {
        "label": "overlap in the picture",
        "kind": "curve",
        "className": "neutral",
        "values": np.round(overlap, 3).tolist(),
        "words": [f"{value:.0%} of the smaller person's box" for value in overlap],
    }
    nearer = motion.joints[:, :, 0, 2].argmin(axis=1)
    yield {
        "label": "who is in front",
        "kind": "runs",
        "runs": [
            [*run, f"p{person}", f"person {person} is in front"]
            for person in range(NUM_PEOPLE)
            for run in ranges_of(nearer == person)
        ],
    }
    if motion.score is not None:
        yield {
            "label": "score",
            "kind": "curve",
            "className": "neutral",
            "values": np.round(motion.score[kept].astype(float), 3).tolist(),
        }
    for person in range(NUM_PEOPLE):
        yield {
            "label": f"confidence of person {person}",
            "kind": "curve",
            "className": f"p{person}",
            "values": np.round(motion.confidence[kept, person].astype(float), 3).tolist(),
        }
    if motion.guessed is None or motion.filled is None or motion.identity_confidence is None:
        return
    for person in range(NUM_PEOPLE):
        states = {"filled in": motion.filled[:, person], "guessed": motion.guessed[:, person]}
        runs = [
            [*run, "guessed" if word == "guessed" else f"p{person}", f"not seen: {word}"]
            for word, where in states.items()
            for run in ranges_of(where)
        ]
        if runs:
            yield {"label": f"person {person} not seen", "kind": "runs", "runs": runs}
    doubtful = (motion.identity_confidence < DOUBTFUL_IDENTITY) & ~motion.guessed
    if doubtful.any():
        runs = [
            [*run, "neutral", "who is who is doubtful"] for run in ranges_of(doubtful.any(axis=1))
        ]
        yield {"label": "identity doubtful", "kind": "runs", "runs": runs}


def _figures(
    motion: ExportedMotion,
    in_scene: Float[np.ndarray, "frame 2 24 3"],
    touching: list[Any],
    run: Mapping[str, Any],
) -> Iterator[dict[str, str]]:
    def figure(label: str, value: str, note: str = "") -> dict[str, str]:
        return {"label": label, "value": value, "note": note}

    frames = len(motion.valid)
    size = f"{int(motion.width)} x {int(motion.height)} px"
    yield figure("video", f"{float(motion.fps):.3g} fps, {size}", f"{frames} frames")
    yield from (figure("score", *facts) for facts in _score(run))
    count = sum(last - first + 1 for first, last in touching[0])
    yield figure("contact", f"{count / frames:.0%} of the frames", f"{len(touching[1])} pairs")
    deepest = touching[2].get("max_penetration_mm", [0.0])
    mean = float(np.mean(touching[2].get("mean_penetration_mm", [0.0])))
    yield figure(
        "penetration",
        f"{max(deepest):.1f} mm at most",
        f"in frame {int(np.argmax(deepest))}; mean over all vertices {mean:.3f} mm",
    )
    for person in range(NUM_PEOPLE):
        mean = float(motion.confidence[:, person].mean())
        seen = "" if motion.seen is None else f"seen in {motion.seen[:, person].mean():.0%}"
        yield figure(f"person {person}", f"confidence {mean:.2f}", seen)
        if motion.stature_m is not None:
            height = f"{float(motion.stature_m[person]):.2f} m"
            yield figure(f"height of person {person}", height, "from the fitted shape")
    yield figure("camera", *_camera(motion, run))
    yield from (figure("camera motion", *facts) for facts in _camera_motion(run))
    slide_mm, jitter_mm = foot_slide_mm(in_scene), jitter_of(in_scene)
    yield figure("feet sliding", f"{slide_mm:.1f} mm/frame", "feet that stand, mean")
    yield figure("jitter", f"{jitter_mm:.1f} mm/frame", "change of a joint's step, mean")
    fitted = run.get("quality", {}).get("optimize", {}).get("optimize_status")
    if fitted:
        yield figure("optimisation", str(fitted))


def _score(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How good the result is, and why it is no better; older results have no score."""
    quality = run.get("quality", {})
    if "score" in quality:
        reasons = "; ".join(quality.get("reasons", ())) or "nothing speaks against it"
        yield f"{quality['score']:.2f} of 1", f"probability that it would be kept: {reasons}"


def _camera(motion: ExportedMotion, run: Mapping[str, Any]) -> tuple[str, str]:
    focal = float(motion.K.reshape(-1, 3, 3)[0, 0, 0])
    camera = run.get("camera", {})
    if "file" in camera:
        origin = f"from {Path(str(camera['file'])).name}"
    else:
        field_of_view = f"a diagonal field of view of {camera.get('fov_deg', 0):.1f} degrees"
        origin = FOCAL_ORIGINS.get(str(camera.get("from")), "from {}").format(field_of_view)
    return f"focal length {focal:.0f} px", origin


def _camera_motion(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was found of the camera's motion, where it moves."""
    quality = run.get("quality", {})
    turn_deg = quality.get("export", {}).get("camera_turn_deg")
    if turn_deg is not None:
        shift_px = quality.get("track", {}).get("camera_shift_px")
        note = "" if shift_px is None else f"the picture moves by up to {shift_px:.0f} px; "
        yield f"turns by up to {turn_deg:.1f} degrees", f"{note}taken out"


def _joints_in_scene(motion: ExportedMotion) -> Float[np.ndarray, "frame 2 24 3"]:
    move = to_scene(motion)[:, None]
    turned = motion.joints.astype(np.float64) @ move[..., :3, :3].swapaxes(-1, -2)
    joints: np.ndarray = turned + move[..., None, :3, 3]
    return joints


def foot_slide_mm(joints: Float[np.ndarray, "frame 2 24 3"]) -> float:
    """Mean horizontal step of a foot that stands, per frame; joints in the scene, metres."""
    feet = joints[:, :, [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]]
    lowest = np.percentile(feet[..., 1], 5.0, axis=0)
    stands = feet[..., 1] < lowest + PLANTED_M
    steps = np.linalg.norm(np.diff(feet[..., [0, 2]], axis=0), axis=-1)
    both = stands[1:] & stands[:-1]
    return MM_PER_M * float(steps[both].mean()) if both.any() else 0.0


def jitter_of(joints: Float[np.ndarray, "frame 2 24 3"]) -> float:
    """Mean change in mm of a joint's step from one frame to the next."""
    if len(joints) < 3:
        return 0.0
    return MM_PER_M * float(np.linalg.norm(np.diff(joints, n=2, axis=0), axis=-1).mean())


def _box_overlap(points: Float[np.ndarray, "frame 2 17 2"]) -> Float[np.ndarray, " frame"]:
    """Overlap of the two people's boxes over the smaller box."""
    points = np.nan_to_num(points.astype(np.float64)).clip(-FAR, FAR)
    low, high = points.min(axis=2), points.max(axis=2)
    area = (high - low).prod(-1).min(-1)
    common = np.maximum(high.min(1) - low.max(1), 0.0).prod(-1)
    overlap: np.ndarray = common / np.maximum(area, 1e-6)
    return overlap.astype(np.float64)
