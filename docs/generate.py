"""Writes docs/formats.md: `python -m docs.generate`.

The keys come from the records that closefit writes: name, kind and shape from the fields, the text
from the docstrings. What has no record (columns, nodes, attributes) is described here, and
`tests/contract/test_formats.py` compares all of it with the files of a real run.
"""

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np
from jaxtyping import AbstractArray

from closefit.body.skeleton import JOINT_NAMES
from closefit.exporters.amass import AmassMotion
from closefit.exporters.contact_file import ContactsContent
from closefit.exporters.gltf import ContactMarker
from closefit.exporters.motion import ExportedMotion
from closefit.pipeline.freshness import ExportManifest
from closefit.records import DetectedPeople, Motion, OptimizedMotion, Track
from closefit.storage.run_record import RunRecord
from closefit.tracking.corrections import CorrectionsContent

PAGE = Path(__file__).with_name("formats.md")
WIDTH = 108

HEAD = """\
# Files and their keys

Every file of a results folder and everything in it. This page is generated (`python -m
docs.generate`) from the records in the code, and a test compares it with the files of a real run.

## Conventions

- **Person** 0 and 1 are the same people in all files.
- **Frames** count from 0 at the first chosen frame of the clip (`--start`); ranges include both
  ends. **Seconds** count from frame 0. `start_s` is the time of frame 0 in the source video.
- **Camera frame**: OpenCV's axes, x right, y down, z forward, metres, the camera at the origin.
  Pixels are those of the upright source video, (0, 0) at its top left corner, pixel centres at
  +0.5.
- **Scene frame** (`scene.glb`, `scene.usdc`, BVH, meshes): y up, x to the camera's right, z
  towards the camera, metres, the floor at height zero, the origin on the floor below the camera.
  `T_scene_camera` in `motion.npz` turns the camera frame into it.
- **AMASS frame**: z up, x to the right, y away from the camera; otherwise as the scene.
- **Body frame**: y up, facing +z, arms along x; the left side is +x. A rotation matrix acts on
  columns.
- Shapes name their axes: `frame`, `person` (or 2), then joint, keypoint and so on. `.npz` files
  hold no pickles: `numpy.load` reads them as they are. JSON has null where a number is not known.
"""


@dataclass(frozen=True)
class File:
    """A kind of file.

    Attributes:
        name: Name or pattern, in the results folder.
        text: What it is, in Markdown.
        record: What it holds; None if it has no keys.
        parts: Other parts of it: a title, and the text of each key.
    """

    name: str
    text: str
    record: Any = None
    parts: tuple[tuple[str, dict[str, str]], ...] = ()


TABLE_COLUMNS = {
    "start s": "seconds at the first frame",
    "end s": "seconds at the last frame",
    "first frame": "its number",
    "last frame": "its number; the frame belongs to the contact",
    "part of person 0": "name of the body part",
    "part of person 1": "name of the body part",
    "smallest distance mm": "smallest distance of vertices of the two parts, 0 if one is inside",
    "max penetration mm": "deepest penetration",
    "mean probability": "mean over its frames of the probability that the parts truly touch",
    "max probability": "the largest of them",
}

SPLAT_ATTRIBUTES = {
    "x, y, z": "middle in the body frame, metres, in the rest pose of the shaped body",
    "nx, ny, nz": "zero; splat viewers expect them",
    "f_dc_0, f_dc_1, f_dc_2": "colour: 0.5 + 0.2820948 f_dc is red, green, blue in 0 to 1",
    "opacity": "logit of the opacity",
    "scale_0, scale_1, scale_2": "natural logarithm of the standard deviation along each axis, "
    "in metres",
    "rot_0, rot_1, rot_2, rot_3": "rotation of the axes, unit quaternion w, x, y, z",
    ", ".join(f"weight_{joint}" for joint in JOINT_NAMES): "share with which the Gaussian follows "
    "each joint (linear blend skinning); they sum to 1",
}

