"""docs/formats.md: generated from the records, and true of the files of a real run."""

import csv
import json
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Union, get_args, get_origin, is_typeddict

import numpy as np
import pygltflib as gl
import pytest
from jaxtyping import AbstractArray

from closefit.events import ignore
from closefit.exporters.amass import AmassMotion
from closefit.exporters.contact_file import ContactsContent
from closefit.exporters.gltf import ContactMarker
from closefit.exporters.joint_names import joint_names
from closefit.exporters.motion import ExportedMotion
from closefit.pipeline import runner
from closefit.pipeline.freshness import ExportManifest
from closefit.records import DetectedPeople, Motion, OptimizedMotion, Track
from closefit.settings import build_config
from closefit.storage.artifacts import META_KEY
from closefit.storage.run_record import RunRecord
from closefit.tracking import corrections
from closefit.tracking.corrections import CorrectionsContent
from tests.demo_clips import demo_clip
from tests.quick_run import QUICK

ROOT = Path(__file__).resolve().parents[2]
SIZE_WH = (160, 120)

pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").is_dir(), reason="an installed closefit has no documentation beside it"
)

CORRECTIONS = {
    "swap": [6, 8],
    "box": [{"person": 0, "frame": 2, "xyxy": [20.0, 10.0, 70.0, 118.0]}],
    "point": [{"person": 1, "frame": 4, "xy": [105.0, 60.0]}],
    "ignore": [[10, 10]],
    "drop": [{"person": 0, "frame": 11}, {"person": 0, "frames": [12, 12]}],
}

