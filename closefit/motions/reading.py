"""Motion files of all kinds, recognised by what they are."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from closefit import weights
from closefit.body import Body
from closefit.errors import FileMissingError, InputError
from closefit.motions.bvh import read_bvh
from closefit.motions.editing import join_people
from closefit.motions.retargeting import retarget
from closefit.records import PairMotion

CMU_PAIRS: Final = {"18": "19", "20": "21", "22": "23", "33": "34", "60": "61"}
"""Subjects of the CMU archive who were captured together: file 60_05 belongs with 61_05."""

CMU_NAME = re.compile(r"^(\d\d)_(\d\d)(.*)$")
OWN_NAME = re.compile(r"^(.*person_)0(.*)$")
"""closefit's own exports: person_0 belongs with person_1."""


def read_motion(
    path: Path, body: Body | None = None, unit_m: float | None = None
) -> list[PairMotion]:
    """Read the motions in a file or folder, carried over to `body`.

    In a folder, files of two people captured together are joined: subjects of the CMU archive
    (60_05 and 61_05) and closefit's own exports (person_0 and person_1).

    Args:
        path: See `docs/motions.md` for the formats.
        body: None: the free body.
        unit_m: Metres per unit, for files that do not say it.

    Returns:
        Motions of one person or two, at the file's frame rate.

    Raises:
        InputError: A file is missing, damaged, of no known kind, or holds no people.
    """
    if body is None:
        body = Body.load(weights.locate("closefit_body"))
    if path.is_dir():
        return _read_folder(path, body, unit_m)
    if not path.is_file():
        raise FileMissingError(f"there is no `{path}`", hint="check the path")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(sorted(READERS))
        raise InputError(
            f"`{path}` is no motion file that closefit knows", hint=f"it reads {known}"
        )
    return reader(path, body, unit_m)


def _read_folder(folder: Path, body: Body, unit_m: float | None) -> list[PairMotion]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in READERS)
    by_path = {path: read_motion(path, body, unit_m) for path in files}
    motions = []
    for path in files:
        if path not in by_path:
            continue
        partner = path.with_name(_partner_name(path.stem) + path.suffix)
        if partner in by_path and partner != path:
            first, second = by_path.pop(path)[0], by_path.pop(partner)[0]
            motions.append(join_people(first, second))
    singles = [motion for found in by_path.values() for motion in found]
    if not motions and not singles:
        raise InputError(
            f"`{folder}` holds no motion file", hint=f"it reads {', '.join(sorted(READERS))}"
        )
    return motions + singles


def _partner_name(stem: str) -> str:
    """Name of the file with the second person, where `stem` names one with the first."""
    if (match := CMU_NAME.match(stem)) and match[1] in CMU_PAIRS:
        return f"{CMU_PAIRS[match[1]]}_{match[2]}{match[3]}"
    if match := OWN_NAME.match(stem):
        return f"{match[1]}1{match[2]}"
    return stem


def _bvh(path: Path, body: Body, unit_m: float | None) -> list[PairMotion]:
    return [retarget(read_bvh(path), body, unit_m)]


READERS: Final[Mapping[str, Callable[[Path, Body, float | None], list[PairMotion]]]] = {
    ".bvh": _bvh,
}
"""By file extension."""