SCENE_NODES = {
    "person_0, person_1": "an empty node over each person's joints, so that programs make two "
    "armatures",
    "person_N_pelvis, ...": "24 joints, by default `person_N_` and the name of the joint; "
    "`--set export.joint_names=mixamo` and `unreal` give other names, without `person_N_`",
    "person_N_body": "the skinned mesh in the shaped rest pose, with vertex colours (`COLOR_0`, "
    "linear light) and at most four joints per vertex",
    "camera": "the camera of the video (`video`): its vertical field of view and aspect",
}

USD_PRIMS = {
    "/scene": "default prim; lists contacts in its custom data `contacts`: the arrays "
    "`first_frame`, `last_frame`, `person_0`, `person_1`, `distance_mm` and `penetration_mm` "
    "have an entry per contact",
    "/scene/person_N": "`SkelRoot` of a person",
    "/scene/person_N/skeleton": "`Skeleton` of 24 joints, bound in the shaped rest pose",
    "/scene/person_N/skeleton/motion": "`SkelAnimation`, one time code per frame",
    "/scene/person_N/body": "skinned mesh with display colours; all joints of a vertex count",
    "/scene/camera": "the camera of the video",
}

CAMERA_KEYS = {
    "K": "(3, 3), or (frame, 3, 3) for a zoom: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in source "
    "pixels",
    "R": "optional, (3, 3) or (frame, 3, 3): rotation from the world to the camera; where it is "
    "given, the pictures are not searched for the camera's motion",
    "t": "optional, (3) or (frame, 3): translation from the world to the camera, which has to stay "
    "within 0.25 m of its place",
}

BVH_LINES = {
    "HIERARCHY": "one root and 23 joints, each with its `OFFSET` from the parent in metres in "
    "the shaped rest pose (arms along x); names as in SMPL, without `person_N_`, or as "
    "`export.joint_names` states; `End Site` lengthens the last bone by half",
    "CHANNELS": "root: `Xposition Yposition Zposition`, the pelvis in the scene frame; every "
    "joint: `Zrotation Yrotation Xrotation` in degrees, applied as Rz Ry Rx",
    "MOTION": "`Frames`, `Frame Time` in seconds, then a line per frame",
}

META_TEXT = (
    "Besides its arrays an artifact has `__meta__`, a JSON text: `format` (`closefit-artifact`), "
    "`kind`, `version` of its layout, `tool_version`, `libraries` (versions by name), and its "
    "origin: `stage`, `fingerprint` (hash over everything that the result depends on), "
    "`revision` of the stage, `inputs` (fingerprints of the artifacts, hash of the video), "
    "`settings`, `weights` (SHA-256 by name), `seed` and `device`. "
    "`closefit.storage.artifacts.read` checks all of it."
)

ELSEWHERE = (
    "Detections (`--observations`) are described in [importing.md](importing.md), estimates of "
    "other tools (`--init-from`) in [estimates.md](estimates.md), settings in "
    "[settings.md](settings.md)."
)

