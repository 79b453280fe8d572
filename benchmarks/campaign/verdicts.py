"""What came of a case: a clean error, an accepted input with sound results, or a failure."""

import json
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.campaign.cases import Case
from benchmarks.campaign.forkserver import MEMORY_BYTES, WALL_S, Outcome
from closefit.errors import ClosefitError
from closefit.records import Motion, OptimizedMotion, Track
from closefit.storage import artifacts

CLEAN, ACCEPTED = "clean error", "accepted"
FAILURES = (
    "traceback",
    "crash",
    "hang",
    "bomb",
    "silent wrong",
    "left-overs",
    "input changed",
    "unclear error",
)
DOCUMENTED = range(2, 11)
COMPARED_BYTES = 1 << 26
PARTIAL = re.compile(r"^\.closefit-(partial|download)-|\.partial$|\.part$|^executed$")
RECORDS = {"track.npz": Track, "init.npz": Motion, "optimize.npz": OptimizedMotion}


def state_of(folder: Path) -> dict[str, Any]:
    """What lies under a folder; contents of files of ordinary size, and sizes of all."""
    state: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        ordinary = stat.S_ISREG(facts.st_mode) and facts.st_size < COMPARED_BYTES
        state[str(path)] = (facts.st_mode, facts.st_size, _content(path) if ordinary else None)
    return state


def _content(path: Path) -> bytes | None:
    with suppress(PermissionError):
        return path.read_bytes()
    return None


def folders_of(case: Case) -> set[str]:
    """Results folders among the case's input, which its command may change."""
    named = {"in/done", "in/full", "in/batch"} & set(case.arguments)
    writes = case.arguments[0] in ("stage", "run", "report", "view", "batch")
    return named if writes and case.arguments[:2] != ("batch", "status") else set()


def unprintable(text: str) -> str:
    """The first character that a terminal would obey instead of showing it; empty if none is."""
    obeyed = next((c for c in text if not c.isprintable() and c not in "\n\r\t"), "")
    return ascii(obeyed) if obeyed else ""


def judge(case: Case, outcome: Outcome, folder: Path, before: dict[str, Any]) -> tuple[str, str]:
    """Return the verdict and its reason."""
    text = outcome.stdout + outcome.stderr
    if outcome.timed_out or outcome.cpu_s > WALL_S:  # of ffmpeg too
        return "hang", f"after {outcome.seconds:.0f} s"
    if (
        "MemoryError" in text
        or "Cannot allocate memory" in text
        or outcome.peak_bytes > MEMORY_BYTES
    ):
        return "bomb", f"{outcome.peak_bytes / 1e9:.1f} GB"
    if outcome.exit_code > 128:
        return "crash", f"exit code {outcome.exit_code}: {outcome.stderr[-200:]}"
    # 1: something is missing on this machine, or a clip has failed
    is_report = case.arguments[0] in ("doctor", "batch") and outcome.exit_code < 2
    shown = "Traceback" in text and "--verbose" not in case.arguments
    if shown or "internal error" in text or outcome.exit_code in (1, 99)[is_report:]:
        return "traceback", _last_line(outcome.stderr)
    for part in _changes(case, folder, before):
        return "input changed", part
    new = (path for path in folder.rglob("*") if str(path) not in before)
    left = [str(path.relative_to(folder)) for path in new if PARTIAL.search(path.name)]
    if left:
        return "left-overs", ", ".join(left)
    if outcome.exit_code != 0 and not is_report:
        return _judge_error(outcome)
    if (obeyed := unprintable(text)) and "FORCE_COLOR" not in case.environment:
        return "unclear error", f"raw {obeyed} is printed"
    wrong = next(_wrong_results(case, outcome, folder, before), None)
    return (ACCEPTED, "") if wrong is None else ("silent wrong", wrong)


def _judge_error(outcome: Outcome) -> tuple[str, str]:
    if outcome.exit_code not in DOCUMENTED:
        return "unclear error", f"exit code {outcome.exit_code}"
    if obeyed := unprintable(outcome.stdout + outcome.stderr):
        return "unclear error", f"raw {obeyed} is printed"
    if "Read-only file system" in outcome.stderr and "`/tmp" in outcome.stderr:
        return "unclear error", "it wants to write outside of its folders"
    if outcome.exit_code == 2:  # wrong usage, in typer's own form
        return CLEAN, ""
    if outcome.exit_code == 8 and "error: " in outcome.stderr:
        return CLEAN, ""
    if "error: " not in outcome.stderr or "\n\nhint: " not in outcome.stderr:
        return "unclear error", f"no sentence and hint: {outcome.stderr[-200:]}"
    return CLEAN, ""


def _changes(case: Case, folder: Path, before: dict[str, Any]) -> Iterator[str]:
    """What changed outside the results folder."""
    if case.spoiled == "odd --out":  # the results folder may be anywhere in this one
        return
    after = state_of(folder / "in")
    mine = {str(folder / name) for name in folders_of(case)}
    for path in sorted(before.keys() | after.keys()):
        if any(path == own or path.startswith(f"{own}/") for own in mine):
            continue
        if before.get(path) != after.get(path):
            yield path
    known = {"in", "out", "stdout", "stderr", "home", ""}
    named = {word.split("/")[0] for word in case.arguments}
    for path in folder.iterdir():
        if path.name not in known | named:
            yield f"new: {path.name}"


