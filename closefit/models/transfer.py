"""Downloads one file over HTTP, resumes it after a break, and bounds its size and time.

`requests` supplies connections, proxies and certificates. docs/downloads.md lists what pooch and
huggingface_hub do, and what they lack.
"""

import queue
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from closefit import __version__
from closefit.errors import WeightsError, WeightsMissingError
from closefit.events import Notice
from closefit.models.delivery import REPORT_S, Part, StoppedError

CHUNK_BYTES = 1 << 18
CHUNKS_AHEAD = 8
MAX_BYTES = 2_000_000_000
"""Limit for a file whose size the manifest does not state."""

MIN_BYTES_PER_S = 1000
MIN_PROGRESS_BYTES = 1 << 16
"""An attempt that brings less counts as one more failure in a row."""

OFFLINE_ATTEMPTS = 3
"""Attempts at a server that has never responded: there may be no network."""

MAX_RETRY_AFTER_S = 120.0
"""Longest pause that a server may request."""

CONNECT_S = 10.0
MAX_REDIRECTS = 10
PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
ABSENT_STATUSES = frozenset({404, 410})
FETCH_ELSEWHERE = (
    "fetch the file elsewhere and bring it in with `closefit download-weights --from DIR`"
)
"""The command is named in full because `--from` of `closefit run` means a stage."""

NETWORK_REASONS = {
    "NameResolution": "the server's name cannot be resolved (no network?)",
    "Connection refused": "the connection is refused",
    "unreachable": "the network is unreachable",
    "ConnectTimeout": "the server does not respond",
    "ReadTimeout|timed out": "the server sends nothing any more",
    "ProxyError": "the proxy does not respond",
    "IncompleteRead|Connection aborted|Connection broken|reset by peer": (
        "the connection broke off"
    ),
}
"""Explanations of network errors, by a pattern of their text."""

NO_SERVER = "NewConnectionError|NameResolutionError|ConnectTimeout"


class TransferError(WeightsError):
    """A file cannot be downloaded, for a `reason` that other files may share."""

    def __init__(self, url: str, reason: str, hint: str) -> None:
        """Name the address and the reason in one sentence."""
        super().__init__(f"cannot download `{url}`: {reason}", hint)
        self.reason = reason


class _PassingError(Exception):
    """A failure of the server or the network that may pass.

    `retry_after_s` is the requested pause.
    """

    def __init__(self, reason: str, retry_after_s: float = 0.0, responded: bool = True) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.responded = responded


@contextmanager
def _reader(request: Callable[[], Any], stop: threading.Event) -> Iterator[Callable[[float], Any]]:
    """Read a response in a thread that can be abandoned.

    Timeouts of a socket bound the time between two bytes. With one byte now and then, a server can
    prolong the handshake, the headers or the body forever.

    Yields:
        A function that returns the response, then its chunks, then an empty chunk; it raises
        `_PassingError` after so many seconds, and `StoppedError` once `stop` is set.
    """
    items: queue.Queue[Any] = queue.Queue(maxsize=CHUNKS_AHEAD)
    left = threading.Event()

    def read() -> None:
        try:
            with request() as response:
                items.put(response)
                chunk = b"first"
                while chunk and not left.is_set():
                    # `read1` returns what is there: a break of the connection loses nothing.
                    chunk = response.raw.read1(CHUNK_BYTES, decode_content=True)
                    items.put(chunk)
        except Exception as error:  # noqa: BLE001 - raised again by `take`
            items.put(error)

    def take(limit_s: float) -> Any:
        deadline_s = time.monotonic() + limit_s
        while not stop.is_set():
            with suppress(queue.Empty):
                item = items.get(timeout=REPORT_S)
                if isinstance(item, Exception):
                    raise item
                return item
            if time.monotonic() > deadline_s:
                raise _PassingError("the server sends nothing any more")
        raise StoppedError

    threading.Thread(target=read, daemon=True).start()
    try:
        yield take
    finally:
        left.set()
        with suppress(queue.Empty):  # the thread may be waiting for room
            while True:
                items.get_nowait()


