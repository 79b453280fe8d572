"""Motion of two people on disk, in a form from which training reads single frames.

A folder of three files: `rotations_6d.f16` (frame, 2, 24, 6; the first two columns of each local
rotation), `pelvis_m.f32` (frame, 2, 3), both raw and little-endian, and `clips.npz` with `starts`
and `stops` (rows of each clip), `betas`, `names` and `__meta__` (format, version, rate, body).
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float16, Float32, Int64

from closefit.boundary.arrays import Npz
from closefit.boundary.files import parse_json
from closefit.boundary.values import RefusedError, named, number
from closefit.errors import (
    ArtifactDamagedError,
    ArtifactError,
    ArtifactMissingError,
    ArtifactVersionError,
    InputError,
    OutputFolderError,
)
from closefit.learning.folders import complete_folder, writing_to
from closefit.learning.motions.editing import resample
from closefit.records import PairMotion
from closefit.storage.artifacts import META_KEY

FORMAT = "closefit-motion-shards"
VERSION = 1

ROTATIONS = "rotations_6d.f16"
PELVIS = "pelvis_m.f32"
CLIPS = "clips.npz"

ROW_SHAPES: dict[str, tuple[str, tuple[int, ...]]] = {
    ROTATIONS: ("<f2", (2, 24, 6)),
    PELVIS: ("<f4", (2, 3)),
}
"""Number type and shape of one frame in each raw file."""

HINT = "make the shards again with `closefit prior prepare`"


@dataclass(frozen=True, eq=False)
class MotionShards:
    """Clips of two people, open for reading; frames stay on disk until they are indexed.

    Attributes:
        rotations_6d: Local rotations, first two columns (see `geometry.rotations`).
        pelvis_m: Position of joint 0 in the clip's world frame (y up, floor at y = 0).
        starts: First row of each clip.
        stops: Row after the last of each clip.
        betas: Shapes of both people of each clip.
        names: Name of each clip.
        fps: Frames per second of all clips.
        body_name: Body that the motion is for.
    """

    rotations_6d: Float16[np.ndarray, "frame 2 24 6"]
    pelvis_m: Float32[np.ndarray, "frame 2 3"]
    starts: Int64[np.ndarray, " clip"]
    stops: Int64[np.ndarray, " clip"]
    betas: Float32[np.ndarray, "clip 2 10"]
    names: tuple[str, ...]
    fps: float
    body_name: str

    @classmethod
    def open(cls, folder: Path) -> "MotionShards":
        """Open and check the shards in `folder`.

        Raises:
            ArtifactMissingError: There are none.
            ArtifactDamagedError: They are cut short or contradict each other.
            ArtifactVersionError: Their layout is of another version.
            InputError: They hold no clip.
        """
        meta, arrays = _read_clips(folder)
        if meta.get("format") != FORMAT:
            raise _damaged(folder, f"`{CLIPS}` is not of closefit's motion shards")
        if meta.get("version") != VERSION:
            raise ArtifactVersionError(
                f"`{folder}` has layout version `{meta.get('version')}`; this closefit reads "
                f"{VERSION}",
                hint=HINT,
            )
        try:
            clips = _checked_clips(arrays)
            fps, body_name = number(meta["fps"], "fps", 1.0, 1e5), str(meta["body_name"])
        except (KeyError, ValueError, TypeError, RefusedError) as error:
            raise _damaged(folder, f"`{CLIPS}` is incomplete: {error}") from error
        starts, stops, betas, names = clips
        if not len(starts):
            raise InputError(f"`{folder}` holds no motion", hint=HINT)
        rows = int(stops[-1])
        return cls(
            rotations_6d=_mapped(folder, ROTATIONS, rows),
            pelvis_m=_mapped(folder, PELVIS, rows),
            starts=starts,
            stops=stops,
            betas=betas,
            names=names,
            fps=fps,
            body_name=body_name,
        )

    @classmethod
    def open_many(cls, folders: Sequence[Path]) -> tuple["MotionShards", ...]:
        """Open several folders that are to be used together.

        Raises:
            InputError: There is no folder, or they differ in frame rate or body.
            ArtifactError: As `open`.
        """
        if not folders:
            raise InputError("no folder of motion shards was given", hint="name one or more")
        opened = tuple(cls.open(folder) for folder in folders)
        for folder, shards in zip(folders, opened, strict=True):
            expected = (opened[0].fps, opened[0].body_name)
            if (shards.fps, shards.body_name) != expected:
                raise InputError(
                    f"`{folder}` has {shards.fps:g} fps and body `{shards.body_name}`; "
                    f"`{folders[0]}` has {expected[0]:g} fps and body `{expected[1]}`",
                    hint="prepare all folders at one frame rate and for one body",
                )
        return opened

    @property
    def seconds(self) -> float:
        """Length of all clips together."""
        return float((self.stops - self.starts).sum()) / self.fps


def write_shards(folder: Path, motions: Iterable[PairMotion], *, fps: float = 30.0) -> None:
    """Write motions of two people, resampled to `fps`, all or nothing.

    Motions are taken one at a time, so an iterator of any length needs little memory. Shards that
    are in `folder` already are replaced.

    Args:
        folder: Made here.
        motions: Each of two people, all for one body.
        fps: Frame rate of the shards.

    Raises:
        InputError: There is no motion, a motion has one person or values that are not numbers, or
            bodies differ.
        OutputFolderError: `folder` holds something else, or cannot be made.
        DiskFullError: The disk is full.
    """
    _require_own(folder)
    with complete_folder(folder) as temporary:
        with open(temporary / ROTATIONS, "wb") as turns, open(temporary / PELVIS, "wb") as places:
            clips = [_append(turns, places, resample(_checked(motion), fps)) for motion in motions]
        if not clips:
            raise InputError("there is no motion to write", hint="name files that hold motion")
        bodies = sorted({clip["body_name"] for clip in clips})
        if len(bodies) > 1:
            raise InputError(
                f"motions are for different bodies: {', '.join(f'`{name}`' for name in bodies)}",
                hint="prepare them separately",
            )
        meta = {"format": FORMAT, "version": VERSION, "fps": fps, "body_name": bodies[0]}
        stops = np.cumsum([clip["frames"] for clip in clips], dtype=np.int64)
        np.savez(
            temporary / CLIPS,
            allow_pickle=False,
            starts=np.concatenate([[0], stops[:-1]]).astype(np.int64),
            stops=stops,
            betas=np.stack([clip["betas"] for clip in clips]).astype(np.float32),
            names=np.array([clip["name"] for clip in clips]),
            **{META_KEY: np.array(json.dumps(meta, sort_keys=True))},
        )


def _checked(motion: PairMotion) -> PairMotion:
    """Return `motion` if it can be trained on."""
    people = motion.rotations.shape[1]
    if people != 2:
        raise InputError(
            f"`{motion.name}` has {people} people, not two", hint="compose single people into pairs"
        )
    for values in (motion.rotations, motion.pelvis_m, motion.betas):
        if not np.isfinite(values).all():
            raise InputError(
                f"`{motion.name}` holds values that are not numbers", hint="leave that file out"
            )
    return motion


def _require_own(folder: Path) -> None:
    """Refuse to replace anything but motion shards, and shards with other files among them.

    Raises:
        OutputFolderError: It would.
    """
    hint = "choose another --out"
    with writing_to(folder):
        if os.path.lexists(folder) and not folder.is_dir():
            raise OutputFolderError(f"`{folder}` is not a folder", hint)
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not names:
        return
    if foreign := sorted(names - {ROTATIONS, PELVIS, CLIPS}):
        raise OutputFolderError(
            f"`{folder}` holds {named(foreign)}, which would be lost: it is to be replaced", hint
        )
    try:
        meta, _ = _read_clips(folder)
    except ArtifactError:
        meta = {}
    if meta.get("format") != FORMAT:
        raise OutputFolderError(f"`{folder}` is not empty and holds no motion shards", hint)


def _append(turns: Any, places: Any, motion: PairMotion) -> dict[str, Any]:
    """Write a motion's frames at the ends of both files and return what the index needs."""
    columns: Float[np.ndarray, "frame 2 24 2 3"] = motion.rotations[..., :2].swapaxes(-1, -2)
    turns.write(np.ascontiguousarray(columns, dtype="<f2").tobytes())
    places.write(np.ascontiguousarray(motion.pelvis_m, dtype="<f4").tobytes())
    return {
        "frames": len(motion.pelvis_m),
        "betas": motion.betas,
        "name": str(motion.name),
        "body_name": str(motion.body_name),
    }


