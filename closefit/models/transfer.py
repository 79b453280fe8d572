"""One file over HTTP: goes on where it broke off, and puts up with servers that fail now and then.

The part that has arrived lies in a file of its own, beside a note about where it came from. Another
process finds both, so a download survives being killed. What arrives is checked for its size here,
and for its content by `downloads`.
"""

import json
import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from closefit import __version__
from closefit.errors import WeightsError, WeightsMissingError

CHUNK_BYTES = 1 << 18
REPORT_S = 0.1

PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be another one in a moment."""

ABSENT_STATUSES = frozenset({404, 410})

FETCH_ELSEWHERE = (
    "fetch the file elsewhere and bring it in with `closefit download-weights --from DIR`"
)
"""Other commands have no such `--from`."""

Report = Callable[[int, int | None], None]
"""Told how many bytes have arrived, and of how many if that is known."""

Complain = Callable[[str], None]
"""Told why the same thing is tried again."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How much to put up with.

    Attributes:
        attempts: Failures in a row, without a new byte, before giving up.
        first_attempts: The same for a server that has never answered: there may be no network.
        first_pause_s: Pause after the first failure; each further one doubles it.
        longest_pause_s: Where doubling ends.
        longest_wish_s: Longest pause that a server may ask for.
        connect_s: Time for a connection.
        read_s: Time without a byte.
    """

    attempts: int = 6
    first_attempts: int = 3
    first_pause_s: float = 0.5
    longest_pause_s: float = 20.0
    longest_wish_s: float = 120.0
    connect_s: float = 10.0
    read_s: float = 15.0

    def pause_s(self, failures: int) -> float:
        """Return how long to wait after so many failures; drawn, so that clients spread out."""
        longest = min(self.first_pause_s * 2.0 ** (failures - 1), self.longest_pause_s)
        return longest * random.uniform(0.5, 1.0)


PATIENT = Patience()


class TransferError(WeightsError):
    """A file cannot be downloaded, for a `reason` that other files may share."""

    def __init__(self, url: str, reason: str, hint: str) -> None:
        """Name the address and the reason in one sentence."""
        super().__init__(f"cannot download `{url}`: {reason}", hint)
        self.reason = reason


class StoppedError(Exception):
    """Somebody else failed or the user has had enough: this transfer ends where it is."""


class _PassingError(Exception):
    """The server or the network failed in a way that may pass."""

    def __init__(self, reason: str, wish_s: float = 0.0, answered: bool = True) -> None:
        """Keep what happened, for how long the server wants to be left alone, if it was one."""
        super().__init__(reason)
        self.wish_s = wish_s
        self.answered = answered


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What to bring where.

    Attributes:
        url: Address of the file.
        target: File for what arrives; it may hold the first part already.
        size: Bytes it must have, if known.
        pinned: The content will be compared with a known hash, so a part from elsewhere will do.
        patience: How much to put up with.
        stop: Set by others to end it.
        report: Told about progress.
        complain: Told about failures that follow each other.
    """

    url: str
    target: Path
    size: int | None
    pinned: bool
    patience: Patience
    stop: threading.Event
    report: Report
    complain: Complain

    def run(self) -> None:
        """Bring the file.

        Raises:
            WeightsMissingError: The server does not have it.
            WeightsError: It cannot be had now, or from there.
            StoppedError: `stop` was set.
            OSError: It cannot be written.
        """
        import requests

        furthest, failures, answered = length_of(self.target), 0, False
        with requests.Session() as session:
            while self.size is None or length_of(self.target) != self.size:
                try:
                    self._go_on(session)
                    break
                except _PassingError as error:
                    arrived = length_of(self.target)
                    failures = 1 if arrived > furthest else failures + 1
                    furthest = max(furthest, arrived)
                    answered = answered or error.answered
                    attempts = self.patience.attempts if answered else self.patience.first_attempts
                    self._pause_or_give_up(error, failures, attempts)
        note_of(self.target).unlink(missing_ok=True)

    def _pause_or_give_up(self, error: _PassingError, failures: int, attempts: int) -> None:
        reason = str(error)
        if error.wish_s > self.patience.longest_wish_s:
            reason += f" and asks to come back in {error.wish_s:.0f} s"
        elif failures < attempts:
            pause_s = max(error.wish_s, self.patience.pause_s(failures))
            if failures > 1 or error.wish_s:
                self.complain(f"{reason}; trying again in {pause_s:.0f} s")
            if self.stop.wait(pause_s):
                raise StoppedError from error
            return
        raise self._failure(reason) from error

    def _go_on(self, session: Any) -> None:
        """Ask for what is missing and write it to the end of the target."""
        import requests
        from urllib3.exceptions import HTTPError

        offset, headers = self._request()
        try:
            with session.get(
                self.url,
                headers=headers,
                stream=True,
                timeout=(self.patience.connect_s, self.patience.read_s),
            ) as response:
                offset, total = self._agreed(response, offset)
                if offset != total:
                    self._write(response, offset, total)
        except requests.exceptions.SSLError as error:
            if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
                raise self._untrusted(error) from error
            raise _PassingError(_network_reason(error)) from error
        except (
            *(requests.exceptions.InvalidURL, requests.exceptions.MissingSchema),
            *(requests.exceptions.InvalidSchema, requests.exceptions.TooManyRedirects),
        ) as error:
            raise self._failure(_first_line(error)) from error
        except (requests.RequestException, HTTPError) as error:
            raise _PassingError(_network_reason(error), answered=not _no_server(error)) from error

    def _request(self) -> tuple[int, dict[str, str]]:
        """Return from which byte to go on, and the headers that ask for it."""
        # A compressed answer could not be continued in the middle.
        headers = {"Accept-Encoding": "identity", "User-Agent": f"closefit/{__version__}"}
        offset = length_of(self.target)
        if offset == 0 or (self.size is not None and offset > self.size):
            return 0, headers
        if not self.pinned:
            note = _read_note(self.target)
            validator = note.get("validator", "")
            if note.get("url") != self.url or not validator:
                return 0, headers
            headers["If-Range"] = validator  # another file by now: sent from its start
        headers["Range"] = f"bytes={offset}-"
        return offset, headers

    def _agreed(self, response: Any, offset: int) -> tuple[int, int | None]:
        """Return from which byte the answer goes on, and the whole file's size.

        Raises:
            _PassingError: This is no answer to what was asked; another time it may be one.
            WeightsError: It will never be one.
        """
        status = response.status_code
        if status == 416:
            with suppress(_PassingError):
                if offset and _content_range(response)[1] == offset:
                    return offset, offset
            self.target.unlink(missing_ok=True)
            raise _PassingError("the server cannot go on where the download stopped")
        if status in PASSING_STATUSES:
            raise _PassingError(f"the server answers {status}", _wish_s(response))
        if status in ABSENT_STATUSES:
            raise WeightsMissingError(
                f"cannot download `{self.url}`: the server does not have it ({status})",
                hint=f"try again later, or {FETCH_ELSEWHERE}; if it stays so, the publisher has "
                "moved the file: please report it",
            )
        if status not in (200, 206):
            raise self._failure(f"the server answers {status}")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise _PassingError("a web page came instead of the file (is there a login or proxy?)")
        start, total = (0, _content_length(response)) if status == 200 else _content_range(response)
        if start not in (0, offset):
            raise _PassingError(f"the server sends from byte {start} instead of {offset}")
        if self.size is not None and total not in (None, self.size):
            raise _PassingError(f"the server sends {total} bytes instead of {self.size}")
        _write_note(self.target, self.url, response)
        return start, total if total is not None else self.size

    def _write(self, response: Any, offset: int, total: int | None) -> None:
        """Add what arrives to the target, unbuffered: a killed process leaves all it has got."""
        reported_s = 0.0
        with open(self.target, "ab", buffering=0) as file:
            file.truncate(offset)
            # `read1` hands over what there is; a connection that breaks takes nothing with it.
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
                if self.stop.is_set():
                    raise StoppedError
                file.write(chunk)
                offset += len(chunk)
                if total is not None and offset > total:
                    break
                if offset == total or time.monotonic() - reported_s > REPORT_S:
                    reported_s = time.monotonic()
                    self.report(offset, total)
        if total is not None and offset != total:
            if offset > total:
                self.target.unlink()
            raise _PassingError(f"{offset} bytes came instead of {total}")

    def _failure(self, reason: str) -> TransferError:
        arrived = length_of(self.target)
        kept = f" (it goes on after the {arrived} bytes that are here)" if arrived else ""
        return TransferError(
            self.url,
            reason,
            hint=f"check the network and run the same command again{kept}, or {FETCH_ELSEWHERE}",
        )

    def _untrusted(self, error: Exception) -> TransferError:
        host = urlsplit(self.url).netloc
        return TransferError(
            self.url,
            f"the certificate of `{host}` is not to be trusted ({_certificate_reason(error)})",
            hint="set REQUESTS_CA_BUNDLE to the certificate file of that server or of your "
            f"proxy, or {FETCH_ELSEWHERE}",
        )


