"""Finding motion in files and folders, recognised by its layout, and reading it."""

import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from closefit.body.model import Body
from closefit.boundary.files import UNREADABLE, max_bytes, refuse_size
from closefit.boundary.refusals import RefusedError, refuse
from closefit.errors import DiskFullError, FileMissingError, InputError
from closefit.learning.motions import smpl_files
from closefit.learning.motions.acclaim import read_amc
from closefit.learning.motions.bvh import read_bvh
from closefit.learning.motions.editing import join_people, resample
from closefit.learning.motions.floor import set_on_floor
from closefit.learning.motions.retargeting import retarget
from closefit.learning.motions.smpl_family import SmplMotion, carry_over
from closefit.models import weights
from closefit.records import PairMotion

CMU_PAIRS: Final = {"18": "19", "20": "21", "22": "23", "33": "34", "60": "61"}
"""Subjects of the CMU archive who were captured together: file 60_05 belongs with 61_05."""

CMU_NAME = re.compile(r"^(\d\d)_(\d\d)(.*)$")
OWN_NAME = re.compile(r"^(.*person_)0(.*)$")
"""closefit's own exports: person_0 belongs with person_1."""

ONE_PERSON: Final = (".amc", ".bvh", ".npz")
"""Files of one person; two that belong together are recognised by their names."""

READ: Final = (*ONE_PERSON, ".pkl", ".json", ".npy")
"""Suffixes of all motion files."""

UNPACKED: Final = (*READ, ".asf")

MOST_ENTRIES: Final = 200_000

SPARE_BYTES = 1 << 30

ARCHIVES: Final = (".tar", ".tar.gz", ".tar.xz", ".tar.bz2", ".tgz", ".zip")

FORMATS: Final = (
    "BVH, Acclaim .amc, AMASS .npz, InterHuman .pkl or motions_processed, Inter-X, Hi4D and CHI3D "
    "(see docs/motions.md)"
)


@dataclass(frozen=True)
class MotionSource:
    """One motion on disk that is read on demand: a data set need not fit in memory."""

    name: str
    read: Callable[[], PairMotion]