def _read_clips(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if not os.path.lexists(folder / CLIPS):
        raise ArtifactMissingError(f"there are no motion shards in `{folder}`", hint=HINT)
    try:
        archive = Npz(folder / CLIPS, kinds="biufU")
        arrays = {name: archive[name] for name in archive}
        meta = parse_json(str(arrays.pop(META_KEY, "")))
    except RefusedError as refused:
        raise _damaged(folder, f"`{CLIPS}`: {refused.problem}") from refused
    if not isinstance(meta, dict):
        raise _damaged(folder, f"`{CLIPS}` has no description of its format")
    return meta, arrays


def _checked_clips(
    arrays: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return the index after checking it.

    Raises:
        KeyError, ValueError: It is incomplete or contradicts itself.
    """
    starts, stops, betas = (arrays[name] for name in ("starts", "stops", "betas"))
    clips = len(arrays["names"])
    fits = (
        starts.dtype == stops.dtype == np.int64
        and starts.shape == stops.shape == (clips,)
        and betas.shape == (clips, 2, 10)
        and np.isfinite(betas).all()
        and (starts < stops).all()
        and (starts[1:] == stops[:-1]).all()
        and (starts[:1] == 0).all()
    )
    if not fits:
        raise ValueError("its arrays do not fit each other")
    return starts, stops, betas.astype(np.float32), tuple(arrays["names"].tolist())


def _mapped(folder: Path, name: str, rows: int) -> np.ndarray:
    dtype, row = ROW_SHAPES[name]
    path = folder / name
    expected = rows * int(np.prod(row)) * np.dtype(dtype).itemsize
    size = path.stat().st_size if path.is_file() else -1
    if size != expected:
        state = "is missing" if size < 0 else f"has {size} bytes instead of {expected}"
        raise _damaged(folder, f"`{name}` {state}")
    return np.memmap(path, dtype=dtype, mode="r", shape=(rows, *row))


def _damaged(folder: Path, reason: str) -> ArtifactDamagedError:
    return ArtifactDamagedError(f"cannot use the motion shards in `{folder}`: {reason}", hint=HINT)
