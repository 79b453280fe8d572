"""The review page over HTTP, for browsers on this machine only.

It listens on 127.0.0.1. Requests under another host's name (DNS rebinding) or from another page
(`Origin`) are refused. Of the disk it gives the page's own parts, and film and report of finished
clips; a report runs in a sandbox, because results may be somebody else's.
"""

import logging
import mimetypes
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from closefit import __version__
from closefit.boundary.files import parse_json, to_json, typed
from closefit.boundary.refusals import RefusedError, refuse
from closefit.datasets.review.desk import Desk
from closefit.datasets.reviews import Name
from closefit.errors import ClosefitError, ConfigError, file_guard

HOST = "127.0.0.1"
OWN_NAMES = frozenset({"127.0.0.1", "localhost"})

PARTS = Path(__file__).parent
REPORT_STYLE = PARTS.parents[1] / "exporters" / "report" / "page.css"
"""Colours and controls as in `report.html`."""

PAGES = {
    "/": ("text/html", (PARTS / "page.html",)),
    "/style.css": ("text/css", (REPORT_STYLE, PARTS / "page.css")),
    "/page.js": ("text/javascript", (PARTS / "page.js",)),
}
CLIP_FILES = ("film.mp4", "report.html")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self'; img-src data:; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
REPORT_POLICY = "sandbox allow-scripts; frame-ancestors 'self'"
"""A report has a policy of its own inside; here it loses this server's origin."""

MAX_REQUEST_BYTES = 1 << 16
BLOCK_BYTES = 1 << 18
IDLE_S = 60.0
RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")

logger = logging.getLogger(__name__)

Answer = Callable[[Mapping[str, Any]], dict[str, Any]]


class ReviewServer(ThreadingHTTPServer):
    """Serves the review page of one batch; `serve_forever` until it is interrupted."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, desk: Desk, port: int) -> None:
        """Listen on this port.

        Raises:
            ConfigError: It is taken, or may not be used.
        """
        self.desk = desk
        self.answers: dict[str, Answer] = {
            "/api/next": lambda asked: desk.next_clip(_name(asked, "reviewer")),
            "/api/skip": lambda asked: desk.skip(_name(asked, "reviewer"), _name(asked, "clip")),
            "/api/clip": lambda asked: desk.clip(_name(asked, "reviewer"), _name(asked, "clip")),
            "/api/review": desk.decide,
        }
        try:
            super().__init__((HOST, port), _Request)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on port `{port}` of {HOST}: {error.strerror}",
                hint="choose another one with --port",
            ) from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong with a request; a browser that goes away is nothing."""
        del request, client_address
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            logger.exception("a request failed")

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"


def _name(asked: Mapping[str, Any], key: str) -> str:
    """A name in a request."""
    found: str = typed(asked.get(key), Name)
    return found


class _Request(BaseHTTPRequestHandler):
    """One request; http.server prescribes the names of the methods."""

    server: ReviewServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = f"closefit/{__version__}", ""
    timeout = IDLE_S

    def do_GET(self) -> None:
        """Give a part of the page, or a file of a clip."""
        if self._is_foreign():
            return
        path = urlsplit(self.path).path
        if path in PAGES:
            kind, parts = PAGES[path]
            content = "\n".join(part.read_text(encoding="utf-8") for part in parts).encode()
            self._send(HTTPStatus.OK, content, kind, {"Content-Security-Policy": POLICY})
            return
        words = path.split("/")
        if len(words) == 4 and words[1] == "clips" and words[3] in CLIP_FILES:
            with self._explained():
                self._send_file(self.server.desk.file(words[2], words[3]))
            return
        self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        """Answer a question of the page, or take a decision."""
        if self._is_foreign():
            return
        answer = self.server.answers.get(urlsplit(self.path).path)
        if answer is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
            return
        with self._explained():
            self._json(HTTPStatus.OK, answer(self._asked()))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal belongs to the command."""

    def _is_foreign(self) -> bool:
        """Refuse, and return True, where the request is not of this server's own page."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "same-origin")
        is_own = urlsplit(f"//{host}").hostname in OWN_NAMES
        is_own &= origin is None or origin == f"http://{host}"
        is_own &= site in ("same-origin", "none")
        if self.command == "POST":  # other pages may send plain text without asking
            is_own &= self.headers.get_content_type() == "application/json"
        if not is_own:
            self._refuse(HTTPStatus.FORBIDDEN, "this page answers only to itself")
        return not is_own

    def _asked(self) -> Mapping[str, Any]:
        """The content of a request.

        Raises:
            RefusedError: It is too long, or no object.
        """
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > MAX_REQUEST_BYTES:
            self.close_connection = True
            refuse("the request is too long, or has no length")
        try:
            content = parse_json(self.rfile.read(int(length)).decode(), names_files=True)
        except UnicodeDecodeError:
            refuse("the request is no text")
        if not isinstance(content, dict):
            refuse("the request is no object")
        return content

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Failures inside become answers; a browser that has gone is none."""
        try:
            with file_guard(self.server.desk.folder.root):
                yield
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except RefusedError as refused:
            self._refuse(HTTPStatus.BAD_REQUEST, refused.problem)
        except ClosefitError as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, error.message, error.hint)

    def _json(self, status: HTTPStatus, content: Mapping[str, Any]) -> None:
        # ASCII: names of files may hold bytes that are no UTF-8.
        self._send(status, to_json(content).encode("ascii"), "application/json", {})

    def _refuse(self, status: HTTPStatus, problem: str, hint: str = "") -> None:
        self.close_connection = True  # what is left of the request stays unread
        self._json(status, {"error": problem, "hint": hint})

    def _send(
        self, status: HTTPStatus, content: bytes, kind: str, headers: Mapping[str, str]
    ) -> None:
        self._head(status, len(content), f"{kind}; charset=utf-8", headers)
        self.wfile.write(content)

    def _head(self, status: HTTPStatus, size: int, kind: str, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        every = {
            "Content-Type": kind,
            "Content-Length": str(size),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            **headers,
        }
        for name, value in every.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send_file(self, path: Path) -> None:
        """Send a file, or the part of it that a player asks for."""
        with open(path, "rb") as file:
            size = path.stat().st_size
            first, last, status = self._range(size)
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            headers = {"Accept-Ranges": "bytes"}
            if path.suffix == ".html":
                headers["Content-Security-Policy"] = REPORT_POLICY
            if status == HTTPStatus.PARTIAL_CONTENT:
                headers["Content-Range"] = f"bytes {first}-{last}/{size}"
            self._head(status, last - first + 1, kind, headers)
            file.seek(first)
            left = last - first + 1
            while left and (block := file.read(min(left, BLOCK_BYTES))):
                self.wfile.write(block)
                left -= len(block)
        if left:  # the file became shorter meanwhile
            self.close_connection = True

    def _range(self, size: int) -> tuple[int, int, HTTPStatus]:
        """First and last byte that are asked for; all where that cannot be read."""
        asked = RANGE.match(self.headers.get("Range", ""))
        whole = 0, size - 1, HTTPStatus.OK
        if asked is None or asked[1] == asked[2] == "":
            return whole
        if asked[1] == "":
            first, last = max(0, size - int(asked[2])), size - 1
        else:
            first, last = int(asked[1]), min(int(asked[2] or size - 1), size - 1)
        return (first, last, HTTPStatus.PARTIAL_CONTENT) if first <= last else whole