@dataclass(frozen=True)
class Transfer:
    """The download of `url` into `part`."""

    url: str
    part: Part

    def run(self) -> None:
        """Download the file, with as many attempts as the delivery allows.

        Raises:
            WeightsMissingError: The server does not have it.
            WeightsError: It cannot be downloaded now, or from there.
            StoppedError: The delivery was stopped.
            OSError: It cannot be written.
        """
        failures, attempts, size = 0, OFFLINE_ATTEMPTS, self.part.file.size
        while size is None or self.part.length != size:
            before = self.part.length
            try:
                self._attempt()
                return
            except _PassingError as error:
                progress = self.part.length - before >= MIN_PROGRESS_BYTES
                failures = 1 if progress else failures + 1
                if error.responded:
                    attempts = self.part.delivery.patience.attempts
                if failures >= attempts or error.retry_after_s > MAX_RETRY_AFTER_S:
                    pause = f" with a retry after {error.retry_after_s:.0f} s"
                    text = f"{error}{pause}" if error.retry_after_s else str(error)
                    raise self._failure(text) from error
                self._pause(error, failures)

    def _pause(self, error: _PassingError, failures: int) -> None:
        delivery = self.part.delivery
        # Random, so that clients do not all come back at once.
        pause_s = delivery.patience.first_pause_s * 2.0 ** (failures - 1) * random.uniform(0.5, 1.0)
        pause_s = max(error.retry_after_s, pause_s)
        if failures > 1 or error.retry_after_s:
            label = delivery.model.label(self.part.file)
            delivery.emit(Notice(f"{label}: {error}; trying again in {pause_s:.0f} s"))
        if delivery.stop.wait(pause_s):
            raise StoppedError from error

    def _attempt(self) -> None:
        """Request what is missing and append it to the part."""
        import requests
        from urllib3.exceptions import HTTPError

        delivery, length = self.part.delivery, self.part.length
        usable = self.part.resumable and length < (self.part.file.size or length + 1)
        offset = length if usable else 0
        try:
            with (
                requests.Session() as session,
                _reader(lambda: self._request(session, offset), delivery.stop) as take,
            ):
                start, total = self._agreed(take(delivery.patience.slow_s), offset)
                self.part.write(self._body(take), start, total)
        except ValueError as error:  # includes what requests raises for addresses it refuses
            raise self._failure(_first_line(error)) from error
        except (requests.RequestException, HTTPError) as error:
            raise self._network_error(error) from error
        arrived = self.part.length
        if total not in (None, arrived):
            raise _PassingError(f"{arrived} bytes came instead of {total}")

    def _request(self, session: Any, offset: int) -> Any:
        """Return the response; every redirect has to follow the same rules as the first address."""
        # requests itself would read the body of a redirect, however long it is.
        session.get_redirect_target = lambda _: None
        # A compressed response could not be resumed in the middle.
        headers = {"Accept-Encoding": "identity", "User-Agent": f"closefit/{__version__}"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        times = (CONNECT_S, self.part.delivery.patience.read_s)
        url, schemes = self.url, {"http", "https"}
        for _ in range(MAX_REDIRECTS + 1):
            scheme = urlsplit(url).scheme.lower()
            if scheme not in schemes:
                raise ValueError(f"the server redirects to `{url[:200]}`")
            schemes &= {scheme, "https"}  # an encrypted download stays encrypted
            response = session.get(url, headers=headers, stream=True, timeout=times)
            if not response.is_redirect:
                return response
            response.close()
            url = urljoin(url, response.headers["Location"])
        raise ValueError(f"the server redirects more than {MAX_REDIRECTS} times")

    def _agreed(self, response: Any, offset: int) -> tuple[int, int | None]:
        """Return the first byte of the response and the size of the whole file, if known.

        Raises:
            _PassingError: It does not fit the request; a later one may.
            WeightsError: No later one will fit either.
        """
        status, size = response.status_code, self.part.file.size
        if status == 416:
            self.part.path.unlink(missing_ok=True)
            raise _PassingError("the server cannot resume where the download stopped")
        if status in PASSING_STATUSES:
            raise _PassingError(f"the server returns {status}", _retry_after_s(response))
        if status in ABSENT_STATUSES:
            raise WeightsMissingError(
                f"cannot download `{self.url}`: the server does not have it ({status})",
                hint=f"try again later, or {FETCH_ELSEWHERE}; if it stays so, the publisher has "
                "moved the file: please report it",
            )
        if status not in (200, 206):
            raise self._failure(f"the server returns {status}")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise _PassingError("a web page came instead of the file (is there a login or proxy?)")
        start, total = _extent(response)
        if start not in (0, offset):
            raise _PassingError(f"the server sends from byte {start} instead of {offset}")
        if size is not None and total not in (None, size):
            raise _PassingError(f"the server sends {total} bytes instead of {size}")
        return start, size if total is None else total

    def _body(self, take: Callable[[float], Any]) -> Iterator[bytes]:
        """Yield the chunks of the body; refuse one that is too long or comes too slowly."""
        patience = self.part.delivery.patience
        started_s, in_period, arrived = time.monotonic(), 0, 0
        while chunk := take(2 * patience.read_s):
            yield chunk
            arrived += len(chunk)
            in_period += len(chunk)
            period_s = time.monotonic() - started_s
            if arrived > (self.part.file.size or MAX_BYTES):
                raise ValueError(f"the server sends more than {arrived - 1} bytes")
            if period_s > patience.slow_s:
                if in_period < MIN_BYTES_PER_S * period_s:
                    raise _PassingError(f"only {in_period} bytes came in {period_s:.0f} s")
                started_s, in_period = time.monotonic(), 0

    def _failure(self, reason: str) -> TransferError:
        arrived = self.part.length if self.part.resumable else 0
        kept = f" (it goes on after the {arrived} bytes that are here)" if arrived else ""
        return TransferError(
            self.url,
            reason,
            hint=f"check the network and run the same command again{kept}, or {FETCH_ELSEWHERE}",
        )

    def _network_error(self, error: Exception) -> Exception:
        """Translate an error of requests, whose text includes all its causes."""
        text = f"{type(error).__name__} {error}"
        untrusted = re.search(r"certificate verify failed: ([^(]+)", text)
        if untrusted is None:
            reasons = (why for pattern, why in NETWORK_REASONS.items() if re.search(pattern, text))
            reason = next(reasons, _first_line(error))
            return _PassingError(reason, responded=re.search(NO_SERVER, text) is None)
        return TransferError(
            self.url,
            f"the certificate of `{urlsplit(self.url).netloc}` cannot be trusted "
            f"({untrusted[1].strip()})",
            hint="set REQUESTS_CA_BUNDLE to the certificate file of that server or of your "
            f"proxy, or {FETCH_ELSEWHERE}",
        )


def _number(text: str) -> int | None:
    """Parse a number of bytes or seconds; headers may hold anything, such as a superscript two."""
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


def _extent(response: Any) -> tuple[int, int | None]:
    """Return the first byte that a response holds and the size of the whole file, if stated."""
    if response.status_code == 200:
        encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        return 0, None if encoded else _number(response.headers.get("Content-Length", ""))
    text = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15}|\*)", text)
    if match is None:
        raise _PassingError("the server sends a part without its range")
    return int(match[1]), _number(match[2])


def _retry_after_s(response: Any) -> float:
    """Return the pause requested by `Retry-After`, which holds seconds or a date."""
    from urllib3 import Retry
    from urllib3.exceptions import InvalidHeader

    with suppress(InvalidHeader, ValueError, OverflowError):
        return float(Retry().parse_retry_after(response.headers.get("Retry-After", "0")))
    return 0.0


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
