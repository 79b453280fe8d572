"""The folder of a batch: names of its files and of its clips, what is recorded, who may write.

DIR/batch.json      which clips there are, and the folder of each
DIR/index.jsonl     a line for each finished clip (`record.py`)
DIR/shots.jsonl     pieces of long videos (`shots.py`)
DIR/reviews.sqlite  what reviewers decided (`datasets/reviews.py`)
DIR/worker.log      what the process that runs the clips wrote
DIR/NAME/           results of a clip, as of `closefit run`
"""

import hashlib
import logging
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from filelock import FileLock, Timeout

from closefit import __version__
from closefit.batch.clips import RESULTS_MARK, Clip
from closefit.batch.json_lines import JsonLines
from closefit.batch.record import ClipRecord
from closefit.boundary.files import read_json, typed
from closefit.boundary.refusals import refusals_as, word
from closefit.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    ArtifactVersionError,
    OutputFolderError,
)
from closefit.storage.artifacts import atomic_write, remove_partial_files
from closefit.storage.workspace import create_writable, write_json

logger = logging.getLogger(__name__)

FORMAT, VERSION = "closefit-batch", 1

PLAN, LOCK, IDENTITY = "batch.json", ".lock", ".identity"
INDEX, SHOTS, LOG = "index.jsonl", "shots.jsonl", "worker.log"
REVIEWS = "reviews.sqlite"
_OF_REVIEWS = (REVIEWS, f"{REVIEWS}-journal", f"{REVIEWS}.damaged")
RESERVED = frozenset((PLAN, LOCK, IDENTITY, INDEX, SHOTS, LOG, RESULTS_MARK, *_OF_REVIEWS))


class Plan(TypedDict):
    """Content of `batch.json`.

    Attributes:
        format: Kind of file.
        version: Version of its layout.
        closefit: Version of closefit that wrote it last.
        names: Folder of each clip ever named, by the clip's key.
        clips: Names of the clips of the last command.
    """

    format: str
    version: int
    closefit: str
    names: dict[str, str]
    clips: list[str]


class BatchFolder:
    """Paths and files; making this object touches nothing."""

    def __init__(self, root: Path) -> None:
        """`root` is what `--out` names."""
        self.root = Path(os.path.abspath(root))
        self.shown = root
        self.index = JsonLines(self.root / INDEX)
        self.shots = JsonLines(self.root / SHOTS)
        self.log = self.root / LOG
        self._plan = self.root / PLAN

    def create(self) -> None:
        """Make the folder.

        Raises:
            OutputFolderError: It cannot be written to, or holds the results of one clip.
        """
        if (self.root / RESULTS_MARK).exists():
            raise OutputFolderError(
                f"`{self.shown}` holds the results of one clip, not of a batch",
                hint="choose another folder with --out",
            )
        create_writable(self.root)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; the system drops the lock when it ends.

        Raises:
            OutputFolderError: Another batch holds it.
        """
        lock = FileLock(self.root / LOCK, blocking=False, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise OutputFolderError(
                f"`{self.shown}` is in use by another `closefit batch`",
                hint=f"look at it with `closefit batch status {word(self.shown)}`, or choose "
                "another folder with --out",
            ) from error
        except OSError:
            logger.warning("%s: this file system has no locks", self.root)
        try:
            remove_partial_files(self.root)
            yield
        finally:
            lock.release()

    @property
    def is_in_use(self) -> bool:
        """Whether a batch is running in it."""
        try:
            with FileLock(self.root / LOCK, blocking=False, fallback_to_soft=False):
                return False
        except Timeout:
            return True
        except OSError:  # it may only be read
            return False

    def plan(self) -> Plan | None:
        """Return what the last command in this folder planned; None in a new folder.

        Raises:
            ArtifactDamagedError: The file is damaged.
            ArtifactVersionError: A later closefit wrote it.
        """
        if not os.path.lexists(self._plan):
            return None
        hint = (
            f"`mv {self._plan} {self._plan}.damaged`, then run the same command again: finished "
            "clips stay"
        )
        with refusals_as(ArtifactDamagedError, self._plan, hint):
            content: dict[str, Any] = typed(read_json(self._plan, names_files=True), dict[str, Any])
            if content.get("format") == FORMAT and content.get("version") != VERSION:
                raise ArtifactVersionError(
                    f"`{self._plan}` has version `{content.get('version')}`, and this closefit "
                    f"({__version__}) writes {VERSION}",
                    hint="use the version of closefit that wrote it, or another folder",
                )
            plan: Plan = typed(content, Plan)
        return plan

    def require_plan(self) -> Plan:
        """As `plan`, of a folder that a batch was started in.

        Raises:
            ArtifactMissingError: None was.
        """
        plan = self.plan()
        if plan is None:
            raise ArtifactMissingError(
                f"`{self.shown}` is not the folder of a batch",
                hint="start one with `closefit batch CLIPS --out DIR`",
            )
        return plan

    def write_plan(self, names: dict[str, str], clips: list[str]) -> None:
        """Record which clips there are."""
        plan = Plan(format=FORMAT, version=VERSION, closefit=__version__, names=names, clips=clips)
        write_json(self._plan, plan)

    def identity(self) -> str | None:
        """What shows each machine of a cluster that it sees this very folder."""
        try:
            return (self.root / IDENTITY).read_text(encoding="ascii", errors="replace")
        except OSError:
            return None

    def ensured_identity(self) -> str:
        """As `identity`; a new folder gets one."""
        if not self.identity():
            with atomic_write(self.root / IDENTITY) as file:
                file.write(uuid.uuid4().hex.encode())
        return self.identity() or ""

    def results(self, name: str) -> Path:
        """Results folder of a clip."""
        return self.root / name

    def records(self) -> tuple[dict[str, ClipRecord], list[int]]:
        """Return the recorded clips by name, and the numbers of damaged lines of the index."""
        records, damaged = self.index.read(ClipRecord)
        return {record["name"]: record for record in records}, damaged


def assign_names(clips: Iterable[Clip], known: dict[str, str]) -> dict[str, str]:
    """Return the folder of each clip by its key: once given, it stays.

    A clip is called after its file. Of several files of one name, the first is; the others get the
    hash of their path after it.

    Args:
        clips: All clips.
        known: Folders that earlier commands gave.

    Raises:
        OutputFolderError: A name of a list is taken by another clip, or by a file of the batch.
    """
    names = dict(known)
    owners = {name: key for key, name in known.items()}
    for clip in clips:
        if clip.key in names:
            continue
        name = clip.name or _stem(clip)
        if owners.get(name, clip.key) != clip.key or name in RESERVED:
            if clip.name is not None:
                raise OutputFolderError(
                    f"the name `{name}`, given by {clip.origin}, is taken",
                    hint="give this clip another `name`",
                )
            digest = hashlib.sha256(clip.key.encode("utf-8", "surrogateescape")).hexdigest()
            name = f"{name}-{digest[:10]}"
        names[clip.key], owners[name] = name, clip.key
    return names


def _stem(clip: Clip) -> str:
    """Name of the file without its ending, and the part of it that counts."""
    start, end = (clip.values.get(f"track.{side}_s") for side in ("start", "end"))
    part = "" if start is None and end is None else f"_{_seconds(start)}-{_seconds(end)}"
    # File systems allow 255 bytes; the results add temporary names.
    stem = os.fsencode(Path(clip.video).stem)[:120]
    return (os.fsdecode(stem).lstrip(".") or "clip") + part


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