def length_of(path: Path) -> int:
    """Return how many bytes a file has; 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def note_of(target: Path) -> Path:
    """Return the file that says where the part in `target` came from."""
    return target.with_name(f"{target.name}.origin.json")


def _read_note(target: Path) -> dict[str, str]:
    try:
        note = json.loads(note_of(target).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _write_note(target: Path, url: str, response: Any) -> None:
    """Keep the address and what tells this version of the file from others."""
    etag = response.headers.get("ETag", "")
    strong = "" if etag.startswith("W/") else etag
    note = {"url": url, "validator": strong or response.headers.get("Last-Modified", "")}
    temporary = note_of(target).with_suffix(".new")
    temporary.write_text(json.dumps(note), encoding="utf-8")
    os.replace(temporary, note_of(target))


def _content_length(response: Any) -> int | None:
    length = response.headers.get("Content-Length", "")
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    return int(length) if length.isdigit() and not encoded else None


def _content_range(response: Any) -> tuple[int, int | None]:
    """Return the first byte and the whole size from `bytes 5-9/10`, `bytes 5-9/*`, `bytes */10`."""
    unit, _, value = response.headers.get("Content-Range", "").partition(" ")
    extent, _, total = value.partition("/")
    start = extent.partition("-")[0]
    if unit != "bytes" or not (start.isdigit() or extent == "*"):
        raise _PassingError("the server sends a part without saying which")
    return int(start) if start.isdigit() else 0, int(total) if total.isdigit() else None


def _wish_s(response: Any) -> float:
    """Return how long the server asks to wait: `Retry-After`, in seconds or as a date."""
    text = response.headers.get("Retry-After", "")
    if text.isdigit():
        return float(text)
    with suppress(ValueError, TypeError):
        wait = parsedate_to_datetime(text) - datetime.now(timezone.utc)
        return max(wait.total_seconds(), 0.0)
    return 0.0


def _no_server(error: Exception) -> bool:
    """Tell a server that cannot be reached from one that answered badly."""
    names = {type(cause).__name__ for cause in _causes(error)}
    return bool(names & {"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"})


def _network_reason(error: Exception) -> str:
    text = " ".join(f"{type(cause).__name__} {cause}" for cause in _causes(error))
    for sign, reason in (
        ("NameResolution", "the server's name cannot be resolved (no network?)"),
        ("Connection refused", "the connection is refused"),
        ("unreachable", "the network is unreachable"),
        ("ConnectTimeout", "the server does not answer"),
        ("ReadTimeout", "the server sends nothing any more"),
        ("timed out", "the server sends nothing any more"),
        ("ProxyError", "the proxy does not answer"),
        ("IncompleteRead", "the connection broke off"),
        ("Connection aborted", "the connection broke off"),
        ("Connection broken", "the connection broke off"),
        ("reset by peer", "the connection broke off"),
    ):
        if sign in text:
            return reason
    return f"{type(error).__name__}: {_first_line(error)}"


def _certificate_reason(error: Exception) -> str:
    for cause in _causes(error):
        reason = getattr(cause, "verify_message", "")
        if reason:
            return str(reason)
    return _first_line(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it wraps; `requests` puts causes into arguments and attributes."""
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
        waiting += [one for one in inner if isinstance(one, BaseException)]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
