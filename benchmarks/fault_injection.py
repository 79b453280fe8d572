"""A web server that fails in every way that downloads meet, and a run of downloads against it.

Used by `benchmarks/downloads.py`, which prints the figures, and by the tests.
"""

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from closefit.errors import WeightsError
from closefit.events import ignore
from closefit.models.delivery import Patience
from closefit.models.downloads import fetch_all
from closefit.models.weights import Model, ModelFile

HTML = b"<!DOCTYPE html><html><body>Please log in to this network.</body></html>"
NO_HEADERS: Mapping[str, str] = {}
STALL_S = 0.8
PIECE_BYTES = 20_000
HASTY = Patience(first_pause_s=0.001, read_s=0.5)
"""Patience of a client that has no time: the server's faults are as short."""


GOOD_RESPONSES_PER = 4
"""One correct response is added for this many faulty ones."""


class Fault(Enum):
    """What goes wrong with one response."""

    REFUSE = "connection closed before any answer"
    DROP = "connection closed in the middle"
    STALL = "nothing more comes in the middle"
    TRUNCATE = "a shorter file, honestly announced"
    WRONG_BYTES = "right size, wrong content"
    IGNORE_RANGE = "whole file although a part was asked for, closed in the middle"
    WRONG_PART = "another part than was asked for"
    NOT_FOUND = "404"
    TOO_MANY = "429 with Retry-After"
    UNAVAILABLE = "503"
    WEB_PAGE = "a login page with status 200"
    LOST_REDIRECT = "a redirect to where nothing is"


@dataclass
class Record:
    """What the server saw.

    Attributes:
        requests: All requests.
        faults: How often each fault was sent.
        ranges: Requests to continue from beyond the first byte.
        interrupted: Responses that broke off and left the client with a part of the file.
        lost: Of those, how many the client did not go on from.
    """

    requests: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    ranges: int = 0
    interrupted: int = 0
    lost: int = 0


