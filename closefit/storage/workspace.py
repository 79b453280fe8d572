"""The results folder: names of its files, who may write to it, its log and its `run.json`."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from closefit.boundary.files import read_json, to_json, typed
from closefit.boundary.refusals import Printable, refusals_as
from closefit.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    DiskFullError,
    OutputFolderError,
    disk_full_guard,
)
from closefit.storage.artifacts import (
    TEMPORARY_PREFIX,
    atomic_write,
    is_artifact,
    remove_partial_files,
)
from closefit.storage.hashing import sha256_of
from closefit.storage.run_record import RunRecord

NUM_PEOPLE = 2

FOREIGN_LIMIT = 20
"""A folder with more files of somebody else is not meant for results."""

logger = logging.getLogger(__name__)


MAX_RUN_BYTES = 1 << 26

CACHES = ("detections", "track", "init", "optimize")
"""Names of the artifacts."""


class _Inside:
    """A file or folder of a fixed name in the results folder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, workspace: "Workspace", _: type["Workspace"] | None = None) -> Path:
        return workspace.root / self._name


@dataclass(frozen=True)
class Workspace:
    """Paths inside one results folder; making this object touches nothing on disk."""

    root: Path

    artifacts = _Inside("artifacts")
    """Folder of the stages' caches."""
    optimize_checkpoint = _Inside("artifacts/optimize.checkpoint")
    """State of an unfinished `optimize`."""
    export_manifest = _Inside("artifacts/export.json")
    """The files of the last `export`, and their origin."""
    run_json = _Inside("run.json")
    """Settings, facts and figures of the run."""
    log = _Inside("log.txt")
    """Log of all commands on this folder."""
    motion = _Inside("motion.npz")
    """Both people's motion."""
    glb = _Inside("scene.glb")
    """Both people skinned and animated."""
    usd = _Inside("scene.usdc")
    """The same as USD, where it was asked for."""
    contacts = _Inside("contacts.json")
    """Who touches whom."""
    contact_table = _Inside("contacts.csv")
    """The same as a table."""
    timeline = _Inside("timeline.png")
    """Contacts and confidence over time."""
    report = _Inside("report.html")
    """Everything to look at, in one page."""
    overlay = _Inside("overlay.mp4")
    """Bodies over the input, and beside it."""
    preview_gif = _Inside("preview.gif")
    """Three seconds of it, small enough for a chat."""
    film = _Inside("artifacts/film.mp4")
    """What of the overlay shows in the page: small, and quick to scrub."""
    preview = _Inside("preview.mp4")
    """The result of `track`, drawn over the input."""
    corrections = _Inside("corrections.json")
    """Corrections of who is who that the viewer writes."""
    meshes = _Inside("meshes")
    """Both people's posed meshes, a file per person and frame."""

    def artifact(self, kind: str) -> Path:
        """Cache of one stage."""
        return self.artifacts / f"{kind}.npz"

    def amass(self, person: int) -> Path:
        """One person's motion with AMASS keys."""
        return self.root / f"person_{person}_amass.npz"

    def bvh(self, person: int) -> Path:
        """One person's skeleton animation."""
        return self.root / f"person_{person}.bvh"

    def gaussians(self, person: int) -> Path:
        """One person's canonical Gaussians."""
        return self.root / "gaussians" / f"person_{person}.ply"

    @property
    def results(self) -> tuple[Path, ...]:
        """Every file that `export` writes, apart from those written on request."""
        per_person = [
            path(person)
            for path in (self.amass, self.bvh, self.gaussians)
            for person in range(NUM_PEOPLE)
        ]
        contacts = (self.contacts, self.contact_table, self.timeline, self.report)
        pictures = (self.overlay, self.preview_gif)
        return (self.motion, self.glb, *contacts, *pictures, *per_person)

    def check_inputs(self, inputs: Iterable[Path]) -> None:
        """Refuse inputs that a command would overwrite, whatever their names lead to.

        Raises:
            OutputFolderError: One of them is a file that closefit writes to this folder.
        """
        written = (*self.results, self.usd, self.preview, self.run_json, self.log)
        for path in inputs:
            place = _real(path)
            inside = any(place.is_relative_to(_real(f)) for f in (self.artifacts, self.meshes))
            if inside or any(_same_file(path, file) for file in written):
                raise OutputFolderError(
                    f"`{path}` is an input, but closefit would overwrite it: results go to "
                    f"`{self.root}`",
                    hint="choose another folder with --out, or give a copy of the file",
                )

    def check_place(self) -> None:
        """Refuse a folder that holds other things than results.

        Raises:
            OutputFolderError: It is the root of the disk, a home folder, holds many other files, or
                holds a file that closefit did not write but would overwrite.
        """
        root, hint = _real(self.root), "choose a folder of its own, for example --out results"
        if root in (Path(root.anchor), _real(Path(os.path.expanduser("~")))):
            raise OutputFolderError(f"`{self.root}` is not a folder for results", hint=hint)
        self._check_links()
        if not root.is_dir() or self._is_own():
            return
        caches = [self.artifact(kind) for kind in CACHES]
        written = (*self.results, self.usd, self.preview, self.meshes, *caches, self.run_json)
        taken = [path for path in written if os.path.lexists(path)]
        if taken:
            name = taken[0].relative_to(self.root)
            raise OutputFolderError(
                f"`{self.root}` holds `{name}`, which closefit did not write but would overwrite",
                hint=hint,
            )
        own = {self.artifacts.name, self.log.name}
        foreign = sum(path.name not in own for path in root.iterdir())
        if foreign > FOREIGN_LIMIT:
            raise OutputFolderError(f"`{self.root}` holds {foreign} other files", hint=hint)

    def _is_own(self) -> bool:
        """Whether closefit has written `run.json` (a damaged one counts, too) or an artifact."""
        try:
            if {"closefit", "video"} & self.read_run().keys():
                return True
        except ArtifactDamagedError:
            return True
        return any(is_artifact(self.artifact(kind)) for kind in CACHES)

    def _check_links(self) -> None:
        """Refuse links where closefit writes in place: they could lead to any file of the user.

        Raises:
            OutputFolderError: There is one.
        """
        folders = (self.artifacts, self.meshes, self.gaussians(0).parent)
        for path in (*folders, *self.meshes.glob("person_*"), self.log, self.artifacts / ".lock"):
            if path.is_symlink():
                raise OutputFolderError(
                    f"`{path}` is a link, through which closefit does not write",
                    hint=f"remove the link, or copy what you need of `{self.root}` elsewhere",
                )

    def create(self) -> None:
        """Make the folders and check that they can be written to.

        Raises:
            OutputFolderError: They cannot be made or written to, or hold other things.
            DiskFullError: Not even an empty file fits on the disk.
        """
        try:
            self.check_place()
        except OSError as error:
            raise OutputFolderError(
                f"cannot look into `{self.root}`: {error.strerror}",
                hint="choose a folder that you may read and write with --out",
            ) from error
        create_writable(self.root)
        create_writable(self.artifacts)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; left-over partial files of killed ones are removed.

        Raises:
            OutputFolderError: Another process holds it.
        """
        self._check_links()
        path = self.artifacts / ".lock"
        # The system drops this lock when its process ends, however it ends.
        lock = FileLock(path, blocking=False, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout as error:
            owner = path.read_text(encoding="ascii")
            raise OutputFolderError(
                f"`{self.root}` is in use by another closefit (process `{owner}`)",
                hint="wait until it is done, or choose another folder with --out",
            ) from error
        except OSError:
            logger.warning("%s: this file system has no locks", self.root)
        try:
            path.write_text(str(os.getpid()), encoding="ascii")
            gaussians = self.gaussians(0).parent
            for folder in (self.root, self.artifacts, gaussians, *self.meshes.glob("person_*")):
                remove_partial_files(folder)
            yield
        finally:
            lock.release()

    @property
    def is_in_use(self) -> bool:
        """Whether another process holds the folder."""
        path = self.artifacts / ".lock"
        if not path.is_file() or path.is_symlink():
            return False
        try:
            with FileLock(path, blocking=False, fallback_to_soft=False):
                return False
        except Timeout:
            return True
        except OSError:  # the file system has no locks
            return False

    def read_run(self) -> dict[str, Any]:
        """Return `run.json`; empty where there is none.

        Raises:
            ArtifactDamagedError: It cannot be read, or is not as closefit writes it.
        """
        if not os.path.lexists(self.run_json):
            return {}
        hint = f"`mv {self.run_json} {self.run_json}.damaged`, then run again: finished stages stay"
        with refusals_as(ArtifactDamagedError, self.run_json, hint):
            run: dict[str, Any] = read_json(self.run_json, MAX_RUN_BYTES, names_files=True)
            typed(run, RunRecord)
        return run

    def update_run(self, changes: Mapping[str, Any]) -> None:
        """Replace top-level entries of `run.json`, all or nothing."""
        write_json(self.run_json, {**self.read_run(), **changes})

    def require_started(self) -> dict[str, Any]:
        """Return `run.json` of a folder that a run was started in.

        Raises:
            ArtifactMissingError: No run was started here.
        """
        run = self.read_run()
        if "video" not in run:
            raise ArtifactMissingError(
                f"`{self.root}` is not a results folder of closefit",
                hint="start one with `closefit run VIDEO --out DIR`",
            )
        return run

    def settings_for(self, video: Path) -> dict[str, Any] | None:
        """Return the settings of the last run, by name; None unless it was on this video."""
        run = self.read_run()
        settings: dict[str, Any] = run.get("settings", {})
        with suppress(OSError):  # `probe` reports a video that cannot be read
            if settings and sha256_of(video) == run.get("video", {}).get("content_sha256"):
                return settings
        return None

    def check_unmoved(self) -> None:
        """Notice that the folder is not any more the one that `locked` holds.

        Raises:
            OutputFolderError: It was moved, removed or replaced.
        """
        try:
            owner = (self.artifacts / ".lock").read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            owner = ""
        if owner != str(os.getpid()):
            raise OutputFolderError(
                f"`{self.root}` was moved or removed while closefit was writing to it",
                hint="run the same command again, with --out and the folder's new place",
            )

    def check_video(self, content_sha256: str) -> None:
        """Refuse a folder that holds the results of another video.

        Raises:
            OutputFolderError: It does.
        """
        video = self.read_run().get("video", {})
        owner = video.get("content_sha256", content_sha256)
        if owner != content_sha256:
            raise OutputFolderError(
                f"`{self.root}` holds the results of another video, `{video.get('path')}`",
                hint="choose another folder with --out, or replace these results with --force",
            )

    @contextmanager
    def logging_to_file(self) -> Iterator[None]:
        """Append everything that closefit logs to the folder's log file."""
        with disk_full_guard(self.log):
            handler = _LogFile(self.log, encoding="utf-8")
        handler.setFormatter(Printable("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        handler.setLevel(logging.INFO)
        package_logger = logging.getLogger("closefit")
        level = package_logger.level
        package_logger.addHandler(handler)
        package_logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            package_logger.setLevel(level)
            package_logger.removeHandler(handler)
            handler.close()


def create_writable(folder: Path) -> None:
    """Make a folder and check that it can be written to.

    Raises:
        OutputFolderError: It cannot be made or written to.
        DiskFullError: Not even an empty file fits on the disk.
    """
    try:
        with disk_full_guard(folder):
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f"{TEMPORARY_PREFIX}{os.getpid()}-probe"
            probe.unlink(missing_ok=True)
            try:
                with open(probe, "xb") as file:  # never through a link that somebody has put there
                    file.write(b"closefit")
            finally:
                probe.unlink(missing_ok=True)
    except DiskFullError:
        raise
    except OSError as error:
        raise OutputFolderError(
            f"cannot write to `{folder}`: {error.strerror}",
            hint="choose a folder that you may write to with --out",
        ) from error


def _real(path: Path) -> Path:
    """The path without links; unlike `Path.resolve`, also of links that lead in a circle."""
    return Path(os.path.realpath(path))


def _same_file(path: Path, other: Path) -> bool:
    """Whether both names lead to one file, through links as well."""
    try:
        return _real(path) == _real(other) or path.samefile(other)
    except OSError:
        return False


class _LogFile(logging.FileHandler):
    """A log that ends silently when the disk is full: the run itself reports that."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop `record`."""


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON, all or nothing."""
    with atomic_write(path) as file:
        file.write((to_json(content, indent=2) + "\n").encode())
