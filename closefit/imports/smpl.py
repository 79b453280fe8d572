"""Import of the official SMPL body: checks a file of the user's and stores it as `.npz`."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from closefit.body.files import NUM_BETAS, Array
from closefit.body.skeleton import NUM_JOINTS, PARENTS
from closefit.body.unwrap import unwrap
from closefit.boundary.arrays import Npz
from closefit.boundary.values import RefusedError, entry, numbers, refuse, whole_numbers
from closefit.errors import FileMissingError, OutputError, WeightsDamagedError
from closefit.imports.pickles import load_pickle
from closefit.storage.artifacts import atomic_write

NUM_VERTICES = 6890
NUM_FACES = 13776
SHAPES = {
    "v_template": (NUM_VERTICES, 3),
    "shapedirs": (NUM_VERTICES, 3, NUM_BETAS),
    "posedirs": (NUM_VERTICES, 3, 9 * (NUM_JOINTS - 1)),
    "J_regressor": (NUM_JOINTS, NUM_VERTICES),
    "weights": (NUM_VERTICES, NUM_JOINTS),
    "kintree_table": (2, NUM_JOINTS),
    "f": (NUM_FACES, 3),
}
"""The arrays of SMPL under their official names. `posedirs`, vertex first, as in the file."""


def import_smpl(file: Path, destination: Path, check: Callable[[Path], Any] = bool) -> Any:
    """Store an official SMPL model where closefit (`Body.load`) and `smplx` can read it.

    Nothing of the file is executed and `chumpy` is not needed. `destination` appears complete or
    not at all. Texture coordinates, which SMPL's file lacks, are added (`unwrap`).

    Args:
        file: The official `.pkl` of SMPL (any gender, version 1.0 or 1.1), or an `.npz` of it.
        destination: The `.npz` to write. `smplx` reads it as
            `SMPL(model_path="", data_struct=Struct(**np.load(destination)))`.
        check: Called with the written file before it takes its place.

    Returns:
        What `check` returns.

    Raises:
        FileMissingError: There is no such file.
        WeightsDamagedError: The file is not SMPL, is damaged, or holds anything but arrays.
        OutputError: The destination cannot be written, or is a file that closefit did not write.
    """
    try:
        arrays = _checked(_read(file))
    except RefusedError as refused:
        raise WeightsDamagedError(
            f"`{file}` is not an official SMPL model: {refused.problem}",
            hint=refused.hint
            or "download SMPL for Python from smpl.is.tue.mpg.de (not SMPL-H or SMPL-X) and pass "
            "one of its .pkl files",
        ) from refused
    _require_own(destination)
    uv, faces_uv = unwrap(arrays["v_template"], arrays["f"], arrays["weights"])
    arrays |= {"uv": uv.astype(np.float32), "faces_uv": faces_uv}
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(destination) as stream:
            np.savez(stream, allow_pickle=False, **arrays)
            stream.flush()
            return check(Path(stream.name))
    except OSError as error:
        raise OutputError(
            f"cannot write `{destination}`: {error.strerror}",
            hint="free some space, or choose another folder with `--weights`",
        ) from error


def _require_own(destination: Path) -> None:
    """Refuse to replace a file without the texture coordinates that only closefit adds.

    Raises:
        OutputError: It would.
    """
    if not destination.is_file():
        return
    try:
        is_own = "faces_uv" in Npz(destination)
    except RefusedError:
        is_own = False
    if not is_own:
        raise OutputError(
            f"`{destination}` is there already, and closefit did not write it",
            hint="move it away, or choose another folder with `--weights`",
        )


def _read(file: Path) -> Mapping[str, Any]:
    """Return the content of the file, whichever of the two formats it is in."""
    if not file.is_file():
        raise FileMissingError(
            f"no file `{file}`", hint="check the path; SMPL comes from smpl.is.tue.mpg.de"
        )
    content: Any = Npz(file) if zipfile.is_zipfile(file) else load_pickle(file)
    if not isinstance(content, Mapping):
        refuse(f"it holds a `{type(content).__name__}`")
    return content


def _checked(content: Mapping[str, Any]) -> dict[str, Array]:
    """Return the arrays in the stored types.

    Raises:
        RefusedError: The file is not SMPL.
    """
    checked = {}
    for key, shape in SHAPES.items():
        value = entry(content, key)
        if key == "shapedirs" and getattr(value, "ndim", 0) == 3:
            # Version 1.1 has 300 directions; the first ten are those of version 1.0.
            value = value[..., :NUM_BETAS]
        if key in ("kintree_table", "f"):
            checked[key] = whole_numbers(value, key, *shape)
        else:
            checked[key] = numbers(value, key, *shape).astype(np.float32)
    if tuple(checked["kintree_table"][0, 1:]) != PARENTS[1:]:
        refuse("its skeleton is not SMPL's")
    if checked["f"].max() >= NUM_VERTICES:
        refuse("its faces name vertices that do not exist")
    return checked