def _wrong_results(
    case: Case, outcome: Outcome, folder: Path, before: dict[str, Any]
) -> Iterator[str]:
    """What is not sound about the results of a command that succeeded."""
    if "--json" in case.arguments and case.name != "other commands":
        try:
            shown = json.loads(outcome.stdout, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            yield f"stdout is no JSON: {error}"
            return
        if case.name == "folder status":
            yield from _wrong_status(shown, folder / "in" / "done")
    for root in (folder / "out", *(folder / name for name in sorted(folders_of(case)))):
        if root.is_dir():
            yield from _wrong_files(case, root, before)


def _wrong_files(case: Case, root: Path, before: dict[str, Any]) -> Iterator[str]:
    """Files in a results folder that this command wrote, or should not have left as they are."""
    command = case.arguments[0]

    def is_judged(path: Path) -> bool:
        was = before.get(str(path))
        if path.is_symlink() or not path.is_file():  # what lies behind a link is judged as input
            return False
        return command == "run" or not was or was[2] != path.read_bytes()

    for path in filter(is_judged, [root / "contacts.json", root / "run.json",
                                   root / "corrections.json",
                                   *root.glob("artifacts/*.json")]):  # fmt: skip
        if problem := _json_problem(path):
            yield f"{path.name}: {problem}"
    for path in filter(is_judged, root.glob("*.html")):
        if any(mark in path.read_bytes() for mark in (b"<script>odd", b"<img src=x")):
            yield f"{path.name}: text from a file is code in the page"
    if command in ("run", "stage"):
        yield from _wrong_artifacts(case, root)
    if command == "import-smpl" or (command, *case.arguments[1:2]) == ("prior", "prepare"):
        for path in filter(is_judged, root.rglob("*.npz")):
            yield from _wrong_arrays(path)
        for name, kind, most in (("rotations_6d.f16", "<f2", 1.01), ("pelvis_m.f32", "<f4", 1e4)):
            for path in root.rglob(name):
                if not (np.abs(np.fromfile(path, kind)) <= most).all():
                    yield f"{name}: not finite, or too large"
    for path in filter(is_judged, root.glob("**/motion.npz")):
        if command not in ("stage", "report", "view") or "export" in case.arguments:
            yield from _wrong_arrays(path)


def _json_problem(path: Path) -> str:
    try:
        json.loads(path.read_text(), parse_constant=_refuse)
    except (ValueError, RecursionError, OSError) as error:
        return str(error)
    return ""


def _wrong_status(shown: Any, root: Path) -> Iterator[str]:
    for entry in shown:
        record = RECORDS.get(f"{entry['stage']}.npz")
        if entry["up_to_date"] and record is not None:
            try:
                artifacts.read(root / "artifacts" / f"{entry['stage']}.npz", record)
            except ClosefitError as error:
                yield f"up to date, but {error.message}"


def _wrong_artifacts(case: Case, root: Path) -> Iterator[str]:
    """Artifacts of the stages that ran, or that are up to date, and cannot be right."""
    only = case.arguments[1] if case.arguments[0] == "stage" else None
    for stage in ("track", "init", "optimize"):
        if only not in (None, stage):
            continue
        path = root / "artifacts" / f"{stage}.npz"
        if not path.is_file():
            continue
        try:
            record = artifacts.read(path, RECORDS[path.name])
        except ClosefitError as error:
            yield error.message
            continue
        if isinstance(record, Motion):
            yield from _wrong_motion(stage, record.rotations, record.joints, record.transl)


def _wrong_motion(
    name: str, rotations: np.ndarray, joints: np.ndarray, transl: np.ndarray
) -> Iterator[str]:
    if not all(np.isfinite(values).all() for values in (rotations, joints, transl)):
        yield f"{name}: not finite"
        return
    product = rotations @ np.swapaxes(rotations, -1, -2)
    if np.abs(product - np.eye(3)).max() > 1e-3 or (np.linalg.det(rotations) < 0).any():
        yield f"{name}: no rotations"
    if (joints[..., 0, 2] <= 0).any():
        yield f"{name}: behind the camera"
    size = joints.max(-2) - joints.min(-2)
    if size.max() > 5.0 or np.abs(joints).max() > 1e3:
        yield f"{name}: people of {size.max():.1f} m at {np.abs(joints).max():.1f} m"


def _wrong_arrays(path: Path) -> Iterator[str]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                array = archive[name]
                projected = name == "keypoints2d_reprojected"  # of points behind the camera
                if array.dtype.kind == "f" and not projected and not np.isfinite(array).all():
                    yield f"{path.name}: `{name}` is not finite"
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        yield f"{path.name}: {error}"


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    errors = [line for line in lines if "internal error" in line]
    return (errors or lines or ["nothing printed"])[-1][:300]
