"""Import of the official SMPL body: checks a file of the user's and stores it as `.npz`."""

import os
import tempfile
import textwrap
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from closefit.body.files import NUM_BETAS, Array
from closefit.body.skeleton import NUM_JOINTS, PARENTS
from closefit.body.unwrap import unwrap
from closefit.errors import FileMissingError, OutputError, WeightsDamagedError
from closefit.imports.safe_pickle import PICKLE_ERRORS, dense, read_pickled_dict

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


def import_smpl(file: Path, destination: Path) -> None:
    """Store an official SMPL model where closefit (`Body.load`) and `smplx` can read it.

    Nothing of the file is executed and `chumpy` is not needed. `destination` appears complete or
    not at all. Texture coordinates, which SMPL's file lacks, are added (`unwrap`).

    Args:
        file: The official `.pkl` of SMPL (any gender, version 1.0 or 1.1), or an `.npz` of it.
        destination: The `.npz` to write. `smplx` reads it as
            `SMPL(model_path="", data_struct=Struct(**np.load(destination)))`.

    Raises:
        FileMissingError: There is no such file.
        WeightsDamagedError: The file is not SMPL, is damaged, or holds anything but arrays.
        OutputError: The destination cannot be written.
    """
    arrays = _checked(file, _read(file))
    uv, faces_uv = unwrap(arrays["v_template"], arrays["f"], arrays["weights"])
    arrays |= {"uv": uv.astype(np.float32), "faces_uv": faces_uv}
    try:
        _write_atomically(destination, arrays)
    except OSError as error:
        raise OutputError(
            f"cannot write `{destination}`: {error.strerror}",
            hint="free some space, or choose another folder with `--weights`",
        ) from error


def _read(file: Path) -> dict[str, Array]:
    """Return the arrays of `SHAPES` that the file has, whichever of the two formats it is in."""
    try:
        if zipfile.is_zipfile(file):
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                return {key: archive[key] for key in SHAPES if key in archive.files}
        content = read_pickled_dict(file)
        return {key: dense(content[key]) for key in SHAPES if key in content}
    except FileNotFoundError as error:
        raise FileMissingError(
            f"no file `{file}`", hint="check the path; SMPL comes from smpl.is.tue.mpg.de"
        ) from error
    except (*PICKLE_ERRORS, OSError, zipfile.BadZipFile, zlib.error) as error:
        reason = textwrap.shorten(str(error), width=120) or type(error).__name__
        raise _refused(file, reason) from error


def _checked(file: Path, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays in the stored types, or refuse the file."""
    checked = {}
    for key, shape in SHAPES.items():
        if key not in arrays:
            raise _refused(file, f"it has no `{key}`")
        value = arrays[key]
        if key == "shapedirs":
            # Version 1.1 has 300 directions; the first ten are those of version 1.0.
            value = value[..., :NUM_BETAS]
        if value.shape != shape:
            raise _refused(file, f"`{key}` has shape {value.shape} instead of {shape}")
        integer = key in ("kintree_table", "f")
        checked[key] = value.astype(np.int64 if integer else np.float32)
        if not np.isfinite(checked[key]).all():
            raise _refused(file, f"`{key}` has values that are not numbers")
    if tuple(checked["kintree_table"][0, 1:]) != PARENTS[1:]:
        raise _refused(file, "its skeleton is not SMPL's")
    if checked["f"].min() < 0 or checked["f"].max() >= NUM_VERTICES:
        raise _refused(file, "its faces name vertices that do not exist")
    return checked


def _refused(file: Path, reason: str) -> WeightsDamagedError:
    return WeightsDamagedError(
        f"`{file}` is not an official SMPL model: {reason}",
        hint="download SMPL for Python from smpl.is.tue.mpg.de (not SMPL-H or SMPL-X) and pass "
        "one of its .pkl files",
    )


def _write_atomically(destination: Path, arrays: Mapping[str, Array]) -> None:
    """Write an `.npz` beside its final name, then rename it."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=destination.parent, prefix=destination.name)
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        os.replace(temporary, destination)
    except BaseException:
        os.unlink(temporary)
        raise
