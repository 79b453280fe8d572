"""Errors that a user can act on: each has a message, a hint and a documented exit code.

Exit codes: 0 done; 1 a bug in closefit (please report it) or a failed item of a batch; 2 wrong
usage; 129, 130, 143 stopped by SIGHUP, Ctrl-C, SIGTERM; 141 nobody reads the output; the others are
the `exit_code` of the families below. A message states what
happened, with the offending value in backticks; the hint states what to do or run next.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import ClassVar

FULL_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ClosefitError(Exception):
    """Base of all errors that end a command with a sentence instead of a traceback."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str) -> None:
        """Keep what happened (`message`) and what to do about it (`hint`)."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(ClosefitError):
    """The video or another input file cannot be used."""

    exit_code = 3


class FileMissingError(InputError):
    """A named input file does not exist."""


class NotAVideoError(InputError):
    """The file is not a video that ffmpeg can read."""


class NoVideoStreamError(InputError):
    """The file holds sound but no pictures."""


class NoFramesError(InputError):
    """The video, or the chosen part of it, holds no frame."""


class TruncatedVideoError(InputError):
    """The video is shorter than its header states."""


class ObservationsError(InputError):
    """A file of detections does not follow its documented format."""


class CorrectionsError(InputError):
    """A file of corrections does not follow its documented format or does not fit the clip."""


class ConfigError(ClosefitError):
    """A setting is unknown, of the wrong type or out of range."""

    exit_code = 4


class WeightsError(ClosefitError):
    """A model file cannot be used."""

    exit_code = 5


class WeightsMissingError(WeightsError):
    """A model file is not there."""


class WeightsDamagedError(WeightsError):
    """A model file is there but its content does not match the manifest."""


class ArtifactError(ClosefitError):
    """A file of a results folder cannot be used."""

    exit_code = 6


class ArtifactMissingError(ArtifactError):
    """A stage needs the result of another one that has not run."""


class ArtifactDamagedError(ArtifactError):
    """An artifact is cut short, or is not an artifact."""


class ArtifactVersionError(ArtifactError):
    """An artifact was written by a version of closefit that this one cannot read."""


class DeviceError(ClosefitError):
    """The requested device is not there, or runs out of memory."""

    exit_code = 7


class FitError(ClosefitError):
    """A fit has no trustworthy result."""

    exit_code = 8


class FitDivergedError(FitError):
    """The optimisation diverged; the best state so far was kept and exported."""


class ResultError(FitError):
    """A stage's result cannot be right, and was not written: not finite, or no two people."""


class PeopleError(ClosefitError):
    """The clip does not show two people together."""

    exit_code = 9


class NobodyError(PeopleError):
    """Nobody was found."""


class OnePersonError(PeopleError):
    """Only one person was found."""


class NeverTogetherError(PeopleError):
    """People were found, but no two of them are ever in one frame together."""


class UnknownPersonError(PeopleError):
    """`--people` names somebody who is not there."""


class OutputError(ClosefitError):
    """Results cannot be written."""

    exit_code = 10


class OutputFolderError(OutputError):
    """The results folder cannot be created or written to, or belongs to something else."""


class DiskFullError(OutputError):
    """The disk that holds the results folder is full."""


@contextmanager
def disk_full_guard(path: str | PathLike[str]) -> Iterator[None]:
    """Turn the system's "no space left" inside the block into a `DiskFullError` about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL_DISK_ERRNOS:
            raise
        raise DiskFullError(
            f"no space left to write `{error.filename or path}`",
            hint="free some space, or choose another folder with --out; finished stages are kept",
        ) from error


@contextmanager
def file_guard(folder: str | PathLike[str]) -> Iterator[None]:
    """Turn errors of the system about a file into errors for the user; `folder` is written to."""
    try:
        with disk_full_guard(folder):
            yield
    except OSError as error:
        if error.errno == errno.EIO and error.filename is None:
            raise InputError(
                f"a file cannot be read: {error.strerror}",
                hint="check the disk, and that the inputs are files, not devices",
            ) from error
        if error.filename is None or not isinstance(error.filename, str | bytes | PathLike):
            raise
        name = os.fsdecode(error.filename)
        written = os.path.abspath(name).startswith(os.path.abspath(folder) + os.sep)
        short = name if len(name) < 300 else f"{name[:100]}...{name[-20:]}"
        raise (OutputFolderError if written else InputError)(
            f"`{short}` cannot be used: {error.strerror}",
            hint="check its name, its kind and its rights, and the disk",
        ) from error