FILES = (
    File(
        "motion.npz",
        "Both people's motion in the camera frame, metres; float32. Of what may be missing, `R` "
        "and `t` are there with a camera file that has them, and the rest in files of this "
        "version.",
        ExportedMotion,
    ),
    File(
        "contacts.json",
        "Who touches whom. Parts touch in a frame where vertices of theirs are nearer than "
        "`contact_distance_m`, or where one is inside the other person, but not deeper than "
        "`plausible_depth_mm`. How probable it is that they touch in truth stands with each "
        "contact (docs/method.md).",
        ContactsContent,
    ),
    File(
        "contacts.csv",
        "The same as a table, one row per unbroken contact of two parts.",
        parts=(("Columns", TABLE_COLUMNS),),
    ),
    File(
        "timeline.png",
        "A picture of `contacts.json`: a row per pair of parts (the 24 with the longest "
        "contact), coloured by the deepest penetration, and below it both people's confidence; "
        "crosses mark guesses.",
    ),
    File(
        "scene.glb",
        "Both people skinned and animated in the scene frame: glTF 2.0, binary. The animation "
        "`motion` has a key per frame, at its time in seconds from frame 0: 24 rotations and the "
        "pelvis' place for each person. SMPL's pose-dependent corrections cannot be expressed "
        "and are left out. The scene's `extras` has a list `contacts`:",
        ContactMarker,
        (("Nodes", SCENE_NODES),),
    ),
    File(
        "scene.usdc",
        "The same as USD, only with `--set export.usd=true` (package `usd-core`). Metres, y up, "
        "one time code per frame.",
        parts=(("Prims", USD_PRIMS),),
    ),
    File(
        "person_{0,1}.bvh",
        "A person's skeleton animation in the scene frame, in metres: text.",
        parts=(("Sections", BVH_LINES),),
    ),
    File(
        "person_{0,1}_amass.npz",
        "A person's motion with the keys of the AMASS archive, in the AMASS frame; float64.",
        AmassMotion,
    ),
    File(
        "gaussians/person_{0,1}.ply",
        "A person's Gaussians in the rest pose: binary PLY with the attributes that splat "
        "viewers read and skinning weights, float32. What the camera never saw has the colours of "
        "the mirrored side or, where that was not seen either, the body part's middle colour.",
        parts=(("Attributes", SPLAT_ATTRIBUTES),),
    ),
    File(
        "meshes/person_{0,1}/000123.{obj,ply}",
        "The posed mesh of each frame in the scene frame, only with `--set export.meshes=obj` or "
        "`ply`. Vertices and faces are in the same order in every file.",
    ),
    File(
        "overlay.mp4",
        "One picture per frame: the input, the bodies over it, both from the side and from above; "
        "with `--set export.overlay_layout=single` only the second, at the size of the video. "
        "Outlines show who is in front, yellow skin and discs where the two touch.",
    ),
    File(
        "preview.gif",
        "The bodies over the input in the three seconds with most contact, under 3 MB.",
    ),
    File("artifacts/film.mp4", "What `report.html` shows of `overlay.mp4`."),
    File("preview.mp4", "The result of `track`, drawn over the input; only after `--preview`."),
    File(
        "report.html",
        "Everything to look at, in one page: the other files are inside of it. It is for people; "
        "programs read the files.",
    ),
    File("run.json", "Settings, facts and figures of the run.", RunRecord),
    File("log.txt", "What closefit logged, a line per entry: time, level, module, text."),
    File(
        "artifacts/track.npz",
        "Two people followed through the clip: what `track` found, in source pixels.",
        Track,
    ),
    File(
        "artifacts/detections.npz",
        "Everybody who was detected; it lets `track` decide again who is who without detecting.",
        DetectedPeople,
    ),
    File(
        "artifacts/init.npz",
        "The first motion, in the frame of the still camera; metres.",
        Motion,
    ),
    File(
        "artifacts/optimize.npz",
        "Motion and appearance after the joint optimisation, in the frame of the still camera; "
        "metres.",
        OptimizedMotion,
    ),
    File(
        "artifacts/export.json",
        "Which files `export` wrote last, and from what; `closefit status` reads it.",
        ExportManifest,
    ),
)

INPUTS = (
    File(
        "corrections.json",
        "Corrections by hand, beside the video or given with `--corrections`; the viewer writes "
        "it too ([tracking.md](tracking.md)). Every key may be missing. Pixels of the upright "
        "source video.",
        CorrectionsContent,
    ),
    File(
        "camera.npz",
        "Any name, given with `--camera`: a camera that stays at its place; it may turn and zoom.",
        parts=(("Keys", CAMERA_KEYS),),
    ),
)


def page() -> str:
    """Return the whole page."""
    blocks = [HEAD, "## Results\n", *map(_described, FILES)]
    blocks += ["## Artifacts\n\n" + _wrapped(META_TEXT, "")]
    blocks += ["## Input\n", *map(_described, INPUTS)]
    blocks.append(_wrapped(ELSEWHERE, ""))
    return "\n".join(blocks)