def read_motion(
    path: Path, body: Body | None = None, unit_m: float | None = None
) -> list[PairMotion]:
    """Read the motions in a file, folder or archive, carried over to `body`.

    Files of two people captured together are joined: subjects of the CMU archive (60_05 and 61_05)
    and closefit's own exports (person_0 and person_1).

    Args:
        path: See `docs/motions.md` for the formats.
        body: None: the free body.
        unit_m: Metres per unit, for BVH files whose unit is none of the usual ones.

    Returns:
        Motions of one person or two, at the file's frame rate.

    Raises:
        InputError: A file is missing, damaged, of no known kind, or holds no people.
    """
    with opened(path) as place:
        return [source.read() for source in find_motions(place, body, unit_m)]


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Yield `path`, or a temporary folder with the content of the archive at `path`.

    Raises:
        InputError: The archive is damaged.
    """
    if not path.is_file() or not path.name.lower().endswith(ARCHIVES):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix=f"{path.name}-") as folder:
        try:
            if path.suffix.lower() == ".zip":
                with zipfile.ZipFile(path) as archive:
                    entries = [e for e in archive.infolist() if _is_unpacked(e.filename)]
                    room = _Room(path, folder)
                    for entry in entries:
                        room.take(entry.file_size)
                    archive.extractall(folder, entries)
            else:
                room = _Room(path, folder)
                with tarfile.open(path) as archived:
                    for member in archived:
                        if _is_unpacked(member.name) and member.isfile():
                            room.take(member.size)
                            archived.extract(member, folder, filter="data")
        except RefusedError as refused:
            raise InputError(
                f"`{path}` cannot be used: {refused.problem}", refused.hint or "unpack it yourself"
            ) from refused
        except (tarfile.TarError, *UNREADABLE) as error:
            raise InputError(
                f"cannot unpack `{path}`: {error}", hint="unpack it yourself and name the folder"
            ) from error
        yield Path(folder)


def _is_unpacked(name: str) -> bool:
    """Whether a file of an archive is motion, or belongs to motion."""
    return name.lower().endswith(UNPACKED)


@dataclass
class _Room:
    """Refuses an archive that would fill the disk: a few megabytes can hold terabytes of zeros."""

    archive: Path
    folder: str
    files: int = 0
    size: int = 0

    def take(self, size: int) -> None:
        """Count one more file of the archive.

        Raises:
            RefusedError: It is larger than what is read, or there are too many.
            DiskFullError: All so far take more than is free.
        """
        self.files, self.size = self.files + 1, self.size + size
        if size > max_bytes():
            refuse_size("a file in it", size)
        if self.files > MOST_ENTRIES:
            refuse(f"it holds more than {MOST_ENTRIES} files", "unpack it; name a folder in it")
        if self.size > shutil.disk_usage(self.folder).free - SPARE_BYTES:
            raise DiskFullError(
                f"`{self.archive}` holds {self.size / 1e9:.1f} GB or more, for which there is no "
                "room",
                hint="let TMPDIR name a folder on another disk, or unpack a part of it yourself",
            )


def find_motions(
    path: Path, body: Body | None = None, unit_m: float | None = None
) -> list[MotionSource]:
    """Find the motions in a file or folder without reading them.

    Args:
        path: A file or folder, not an archive.
        body: As `read_motion`.
        unit_m: As `read_motion`.

    Raises:
        InputError: There is no such file, or no motion in it.
    """
    if not path.exists():
        raise FileMissingError(f"there is no `{path}`", hint="check the path")
    loader = _Loader(body or Body.load(weights.locate("closefit_body")), unit_m)
    try:
        sources = list(_found(path, loader, _Walk(path)))
    except RecursionError as error:
        raise InputError(
            f"the folders in `{path}` are nested too deeply", hint="name the folder of the motion"
        ) from error
    if not sources:
        raise InputError(f"there is no motion in `{path}`", hint=_what_there_could_be(path))
    return sources


def _what_there_could_be(path: Path) -> str:
    if not path.is_dir():
        return f"closefit reads {FORMATS}"
    archives = sorted(entry for entry in path.iterdir() if entry.name.lower().endswith(ARCHIVES))
    if archives:
        return f"archives in a folder are not opened: name them, for example `{archives[0]}`"
    return f"closefit reads {FORMATS}"


@dataclass(frozen=True, eq=False)
class _Loader:
    """Reads files for one body."""

    body: Body
    unit_m: float | None

    def person(self, path: Path) -> PairMotion:
        """Read a file of one person, not yet set on the floor."""
        suffix = path.suffix.lower()
        if suffix == ".npz":
            return carry_over(smpl_files.read_amass(path), self.body)
        source = read_bvh(path) if suffix == ".bvh" else read_amc(path)
        return retarget(source, self.body, self.unit_m)

    def people(self, *paths: Path) -> MotionSource:
        """One person, or two of one name at one rate."""

        def read() -> PairMotion:
            first, *others = map(self.person, paths)
            for other in others:
                first = join_people(first, resample(other, float(first.fps)))
            return _sound(set_on_floor(first, self.body), paths[0])

        return MotionSource("+".join(path.stem for path in paths), read)

    def smpl(self, name: str, read: Callable[[], SmplMotion]) -> MotionSource:
        """Two people of the SMPL family."""

        def read_and_place() -> PairMotion:
            found = read()
            return _sound(set_on_floor(carry_over(found, self.body), self.body), found.origin)

        return MotionSource(name, read_and_place)


def _sound(motion: PairMotion, origin: Path | str) -> PairMotion:
    """Return the motion if it can be that of people.

    Raises:
        InputError: It cannot.
    """
    try:
        motion.check()
    except ValueError as error:
        raise InputError(
            f"the motion in `{origin}` cannot be right: {error}",
            hint="leave it out with --exclude, or cut the frames that are wrong",
        ) from error
    return motion


@dataclass
class _Walk:
    """A walk through a folder, which ends: it follows no link back, and has a limit."""

    top: Path
    entries: int = 0

    def inside(self, folder: Path) -> list[Path]:
        """What lies in a folder, in order.

        Raises:
            InputError: There is too much to be the motion of a data set.
        """
        found = sorted(folder.iterdir())
        self.entries += len(found)
        if self.entries > MOST_ENTRIES:
            raise InputError(
                f"`{self.top}` holds more than {MOST_ENTRIES} files and folders",
                hint="name the folder in it that holds the motion",
            )
        return found


def _leads_back(path: Path) -> bool:
    """Whether a link leads to a folder that it lies in."""
    return path.is_symlink() and path.resolve() in path.absolute().parents


def _found(path: Path, loader: _Loader, walk: _Walk) -> Iterator[MotionSource]:
    """Yield the motions of a file or folder; a layout of folders is taken as a whole."""
    if path.is_file():
        source = _file(path, loader)
        if source is not None:
            yield source
        return
    if all((path / name).is_file() for name in smpl_files.INTERX_PEOPLE):
        yield loader.smpl(path.name, lambda: smpl_files.read_interx(path))
        return
    if smpl_files.hi4d_frames(path):
        name = f"{path.parent.name}/{path.name}"
        yield loader.smpl(name, lambda: smpl_files.read_hi4d(path))
        return
    partners: set[Path] = set()
    for entry in walk.inside(path):
        suffix = entry.suffix.lower()
        if suffix not in READ:
            if entry.is_dir() and not _leads_back(entry):
                yield from _found(entry, loader, walk)
            continue
        partner = _partner(entry)
        if entry in partners or _is_processed_elsewhere(entry):
            continue
        if partner is not None and partner.is_file() and suffix in ONE_PERSON:
            partners.add(partner)
            yield loader.people(entry, partner)
        elif (entry.is_dir() and not _leads_back(entry)) or _is_motion(entry):
            yield from _found(entry, loader, walk)


def _file(path: Path, loader: _Loader) -> MotionSource | None:
    """The motion of one file; None for the second of two files of one motion."""
    suffix = path.suffix.lower()
    if suffix in ONE_PERSON:
        return loader.people(path)
    if suffix == ".pkl":
        return loader.smpl(path.stem, lambda: smpl_files.read_interhuman_raw(path))
    if suffix == ".json":
        name = f"{path.parent.parent.name}/{path.stem}"
        return loader.smpl(name, lambda: smpl_files.read_chi3d(path))
    if suffix == ".npy":
        return _processed(path, loader)
    raise InputError(f"`{path}` is no motion file", hint=f"closefit reads {FORMATS}")


def _processed(path: Path, loader: _Loader) -> MotionSource | None:
    first, second = smpl_files.INTERHUMAN_PEOPLE
    if path.parent.name == second:
        return None
    partner = path.parent.with_name(second) / path.name
    if path.parent.name != first or not partner.is_file():
        raise InputError(
            f"`{path}` has no second person: there is no `{partner}`",
            hint="InterHuman's motions_processed has the folders person1 and person2",
        )
    return loader.smpl(path.stem, lambda: smpl_files.read_interhuman_processed((path, partner)))


def _is_motion(path: Path) -> bool:
    """Whether a file of a folder is taken as motion; others (texts, splits) are ignored."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        return path.parent.name == smpl_files.CHI3D_FOLDER
    if suffix == ".npy":
        return path.parent.name in smpl_files.INTERHUMAN_PEOPLE
    if suffix == ".npz":
        return smpl_files.is_amass(path)
    return suffix in (*ONE_PERSON, ".pkl")


def _is_processed_elsewhere(path: Path) -> bool:
    """Whether InterHuman's processed form of a raw motion lies beside its folder."""
    processed = path.parent.parent / "motions_processed" / smpl_files.INTERHUMAN_PEOPLE[0]
    return path.suffix.lower() == ".pkl" and (processed / f"{path.stem}.npy").is_file()


def _partner(path: Path) -> Path | None:
    """File of the second person, where `path` has the name of the first."""
    if (match := CMU_NAME.match(path.stem)) and match[1] in CMU_PAIRS:
        return path.with_name(f"{CMU_PAIRS[match[1]]}_{match[2]}{match[3]}{path.suffix}")
    if match := OWN_NAME.match(path.stem):
        return path.with_name(f"{match[1]}1{match[2]}{path.suffix}")
    return None