NOT_IN_THIS_RUN = {
    "run.json": {
        "camera.from",
        "camera.focal_px",
        "camera.fov_deg",
        "stages.*.diverged",
        "stages.*.diverged.message",
        "stages.*.diverged.hint",
        "quality.track.camera_shift_px",
        "quality.track.camera_error_px",
        "quality.track.camera_background_fit",
        "quality.track.camera_unknown_frames",
        "quality.track.camera_doubt",
        "quality.export.camera_turn_deg",
        "quality.init.init_from",
        "quality.init.init_from_share",
        "quality.init.focal_px",
        "quality.init.focal_log_sigma",
    },
    "motion.npz": {"focal_log_sigma"},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run with every file that can be asked for, and a camera file."""
    folder = tmp_path_factory.mktemp("formats")
    clip = demo_clip(folder / "clip", 20, SIZE_WH)
    pose = {"R": np.eye(3), "t": np.zeros(3)}
    K = [[200.0, 0.0, 80.0], [0.0, 200.0, 60.0], [0.0, 0.0, 1.0]]
    np.savez(folder / "camera.npz", K=np.array(K), **pose)
    given = (
        *QUICK,
        f"track.observations={clip.observations}",
        f"camera.file={folder / 'camera.npz'}",
        "export.meshes=obj",
        "export.usd=true",
    )
    runner.run(clip.video, folder / "results", build_config(assignments=given), ignore)
    return folder / "results"


def test_the_page_is_what_the_records_give() -> None:
    from docs.generate import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m docs.generate`"


def test_every_file_has_its_section(results: Path) -> None:
    from docs.generate import FILES

    patterns = [pattern for file in FILES for pattern in _patterns(file.name)]
    for path in results.rglob("*"):
        name = path.relative_to(results).as_posix()
        if path.is_file() and not path.name.startswith("."):
            assert any(fnmatch(name, pattern) for pattern in patterns), name


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("motion.npz", ExportedMotion),
        ("person_0_amass.npz", AmassMotion),
        ("person_1_amass.npz", AmassMotion),
        ("artifacts/track.npz", Track),
        ("artifacts/detections.npz", DetectedPeople),
        ("artifacts/init.npz", Motion),
        ("artifacts/optimize.npz", OptimizedMotion),
    ],
)
def test_arrays_are_as_their_record_states(results: Path, name: str, record: Any) -> None:
    with np.load(results / name) as archive:
        arrays = {key: archive[key] for key in archive if key != META_KEY}
    described = {field.name for field in fields(record)}
    assert arrays.keys() == described - NOT_IN_THIS_RUN.get(name, set())
    for field in (field for field in fields(record) if field.name in arrays):
        annotation = next(kind for kind in (*get_args(field.type), field.type) if _is_array(kind))
        array = arrays[field.name]
        assert isinstance(array, annotation), f"{field.name}: {array.dtype} {array.shape}"
        if annotation is np.ndarray:
            assert array.dtype.kind == "U", field.name


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("contacts.json", ContactsContent),
        ("run.json", RunRecord),
        ("artifacts/export.json", ExportManifest),
    ],
)
def test_json_is_as_its_record_states(results: Path, name: str, record: Any) -> None:
    content = json.loads((results / name).read_text(encoding="utf-8"))
    found = set(_walk(content, record, ""))
    assert set(_paths(record, "")) - found == NOT_IN_THIS_RUN.get(name, set())


def test_corrections_are_as_their_record_states() -> None:
    corrections.check(CORRECTIONS, Path("corrections.json"), 20, SIZE_WH)
    assert set(_walk(CORRECTIONS, CorrectionsContent, "")) == set(_paths(CorrectionsContent, ""))


def test_the_table_has_the_described_columns(results: Path) -> None:
    from docs.generate import TABLE_COLUMNS

    with (results / "contacts.csv").open(newline="") as file:
        assert next(csv.reader(file)) == list(TABLE_COLUMNS)


def test_splats_have_the_described_attributes(results: Path) -> None:
    from docs.generate import SPLAT_ATTRIBUTES

    header = (results / "gaussians" / "person_0.ply").read_bytes().split(b"end_header")[0]
    found = re.findall(r"property float (\w+)", header.decode("ascii"))
    assert found == [name for names in SPLAT_ATTRIBUTES for name in names.split(", ")]


def test_the_scene_has_the_described_nodes(results: Path) -> None:
    from docs.generate import SCENE_NODES

    scene = gl.GLTF2.load_binary(str(results / "scene.glb"))
    joints = {joint for skin in scene.skins for joint in skin.joints}
    others = {node.name for index, node in enumerate(scene.nodes) if index not in joints}
    assert {_counted(name) for name in others} == {"person_N", "person_N_body", "camera"}
    named = ["person_0, person_1", "person_N_pelvis, ...", "person_N_body", "camera"]
    assert list(SCENE_NODES) == named
    assert [animation.name for animation in scene.animations] == ["motion"]
    markers = scene.scenes[0].extras["contacts"]
    for marker in markers:
        set(_walk(marker, ContactMarker, ""))
    assert len(markers) == len((results / "contacts.csv").read_text().splitlines()) - 1


def test_the_usd_scene_has_the_described_prims(results: Path) -> None:
    from docs.generate import USD_PRIMS

    usd = pytest.importorskip("pxr.Usd", reason="needs usd-core")
    stage = usd.Stage.Open(str(results / "scene.usdc"))
    found = {_counted(str(prim.GetPath())) for prim in stage.Traverse()}
    assert found == set(USD_PRIMS)
    for key in stage.GetPrimAtPath("/scene").GetCustomDataByKey("contacts"):
        assert f"`{key}`" in USD_PRIMS["/scene"]


def test_bvh_has_the_described_channels(results: Path) -> None:
    from docs.generate import BVH_LINES

    lines = (results / "person_0.bvh").read_text().splitlines()
    channels = {line.split(maxsplit=2)[2] for line in lines if "CHANNELS" in line}
    rotations = "Zrotation Yrotation Xrotation"
    assert channels == {f"Xposition Yposition Zposition {rotations}", rotations}
    assert all(part in BVH_LINES["CHANNELS"] for part in ("Zposition", rotations))
    assert lines[0] == "HIERARCHY"
    assert "MOTION" in lines


def test_animators_find_every_joint_under_each_name() -> None:
    styles = (joint_names("smpl"), joint_names("mixamo"), joint_names("unreal"))
    page = (ROOT / "docs" / "animators.md").read_text(encoding="utf-8")
    for joint, names in enumerate(zip(*styles, strict=True)):
        assert f"| {joint} | " + " | ".join(f"`{name}`" for name in names) + " |" in page


def test_pictures_can_be_made_of_any_results(results: Path) -> None:
    from docs.pictures import HEIGHT, WIDTH, Result, sheets

    first, *others = sheets(Result.open(results))
    assert len(others) == 19
    assert first.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    for rows in (slice(HEIGHT), slice(HEIGHT, None)):
        for columns in (slice(WIDTH), slice(WIDTH, None)):
            assert first[rows, columns].std() > 5


def _counted(name: str) -> str:
    return re.sub(r"person_\d", "person_N", name)


def _patterns(name: str) -> Iterator[str]:
    """The names of a heading: `{0,1}` is either, a frame number is any."""
    choice = re.search(r"\{(.*?)\}", name)
    if choice is None:
        yield name.replace("000123", "[0-9]*")
        return
    for option in choice[1].split(","):
        yield from _patterns(name.replace(choice[0], option, 1))


def _is_array(annotation: Any) -> bool:
    return annotation is np.ndarray or (
        isinstance(annotation, type) and issubclass(annotation, AbstractArray)
    )


def _members(annotation: Any) -> dict[str, Any]:
    """Keys of a record and their annotations; `*` for any name, `[]` for any entry."""
    from docs.generate import annotations_of

    origin, inner = get_origin(annotation), get_args(annotation)
    if is_typeddict(annotation) or (isinstance(annotation, type) and is_dataclass(annotation)):
        return annotations_of(annotation)
    if origin in (list, tuple):
        return {"[]": inner[0]}
    return {"*": inner[1]} if origin in (dict, Mapping) else {}


def _paths(annotation: Any, path: str) -> Iterator[str]:
    """Every key that a record has, with those inside."""
    for key, inner in _members(annotation).items():
        if key in ("[]", "*"):
            yield from _paths(inner, f"{path}{key}.")
        else:
            yield f"{path}{key}"
            yield from _paths(inner, f"{path}{key}.")


def _walk(value: Any, annotation: Any, path: str) -> Iterator[str]:
    """Every key of a value that its record has too; fails at any other, and at another kind."""
    members = _members(annotation)
    if get_origin(annotation) in (list, tuple):
        assert isinstance(value, list), path
        for entry in value:
            yield from _walk(entry, members["[]"], f"{path}[].")
    elif "*" in members:
        for entry in value.values():
            yield from _walk(entry, members["*"], f"{path}*.")
    elif members:
        assert value.keys() <= members.keys(), f"{path}: {value.keys() - members.keys()}"
        assert getattr(annotation, "__required_keys__", set()) <= value.keys(), path
        for key, entry in value.items():
            yield f"{path}{key}"
            yield from _walk(entry, members[key], f"{path}{key}.")
    else:
        assert _fits(value, annotation), f"{path}: {value} is no {annotation}"


def _fits(value: Any, annotation: Any) -> bool:
    if annotation is Any:
        return True
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_fits(value, kind) for kind in get_args(annotation))
    if hasattr(annotation, "__metadata__"):
        return _fits(value, get_args(annotation)[0])
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, get_origin(annotation) or annotation)