def _described(file: File) -> str:
    blocks = [f"### `{file.name}`", "", _wrapped(file.text, "")]
    if file.record is not None:
        blocks += _record_lines(file.record, "")
    for title, keys in file.parts:
        blocks += [f"{title}:\n" if file.record is None else f"\n{title}:\n"]
        blocks += [_wrapped(f"- `{key}`: {text}", "  ").rstrip() for key, text in keys.items()]
    return "\n".join(blocks).rstrip() + "\n"


def _record_lines(record: Any, inside: str) -> Iterator[str]:
    """Lines of a list of the record's keys, then of the records inside of it."""
    if inside:
        yield f"\nIn {inside}:\n"
    texts = texts_of(record)
    inner = []
    for name, annotation in annotations_of(record).items():
        yield _wrapped(f"- `{name}`, {kind_of(annotation)}: {texts[name]}", "  ").rstrip()
        nested, where = nested_record(annotation)
        if nested is not None:
            path = f"{where}`{name}`"
            inner.append((nested, f"{path} of {inside}" if inside else path))
    for nested, path in inner:
        yield from _record_lines(nested, path)


def annotations_of(record: Any) -> dict[str, Any]:
    """Annotation of each key of a record."""
    if is_dataclass(record):
        return {field.name: field.type for field in fields(record)}
    return get_type_hints(record)


def texts_of(record: Any) -> dict[str, str]:
    """Text of each key, from the section `Attributes` of the docstrings."""
    texts: dict[str, str] = {}
    for parent in reversed(inspect.getmro(record) if not is_typeddict(record) else (record,)):
        doc = inspect.cleandoc(parent.__dict__.get("__doc__") or "")
        _, _, listed = doc.partition("Attributes:\n")
        for entry in re.split(r"\n(?=    \w)", "\n" + listed):
            name, colon, text = entry.partition(":")
            if colon and name.strip().isidentifier():
                text = " ".join(text.split())
                texts[name.strip()] = text[:1].lower() + text[1:] if text[1:2].islower() else text
    return texts


def nested_record(annotation: Any) -> tuple[Any, str]:
    """The record inside of an annotation, if there is one, and how its key leads to it."""
    if is_typeddict(annotation) or (is_dataclass(annotation) and isinstance(annotation, type)):
        return annotation, ""
    for inner in get_args(annotation):
        nested, _ = nested_record(inner)
        if nested is not None:
            return nested, "each entry of "
    return None, ""


def kind_of(annotation: Any) -> str:
    """Describe what a key holds: kind of number and shape, or kind of JSON value."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        others = [kind for kind in inner if kind is not NoneType]
        kind = " or ".join(map(kind_of, others))
        return f"{kind}, may be missing" if _is_array(others[0]) else f"{kind} or null"
    if _is_array(annotation):
        return _array_kind(annotation)
    if origin is list:
        return f"list of {_plural(inner[0])}"
    if origin is tuple:
        return f"list of {len(inner)} {_plural(inner[0])}"
    if origin in (dict, Mapping):
        return f"object with {_plural(inner[1])} by name"
    if hasattr(annotation, "__metadata__"):
        return kind_of(inner[0])
    names = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    return names.get(annotation, "object")


def _plural(annotation: Any) -> str:
    if annotation is Any or get_origin(annotation) in (Union, UnionType):
        return "values"
    kind = kind_of(annotation)
    head, _, tail = kind.partition(" of ")
    return f"{head}s of {tail}" if tail else f"{kind}s"


def _is_array(annotation: Any) -> bool:
    return annotation is np.ndarray or (
        isinstance(annotation, type) and issubclass(annotation, AbstractArray)
    )


def _array_kind(annotation: Any) -> str:
    if annotation is np.ndarray:
        return "text"
    kind = annotation.__name__.split("[")[0].lower()
    axes = annotation.dim_str.split()
    return f"{kind} ({', '.join(axes)})" if axes else kind


def _wrapped(text: str, indent: str) -> str:
    lines = textwrap.wrap(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