class FaultyServer:
    """Serves `files` by their paths and follows a plan of faults, one per request.

    Attributes:
        files: What it serves; may be changed while it runs.
        redirects: Paths that it sends elsewhere, as a model hub does.
        retry_after: The `Retry-After` that it sends with a 429.
        pace_s: Pause after each piece of a file, until `hurry` is set.
        hurry: Ends all such pauses.
        record: What it saw.
    """

    def __init__(self, files: Mapping[str, bytes], plan: Iterable[Fault | None] = ()) -> None:
        """Take what to serve, and what to do with each request; None means to behave."""
        self.files = dict(files)
        self.redirects: dict[str, str] = {}
        self.retry_after = "0"
        self.pace_s = 0.0
        self.hurry = threading.Event()
        self.record = Record()
        self._plan = iter(plan)
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()
        self.address = ""

    @contextmanager
    def running(self) -> Iterator["FaultyServer"]:
        """Serve in threads on a free port of this machine."""
        handler = type("Handler", (_Handler,), {"faulty": self})
        with _Server(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            self.address = f"http://127.0.0.1:{server.server_address[1]}"
            yield self
            server.shutdown()
            thread.join()

    def arrival(self, path: str, offset: int) -> Fault | None:
        """Count a request and return what to do with it."""
        with self._lock:
            self.record.requests += 1
            self.record.ranges += offset > 0
            self.record.lost += self._held.pop(path, 0) > 0 and offset == 0
            fault = next(self._plan, None)
            if fault is not None:
                self.record.faults[fault] += 1
            return fault

    def will_hold(self, path: str, held: int, interrupted: bool) -> None:
        """Record what the client has once it has received the response that is about to be sent."""
        with self._lock:
            self.record.interrupted += interrupted
            if held:
                self._held[path] = held


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over clients that hang up: they are right to."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    faulty: FaultyServer
    protocol_version = "HTTP/1.0"

    def log_message(self, *_: Any) -> None:
        """Keep the terminal clean."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].lstrip("/")
        if path in self.faulty.redirects:
            self._say(302, {"Location": f"{self.faulty.address}/{self.faulty.redirects[path]}"})
            return
        content = self.faulty.files.get(path)
        if content is None:
            self._say(404)
            return
        offset = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        if self.headers.get("If-Range") not in (None, _etag(content)):
            offset = 0
        fault = self.faulty.arrival(path, offset)
        if fault is None:
            self._send(content, offset)
        else:
            self._fail(fault, path, content, offset)

    def _fail(self, fault: Fault, path: str, content: bytes, offset: int) -> None:
        draw = random.Random(f"{path} {self.faulty.record.requests}")
        end = draw.randint(offset + 1, len(content) - 1) if offset < len(content) - 1 else offset
        if fault in (Fault.DROP, Fault.STALL):
            self.faulty.will_hold(path, end, interrupted=True)
            self._send(content, offset, end=end)
            time.sleep(STALL_S if fault is Fault.STALL else 0.0)
        elif fault is Fault.IGNORE_RANGE:
            end = draw.randint(1, len(content) - 1)
            self.faulty.will_hold(path, end, interrupted=True)
            self._send(content, 0, end=end)
        elif fault is Fault.WRONG_BYTES:
            self._send(content[:offset] + bytes(len(content) - offset), offset)
        else:
            self.faulty.will_hold(path, offset, interrupted=False)
            self._refuse(fault, content, offset)

    def _refuse(self, fault: Fault, content: bytes, offset: int) -> None:
        if fault is Fault.TRUNCATE:
            self._send(content[: len(content) // 2], 0)
        elif fault is Fault.WRONG_PART:
            self._say(206, {"Content-Range": f"bytes {offset + 1}-{offset + 1}/{len(content)}"})
        elif fault is Fault.WEB_PAGE:
            self._say(200, {"Content-Type": "text/html; charset=utf-8"}, HTML)
        elif fault is Fault.LOST_REDIRECT:
            self._say(302, {"Location": f"{self.faulty.address}/nowhere"})
        elif fault is not Fault.REFUSE:
            status = {Fault.NOT_FOUND: 404, Fault.TOO_MANY: 429, Fault.UNAVAILABLE: 503}[fault]
            self._say(status, {"Retry-After": self.faulty.retry_after} if status == 429 else {})

    def _send(self, content: bytes, offset: int, end: int | None = None) -> None:
        """Respond with `content` from `offset` on, and stop after its byte `end`."""
        headers = {"Content-Length": str(len(content) - offset), "ETag": _etag(content)}
        if offset:
            headers["Content-Range"] = f"bytes {offset}-{len(content) - 1}/{len(content)}"
        self._say(206 if offset else 200, headers, content[offset:end])

    def _say(self, status: int, headers: Mapping[str, str] = NO_HEADERS, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        for start in range(0, len(body), PIECE_BYTES):
            self.wfile.write(body[start : start + PIECE_BYTES])
            self.faulty.hurry.wait(self.faulty.pace_s)


def _etag(content: bytes) -> str:
    return f'"{sha256(content).hexdigest()[:16]}"'


@dataclass(frozen=True)
class Figures:
    """What a run of downloads under faults came to.

    Attributes:
        faults: Faults that were injected, by kind.
        downloads: Files that were fetched to the end.
        commands: Calls it took: a call that gave up is made again, as a user would.
        corrupt: Files that were ever in place with wrong content.
        requests: Requests that the server saw.
        ranges: Of those, how many were to continue from beyond the first byte.
        interrupted: Responses that broke off and left the client with a part of a file.
        resumed: Of those, how many were followed by a request for the rest.
        seconds: Time for all.
    """

    faults: Mapping[str, int]
    downloads: int
    commands: int
    corrupt: int
    requests: int
    ranges: int
    interrupted: int
    resumed: int
    seconds: float


def run(folder: Path, faults: int = 200, seed: int = 0, file_bytes: int = 300_000) -> Figures:
    """Fetch files into `folder` until the server has injected so many faults.

    After every call, whatever lies under a model's real name is compared with the truth.
    """
    draw = random.Random(seed)
    kinds = list(Fault)
    responses: list[Fault | None] = [kinds[i % len(kinds)] for i in range(faults)]
    responses += [None] * (faults // GOOD_RESPONSES_PER)
    plan = iter(draw.sample(responses, len(responses)))
    contents = {f"{name}.bin": draw.randbytes(file_bytes) for name in ("a", "b", "c", "d")}
    started = time.monotonic()
    downloads = commands = corrupt = 0
    with FaultyServer(contents, plan).running() as server:
        while sum(server.record.faults.values()) < faults:
            target = folder / str(downloads)
            models = [_model(name, content) for name, content in contents.items()]
            done = False
            while not done:
                commands += 1
                try:
                    fetch_all(models, target, ignore, server.address, HASTY)
                    done = True
                except WeightsError:
                    pass
                corrupt += sum(
                    (target / name).is_file() and (target / name).read_bytes() != content
                    for name, content in contents.items()
                )
            left = sorted(path.name for path in target.iterdir())
            if left != sorted(contents):
                raise AssertionError(f"left over: {left}")
            downloads += len(contents)
    record = server.record
    return Figures(
        faults={fault.value: record.faults[fault] for fault in kinds},
        downloads=downloads,
        commands=commands,
        corrupt=corrupt,
        requests=record.requests,
        ranges=record.ranges,
        interrupted=record.interrupted,
        resumed=record.interrupted - record.lost,
        seconds=time.monotonic() - started,
    )


def _model(name: str, content: bytes) -> Model:
    return Model(
        name=name.removesuffix(".bin"),
        purpose="a fault injection",
        stages=("track",),
        licence="CC0-1.0",
        commercial_use="yes",
        files=(ModelFile(name=name, sha256=sha256(content).hexdigest(), size=len(content)),),
    )
