"""Fetching models from real servers that fail, from mirrors, from folders, by several processes."""

import itertools
import os
import shutil
import signal
import socketserver
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from benchmarks.fault_injection import HASTY, Fault, FaultyServer
from benchmarks.fault_injection import run as inject_faults
from closefit.errors import (
    ConfigError,
    DiskFullError,
    OutputFolderError,
    WeightsDamagedError,
    WeightsError,
    WeightsMissingError,
)
from closefit.events import ALL_FILES, Event, Notice, Transferred
from closefit.models import downloads, transfer, weights
from closefit.models.delivery import Patience
from closefit.models.weights import Hub, Model, ModelFile

CONTENT = np.random.default_rng(0).bytes(200_000)
WEIGHTS = save({"weight": np.arange(30_000.0)})
CONFIG = b'{"model_type": "tiny"}'

CALM = replace(HASTY, read_s=20.0)
"""For tests that count requests: a busy machine must not look like a server that is stuck."""

Serve = Callable[..., FaultyServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server: `serve(files, plan)`; all end with the test."""
    with ExitStack() as stack:

        def start(files: Mapping[str, bytes], plan: Iterable[Fault | None] = ()) -> FaultyServer:
            return stack.enter_context(FaultyServer(files, plan).running())

        yield start


@pytest.fixture(autouse=True)
def _hub_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def tiny(name: str = "tiny", content: bytes = CONTENT, **facts: object) -> Model:
    file = {"name": f"{name}.bin", "sha256": sha256(content).hexdigest(), "size": len(content)}
    return _entry(name, files=(ModelFile(**{**file, **facts}),))  # type: ignore[arg-type]


def tiny_hub(pinned: bool = True) -> Model:
    files = {"config.json": CONFIG, "model.safetensors": WEIGHTS}
    return _entry(
        "tiny-hub",
        hub=Hub(
            repo="nobody/tiny-hub",
            revision="a1b2c3",
            files=tuple(
                ModelFile(name=name, sha256=sha256(content).hexdigest() if pinned else "")
                for name, content in files.items()
            ),
        ),
    )


def _entry(name: str, **facts: object) -> Model:
    return Model(
        name=name,
        purpose="tests",
        stages=("track",),
        licence="CC0-1.0",
        commercial_use="yes",
        **facts,  # type: ignore[arg-type]
    )


def _ignore(event: Event) -> None:
    del event


def _fetch(
    model: Model, folder: Path, source: str | None, emit=_ignore, patience: Patience = CALM
) -> Path:
    return downloads.fetch_all([model], folder, emit, source, patience)[model.name]


def _visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


class TestServersThatFail:
    def test_a_good_one_gets_one_request(self, serve: Serve, tmp_path: Path) -> None:
        server = serve({"tiny.bin": CONTENT})
        path = _fetch(tiny(), tmp_path, server.address + "/")
        assert path == tmp_path / "tiny.bin"
        assert path.read_bytes() == CONTENT
        assert os.listdir(tmp_path) == ["tiny.bin"]
        assert server.record.requests == 1

    @pytest.mark.parametrize("fault", [Fault.DROP, Fault.IGNORE_RANGE])
    def test_an_interrupted_download_goes_on_where_it_stopped(
        self, serve: Serve, tmp_path: Path, fault: Fault
    ) -> None:
        server = serve({"tiny.bin": CONTENT}, [Fault.DROP, fault])
        assert _fetch(tiny(), tmp_path, server.address).read_bytes() == CONTENT
        record = server.record
        assert (record.requests, record.ranges, record.interrupted, record.lost) == (3, 2, 2, 0)

    @pytest.mark.parametrize(
        "fault", [f for f in Fault if f not in (Fault.NOT_FOUND, Fault.LOST_REDIRECT)]
    )
    def test_each_passing_fault_is_survived(
        self, serve: Serve, tmp_path: Path, fault: Fault
    ) -> None:
        server = serve({"tiny.bin": CONTENT}, [fault])
        assert _fetch(tiny(), tmp_path, server.address).read_bytes() == CONTENT
        assert os.listdir(tmp_path) == ["tiny.bin"]

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (Fault.REFUSE, "the connection broke off"),
            (Fault.TRUNCATE, "the server sends 100000 bytes instead of 200000"),
            (Fault.WRONG_PART, "the server sends from byte 1 instead of 0"),
            (Fault.TOO_MANY, "the server returns 429"),
            (Fault.UNAVAILABLE, "the server returns 503"),
            (Fault.WEB_PAGE, "a web page came instead of the file"),
            (Fault.WRONG_BYTES, "its SHA-256 is"),
            (Fault.NOT_FOUND, "has no `tiny.bin`"),
            (Fault.LOST_REDIRECT, "has no `tiny.bin`"),
        ],
    )
    def test_a_lasting_fault_is_one_sentence_and_installs_nothing(
        self, serve: Serve, tmp_path: Path, fault: Fault, reason: str
    ) -> None:
        server = serve({"tiny.bin": CONTENT}, itertools.repeat(fault))
        with pytest.raises(WeightsError) as error:
            _fetch(tiny(), tmp_path, server.address)
        assert reason in error.value.message
        assert "\n" not in error.value.message
        assert error.value.exit_code == 5
        assert "--from" in error.value.hint or "report" in error.value.hint
        assert os.listdir(tmp_path) == []

    def test_a_command_that_gave_up_is_continued_by_the_next(
        self, serve: Serve, tmp_path: Path
    ) -> None:
        plan = [Fault.DROP, *[Fault.UNAVAILABLE] * HASTY.attempts]
        server = serve({"tiny.bin": CONTENT}, plan)
        with pytest.raises(WeightsError, match="returns 503") as error:
            _fetch(tiny(), tmp_path, server.address)
        assert "it goes on after the" in error.value.hint
        assert _visible(tmp_path) == []
        assert _fetch(tiny(), tmp_path, server.address).read_bytes() == CONTENT
        assert server.record.lost == 0
        assert os.listdir(tmp_path) == ["tiny.bin"]

    def test_a_server_that_is_stuck_gets_a_new_request(self, serve: Serve, tmp_path: Path) -> None:
        server = serve({"tiny.bin": CONTENT}, [Fault.STALL])
        path = _fetch(tiny(), tmp_path, server.address, patience=replace(HASTY, read_s=0.3))
        assert path.read_bytes() == CONTENT
        assert server.record.ranges >= 1
        assert server.record.lost == 0

    def test_a_server_may_request_a_pause(self, serve: Serve, tmp_path: Path) -> None:
        server = serve({"tiny.bin": CONTENT}, [Fault.TOO_MANY])
        server.retry_after = "1"
        started = time.monotonic()
        _fetch(tiny(), tmp_path, server.address)
        assert time.monotonic() - started >= 1.0

    @pytest.mark.parametrize("retry_after", ["4000", "Fri, 31 Dec 2999 23:59:59 GMT"])
    def test_but_not_for_too_long_a_one(
        self, serve: Serve, tmp_path: Path, retry_after: str
    ) -> None:
        server = serve({"tiny.bin": CONTENT}, [Fault.TOO_MANY])
        server.retry_after = retry_after
        with pytest.raises(WeightsError, match="returns 429 with a retry after"):
            _fetch(tiny(), tmp_path, server.address)

    def test_nobody_listens(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="the connection is refused"):
            _fetch(tiny(), tmp_path, "http://127.0.0.1:9")
        with pytest.raises(WeightsError, match="name cannot be resolved"):
            _fetch(tiny(), tmp_path, "http://nobody.invalid")

    def test_without_a_known_size_a_cut_file_is_noticed(self, serve: Serve, tmp_path: Path) -> None:
        """Neither size nor hash is in the manifest: only the file's own header shows it."""
        server = serve({"tiny.safetensors": WEIGHTS}, [Fault.TRUNCATE])
        model = _entry("tiny", files=(ModelFile(name="tiny.safetensors"),))
        assert _fetch(model, tmp_path, server.address).read_bytes() == WEIGHTS
        assert server.record.requests == 2

    def test_parts_of_different_versions_are_never_joined(
        self, serve: Serve, tmp_path: Path
    ) -> None:
        """No hash shows it: only the server can state that it has another file by now."""
        other = save({"weight": -np.arange(30_000.0)})
        server = serve(
            {"tiny.safetensors": WEIGHTS}, [Fault.DROP, *[Fault.UNAVAILABLE] * HASTY.attempts]
        )
        model = _entry("tiny", files=(ModelFile(name="tiny.safetensors"),))
        with pytest.raises(WeightsError, match="503"):
            _fetch(model, tmp_path, server.address)
        server.files["tiny.safetensors"] = other
        assert _fetch(model, tmp_path, server.address).read_bytes() == other

    def test_an_untrusted_certificate(self, tmp_path: Path) -> None:
        with _https_server(tmp_path) as address, pytest.raises(WeightsError) as error:
            _fetch(tiny(), tmp_path / "target", address)
        assert "the certificate of `localhost:" in error.value.message
        assert "self-signed" in error.value.message
        assert "REQUESTS_CA_BUNDLE" in error.value.hint

    @pytest.mark.parametrize("content", [None, "no certificate\n"])
    def test_certificates_that_are_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
    ) -> None:
        bundle = tmp_path / "proxy.pem"
        if content is not None:
            bundle.write_text(content)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        with pytest.raises(
            ConfigError, match=r"REQUESTS_CA_BUNDLE is `.*proxy\.pem`, but there are"
        ):
            _fetch(tiny(), tmp_path / "target", "https://127.0.0.1:9")
        assert not (tmp_path / "target").exists()

    def test_200_injected_faults(self, tmp_path: Path) -> None:
        figures = inject_faults(tmp_path, faults=200, seed=7)
        assert sum(figures.faults.values()) == 200
        assert min(figures.faults.values()) >= 16
        assert figures.corrupt == 0
        assert figures.interrupted >= 40
        assert figures.resumed == figures.interrupted
        assert figures.ranges >= figures.interrupted


QUICK = replace(HASTY, read_s=5.0, slow_s=0.4, attempts=2)
"""For servers that would never come to an end."""


class TestHostileServers:
    def test_a_body_longer_than_announced_is_cut_at_the_known_size(self, tmp_path: Path) -> None:
        with _raw_server(b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT, forever=bytes(1 << 20)) as address:
            path = _fetch(tiny(), tmp_path / "right", address, patience=QUICK)
            assert path.read_bytes() == CONTENT
            with pytest.raises(WeightsDamagedError, match="its SHA-256 is"):
                _fetch(tiny(sha256="0" * 64), tmp_path / "wrong", address, patience=QUICK)
        assert os.listdir(tmp_path / "wrong") == []

    def test_a_body_of_unknown_size_is_bounded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transfer, "MAX_BYTES", 3_000_000)
        model = _entry("tiny", files=(ModelFile(name="tiny.bin"),))
        with (
            _raw_server(b"HTTP/1.0 200 OK\r\n\r\n", forever=bytes(1 << 20)) as address,
            pytest.raises(WeightsError, match="sends more than"),
        ):
            _fetch(model, tmp_path, address, patience=QUICK)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize(
        "head",
        [
            "200 OK\r\nContent-Length: \u00b2",
            "200 OK\r\nContent-Length: -5",
            "200 OK\r\nContent-Length: 1e9",
            "200 OK\r\nContent-Length: " + "9" * 5000,
            "206 Partial Content\r\nContent-Range: bytes \u00b2-3/4",
            "206 Partial Content\r\nContent-Range: bytes 0-1/" + "9" * 5000,
            "206 Partial Content",
            "429 Too Many Requests\r\nRetry-After: \u00b2",
            "429 Too Many Requests\r\nRetry-After: " + "9" * 5000,
            "302 Found\r\nLocation: http://[::1",
            "302 Found\r\nLocation: \u00b2\u00ff",
            "200 OK\r\nContent-Encoding: gzip",
            "200 OK\r\nTransfer-Encoding: chunked",
            "\u00b2",
        ],
    )
    def test_odd_headers_end_in_a_file_or_in_a_sentence(self, tmp_path: Path, head: str) -> None:
        response = f"HTTP/1.1 {head}\r\n\r\n".encode("latin-1") + CONTENT
        with _raw_server(response) as address, suppress(WeightsError):
            path = _fetch(tiny(), tmp_path, address, patience=QUICK)
            assert path.read_bytes() == CONTENT
        assert set(os.listdir(tmp_path)) <= {"tiny.bin", f"{downloads.PREFIX}tiny"}

    @pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:,a"])
    def test_redirects_lead_to_the_web_only(self, tmp_path: Path, target: str) -> None:
        response = f"HTTP/1.0 302 Found\r\nLocation: {target}\r\n\r\n".encode()
        with (
            _raw_server(response) as address,
            pytest.raises(WeightsError, match=f"redirects to `{target}`"),
        ):
            _fetch(tiny(), tmp_path, address, patience=QUICK)
        assert os.listdir(tmp_path) == []

    def test_redirects_end(self, tmp_path: Path) -> None:
        """The body of a redirect, here an endless one, is never read."""
        response = b"HTTP/1.0 302 Found\r\nLocation: /again\r\n\r\n"
        with (
            _raw_server(response, forever=bytes(1 << 20)) as address,
            pytest.raises(WeightsError, match="redirects more than 10 times"),
        ):
            _fetch(tiny(), tmp_path, address, patience=replace(QUICK, slow_s=10.0))

    def test_an_encrypted_download_stays_encrypted(
        self, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain = serve({"tiny.bin": CONTENT})

        class Redirect(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(302)
                self.send_header("Location", f"{plain.address}/tiny.bin")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
        with (
            _https_server(tmp_path, Redirect) as address,
            pytest.raises(WeightsError, match="redirects to `http:"),
        ):
            _fetch(tiny(), tmp_path / "target", address)
        assert plain.record.requests == 0

    @pytest.mark.parametrize(
        ("head", "trickle", "reason"),
        [
            (b"", b"H", "the server sends nothing any more"),
            (b"HTTP/1.0 200 OK\r\nX: ", b"x", "the server sends nothing any more"),
            (b"HTTP/1.0 302 Found\r\nX: ", b"x", "the server sends nothing any more"),
            (b"HTTP/1.0 200 OK\r\n\r\n", b"x", r"only \d+ bytes came in"),
        ],
    )
    def test_one_byte_now_and_then_is_not_enough(
        self, tmp_path: Path, head: bytes, trickle: bytes, reason: str
    ) -> None:
        started = time.monotonic()
        with (
            _raw_server(head, forever=trickle, pause_s=0.02) as address,
            pytest.raises(WeightsError, match=reason),
        ):
            _fetch(tiny(), tmp_path, address, patience=QUICK)
        assert time.monotonic() - started < 20

    def test_parts_that_cannot_be_continued_are_removed(self, serve: Serve, tmp_path: Path) -> None:
        server = serve({"tiny.bin": CONTENT}, [Fault.DROP, *[Fault.UNAVAILABLE] * HASTY.attempts])
        with pytest.raises(WeightsError, match="503"):
            _fetch(tiny(sha256=""), tmp_path, server.address)
        assert os.listdir(tmp_path) == []


class TestPlantedLinks:
    """Somebody who can write to the weights folder must not lead a download elsewhere."""

    @pytest.fixture
    def victim(self, tmp_path: Path) -> Iterator[Path]:
        victim = tmp_path / "victim"
        victim.write_bytes(b"precious")
        yield victim
        assert victim.read_bytes() == b"precious"

    @pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
    @pytest.mark.parametrize(
        "place",
        ["tiny.bin", ".closefit-download-tiny/tiny.bin", ".closefit-download-tiny.lock"],
    )
    def test_a_file(
        self, serve: Serve, tmp_path: Path, victim: Path, place: str, plant: Callable[..., None]
    ) -> None:
        server = serve({"tiny.bin": CONTENT})
        link = tmp_path / "target" / place
        link.parent.mkdir(parents=True)
        plant(link, victim)
        try:
            path = _fetch(tiny(), tmp_path / "target", server.address)
        except OutputFolderError:
            assert place.endswith(".lock")  # a link instead of a lock is refused
            assert plant is Path.symlink_to
        else:
            assert path.read_bytes() == CONTENT
            assert not path.is_symlink()
            assert path.stat().st_nlink == 1

    @pytest.mark.parametrize("place", ["", "tiny-hub", "replaced"])
    def test_a_folder(self, serve: Serve, tmp_path: Path, place: str) -> None:
        server = serve({"tiny-hub/config.json": CONFIG, "tiny-hub/model.safetensors": WEIGHTS})
        elsewhere, private = tmp_path / "elsewhere", tmp_path / "target/.closefit-download-tiny-hub"
        elsewhere.mkdir()
        (elsewhere / "config.json").write_bytes(b"precious")
        link = private / place if place else private
        link.parent.mkdir(parents=True)
        link.symlink_to(elsewhere)
        path = _fetch(tiny_hub(), tmp_path / "target", server.address)
        assert (path / "config.json").read_bytes() == CONFIG
        assert not path.is_symlink()
        assert {file.name: file.read_bytes() for file in elsewhere.iterdir()} == {
            "config.json": b"precious"
        }
        assert os.listdir(tmp_path / "target") == ["tiny-hub"]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
    def test_a_folder_of_another_user_is_refused(self, serve: Serve, tmp_path: Path) -> None:
        private = tmp_path / ".closefit-download-tiny"
        private.mkdir(mode=0o777)
        os.chown(private, 12345, 12345)
        with pytest.raises(OutputFolderError, match="belongs to another user"):
            _fetch(tiny(), tmp_path, serve({"tiny.bin": CONTENT}).address)


class TestSources:
    def test_the_publisher(self, serve: Serve, tmp_path: Path) -> None:
        server = serve({"somewhere/file": CONTENT})
        model = tiny(url=f"{server.address}/somewhere/file?version=1")
        assert _fetch(model, tmp_path, None) == tmp_path / "tiny.bin"

    def test_a_file_inside_its_publishers_archive(self, serve: Serve, tmp_path: Path) -> None:
        archive = _zip({"a/model.bin": CONTENT, "b/other": b"else"})
        server = serve({"pack.zip": archive}, [Fault.DROP])
        facts = {
            "url": f"{server.address}/pack.zip",
            "archive_sha256": sha256(archive).hexdigest(),
        }
        path = _fetch(tiny(member="a/model.bin", **facts), tmp_path, None)
        assert path.read_bytes() == CONTENT
        assert os.listdir(tmp_path) == ["tiny.bin"]
        for member in ("a/none", "b/other"):
            with pytest.raises(WeightsDamagedError, match=f"`{member}` in"):
                _fetch(tiny(member=member, **facts), tmp_path / member[2:], None)
            assert os.listdir(tmp_path / member[2:]) == []

    def test_the_model_hub(
        self, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As the hub does it: a path with the revision, and a redirect to where the file lies."""
        server = serve({"blobs/1": CONFIG, "blobs/2": WEIGHTS}, [None, Fault.DROP])
        base = "nobody/tiny-hub/resolve/a1b2c3"
        server.redirects = {
            f"{base}/config.json": "blobs/1",
            f"{base}/model.safetensors": "blobs/2",
        }
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        path = _fetch(tiny_hub(), tmp_path, None)
        assert path == tmp_path / "tiny-hub"
        assert (path / "model.safetensors").read_bytes() == WEIGHTS
        assert sorted(os.listdir(path)) == ["config.json", "model.safetensors"]
        assert os.listdir(tmp_path) == ["tiny-hub"]
        assert server.record.lost == 0

    def test_a_hub_that_the_environment_forbids(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(WeightsError, match="HF_HUB_OFFLINE forbids it"):
            _fetch(tiny_hub(), tmp_path, None)

    @pytest.mark.parametrize("base", ["tiny-hub", "nobody/tiny-hub/resolve/a1b2c3"])
    def test_a_mirror_of_hub_folders(self, serve: Serve, tmp_path: Path, base: str) -> None:
        server = serve({f"{base}/config.json": CONFIG, f"{base}/model.safetensors": WEIGHTS})
        path = _fetch(tiny_hub(pinned=False), tmp_path, server.address)
        assert (path / "model.safetensors").read_bytes() == WEIGHTS

    def test_files_of_a_folder_that_are_here_are_not_requested_again(
        self, serve: Serve, tmp_path: Path
    ) -> None:
        server = serve({"tiny-hub/config.json": CONFIG})
        with pytest.raises(WeightsMissingError, match=r"model\.safetensors"):
            _fetch(tiny_hub(), tmp_path, server.address)
        server.files = {"tiny-hub/model.safetensors": WEIGHTS}
        path = _fetch(tiny_hub(), tmp_path, server.address)
        assert sorted(os.listdir(path)) == ["config.json", "model.safetensors"]
        assert server.record.requests == 2

    def test_a_mirror_that_has_the_second_alternative(self, serve: Serve, tmp_path: Path) -> None:
        server = serve({"second.bin": CONTENT})
        model = _entry("tiny", files=(ModelFile(name="first.bin"), ModelFile(name="second.bin")))
        assert _fetch(model, tmp_path, server.address) == tmp_path / "second.bin"

    @pytest.mark.parametrize("as_address", [False, True])
    def test_a_folder(self, tmp_path: Path, as_address: bool) -> None:
        source = tmp_path / "usb stick"
        source.mkdir()
        (source / "tiny.bin").write_bytes(CONTENT)
        named = source.as_uri() if as_address else str(source)
        assert _fetch(tiny(), tmp_path / "target", named).read_bytes() == CONTENT
        assert os.listdir(tmp_path / "target") == ["tiny.bin"]

    @pytest.mark.parametrize(
        "place",
        [
            "tiny-hub",
            "nobody/tiny-hub",
            "models--nobody--tiny-hub/snapshots/a1b2c3",
            "hub/models--nobody--tiny-hub/snapshots/another",
        ],
    )
    def test_a_folder_of_the_hub(self, tmp_path: Path, place: str) -> None:
        """In a cache of the hub's client the files are links to blobs."""
        blobs, snapshot = tmp_path / "blobs", tmp_path / "source" / place
        blobs.mkdir()
        snapshot.mkdir(parents=True)
        for name, content in {"config.json": CONFIG, "model.safetensors": WEIGHTS}.items():
            (blobs / name).write_bytes(content)
            (snapshot / name).symlink_to(blobs / name)
        path = _fetch(tiny_hub(), tmp_path / "target", str(tmp_path / "source"))
        assert (path / "model.safetensors").read_bytes() == WEIGHTS
        assert not (path / "model.safetensors").is_symlink()

    def test_a_folder_with_another_file_of_that_name(self, tmp_path: Path) -> None:
        (tmp_path / "tiny.bin").write_bytes(b"something else")
        with pytest.raises(WeightsDamagedError, match="14 bytes instead of 200000"):
            _fetch(tiny(), tmp_path / "target", str(tmp_path))
        assert os.listdir(tmp_path / "target") == []

    def test_a_folder_without_the_file_or_none_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsMissingError, match=r"has no `tiny\.bin`"):
            _fetch(tiny(), tmp_path / "target", str(tmp_path))
        with pytest.raises(WeightsError, match="there is no folder"):
            _fetch(tiny(), tmp_path / "target", str(tmp_path / "none"))
        with pytest.raises(ConfigError, match="neither a folder nor an address"):
            _fetch(tiny(), tmp_path / "target", "ftp://example.org/weights")
        with pytest.raises(WeightsError, match="cannot download `http://"):
            _fetch(tiny(), tmp_path / "target", "http://[::1/weights")

    def test_an_entry_without_a_source(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="`tiny` cannot be downloaded: the manifest names"):
            _fetch(tiny(), tmp_path / "target", None)
        assert os.listdir(tmp_path / "target") == []

    def test_smpl_explains_itself(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="has to be fetched by hand") as error:
            _fetch(weights.get("smpl"), tmp_path / "target", None)
        for word in ("the free body is used", "register at", "closefit import-smpl FILE"):
            assert word in error.value.hint


class TestSeveralModels:
    def test_they_come_at_the_same_time(self, serve: Serve, tmp_path: Path) -> None:
        names = ("a", "b", "c", "d")
        server = serve({f"{name}.bin": CONTENT for name in names})
        server.pace_s = 30.0
        models = [tiny(name) for name in names]
        under_way: set[str] = set()

        def listen(event: Event) -> None:
            """Let the server go on once every file has begun."""
            if isinstance(event, Transferred) and event.name != ALL_FILES:
                under_way.add(event.name)
                if len(under_way) == len(names):
                    server.hurry.set()

        started = time.monotonic()
        paths = downloads.fetch_all(models, tmp_path, listen, server.address, CALM)
        assert time.monotonic() - started < 20
        assert [paths[name].read_bytes() == CONTENT for name in names] == [True] * 4

    def test_one_that_fails_does_not_keep_the_others_away(
        self, serve: Serve, tmp_path: Path
    ) -> None:
        server = serve({"a.bin": CONTENT})
        models = [tiny("a"), tiny("b"), tiny("c")]
        with pytest.raises(WeightsError, match=r"`b`: .* has no `b\.bin`; `c`: .* has no `c\.bin`"):
            downloads.fetch_all(models, tmp_path, _ignore, server.address, CALM)
        assert os.listdir(tmp_path) == ["a.bin"]

    def test_a_reason_that_they_share_is_reported_once(self, tmp_path: Path) -> None:
        models = [tiny("a"), tiny("b")]
        with pytest.raises(WeightsError) as error:
            downloads.fetch_all(models, tmp_path, _ignore, "http://127.0.0.1:9", CALM)
        assert error.value.message == "cannot fetch `a`, `b`: the connection is refused"

    def test_what_is_intact_stays_and_what_is_damaged_is_set_aside(
        self, serve: Serve, tmp_path: Path
    ) -> None:
        server = serve({"a.bin": CONTENT, "b.bin": CONTENT})
        (tmp_path / "a.bin").write_bytes(CONTENT)
        (tmp_path / "b.bin").write_bytes(b"damaged")
        downloads.fetch_all([tiny("a"), tiny("b")], tmp_path, _ignore, server.address, CALM)
        assert (tmp_path / "b.bin").read_bytes() == CONTENT
        assert (tmp_path / "b.bin.damaged").read_bytes() == b"damaged"
        assert server.record.requests == 1

    def test_one_that_is_named_twice_comes_once(self, serve: Serve, tmp_path: Path) -> None:
        server = serve({"a.bin": CONTENT})
        downloads.fetch_all([tiny("a"), tiny("a")], tmp_path, _ignore, server.address, CALM)
        assert server.record.requests == 1

    def test_a_damaged_folder_is_set_aside(self, serve: Serve, tmp_path: Path) -> None:
        server = serve({"tiny-hub/config.json": CONFIG, "tiny-hub/model.safetensors": WEIGHTS})
        (tmp_path / "tiny-hub").mkdir()
        (tmp_path / "tiny-hub" / "model.safetensors").write_bytes(b"damaged")
        (tmp_path / "tiny-hub.damaged").mkdir()
        path = _fetch(tiny_hub(), tmp_path, server.address)
        assert (path / "model.safetensors").read_bytes() == WEIGHTS
        names = ["tiny-hub", "tiny-hub.damaged", "tiny-hub.damaged-2"]
        assert sorted(os.listdir(tmp_path)) == names
        assert (tmp_path / names[-1] / "model.safetensors").read_bytes() == b"damaged"

    def test_weights_of_ones_own_are_never_replaced(self, serve: Serve, tmp_path: Path) -> None:
        server = serve({"tiny-hub/config.json": CONFIG, "tiny-hub/model.safetensors": WEIGHTS})
        own = save({"weight": np.zeros(5)})
        (tmp_path / "tiny-hub").mkdir()
        (tmp_path / "tiny-hub" / "config.json").write_bytes(CONFIG)
        (tmp_path / "tiny-hub" / "model.safetensors").write_bytes(own)
        events: list[Event] = []
        path = _fetch(tiny_hub(), tmp_path, server.address, events.append)
        assert (path / "model.safetensors").read_bytes() == own
        assert server.record.requests == 0
        assert any("holds weights of your own" in getattr(e, "text", "") for e in events)

    def test_name_size_licence_and_progress_are_reported(
        self, serve: Serve, tmp_path: Path
    ) -> None:
        files = {"tiny-hub/config.json": CONFIG, "tiny-hub/model.safetensors": WEIGHTS}
        server = serve({"a.bin": CONTENT, **files})
        events: list[Event] = []
        models = [tiny("a"), tiny_hub()]
        downloads.fetch_all(models, tmp_path, events.append, server.address, CALM)
        notices = [event.text for event in events if isinstance(event, Notice)]
        assert any("`a` (tests), 0.2 MB; licence: CC0-1.0" in text for text in notices)
        progress = [event for event in events if isinstance(event, Transferred)]
        last = {event.name: event for event in progress}
        assert last["a.bin"] == Transferred("a.bin", len(CONTENT), len(CONTENT))
        assert last["tiny-hub/model.safetensors"].done == len(WEIGHTS)
        everything = len(CONTENT) + len(CONFIG) + len(WEIGHTS)
        assert last[ALL_FILES] == Transferred(ALL_FILES, everything, everything)
        arrived = [event.done for event in progress if event.name == ALL_FILES]
        assert arrived == sorted(arrived)


class TestDisks:
    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for folder in (tmp_path / "file" / "target", Path("/proc/closefit")):
            with pytest.raises(OutputFolderError, match="cannot write to") as error:
                _fetch(tiny(), folder, str(tmp_path))
            assert "--weights DIR" in error.value.hint

    def test_too_little_space_is_reported_before_anything_is_fetched(
        self, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = serve({"tiny.bin": CONTENT})
        usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
        with pytest.raises(DiskFullError, match="has 1 MB left, but 10 MB are needed"):
            _fetch(tiny(), tmp_path, server.address)
        assert server.record.requests == 0

    def test_a_disk_that_fills_up(self, serve: Serve, tmp_path: Path) -> None:
        """A limit on the size of files stops the write just as a full disk does."""
        server = serve({"tiny.bin": CONTENT})
        limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
        result = _start(tmp_path, server.address, before=limit)
        _, stderr = result.communicate(timeout=60)
        assert result.returncode == 10, stderr
        assert "no space left to write to" in stderr
        assert "Traceback" not in stderr
        assert _visible(tmp_path) == []
        assert _fetch(tiny(), tmp_path, server.address).read_bytes() == CONTENT
        assert server.record.ranges == 1


class TestProcesses:
    def test_a_killed_one_is_continued(self, serve: Serve, tmp_path: Path) -> None:
        server = serve({"tiny.bin": CONTENT})
        server.pace_s = 0.5
        process = _start(tmp_path, server.address)
        part = tmp_path / f"{downloads.PREFIX}tiny" / "tiny.bin"
        _wait_until(lambda: part.is_file() and part.stat().st_size > 0)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert _visible(tmp_path) == []
        server.hurry.set()
        assert _fetch(tiny(), tmp_path, server.address).read_bytes() == CONTENT
        assert server.record.ranges == 1
        assert os.listdir(tmp_path) == ["tiny.bin"]

    def test_two_at_once_download_once(self, serve: Serve, tmp_path: Path) -> None:
        server = serve({"tiny.bin": CONTENT})
        server.pace_s = 10.0
        first = _start(tmp_path, server.address)
        _wait_until(lambda: server.record.requests > 0)
        second = _start(tmp_path, server.address)
        assert second.stderr is not None
        assert "another closefit fetches `tiny`" in second.stderr.readline()
        server.hurry.set()
        outputs = [process.communicate(timeout=60) for process in (first, second)]
        assert [first.returncode, second.returncode] == [0, 0], outputs
        assert server.record.requests == 1
        assert os.listdir(tmp_path) == ["tiny.bin"]
        assert (tmp_path / "tiny.bin").read_bytes() == CONTENT

    def test_an_interrupt_ends_it_at_once_and_keeps_what_is_there(
        self, serve: Serve, tmp_path: Path
    ) -> None:
        server = serve({"tiny.bin": CONTENT})
        server.pace_s = 5.0  # much longer than a busy machine takes to deliver a signal
        process = _start(tmp_path, server.address)
        part = tmp_path / f"{downloads.PREFIX}tiny" / "tiny.bin"
        _wait_until(lambda: part.is_file() and part.stat().st_size > 0)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        _, stderr = process.communicate(timeout=60)
        assert time.monotonic() - started < 10
        server.hurry.set()
        assert process.returncode == 130, stderr
        assert "run the same command again" in stderr
        assert _visible(tmp_path) == []
        assert part.stat().st_size > 0


def _start(folder: Path, source: str, before: str = "") -> "subprocess.Popen[str]":
    """Start `closefit download-weights tiny` with a manifest of one tiny model."""
    (file,) = tiny().files
    script = (
        # Tests that a shell started in the background inherit that interrupts are ignored.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"{before}\n"
        "from closefit.cli import main as cli\n"
        "from closefit.models import weights\n"
        f"file = weights.ModelFile(name={file.name!r}, sha256={file.sha256!r}, size={file.size})\n"
        "model = weights.Model(name='tiny', purpose='tests', stages=('track',),\n"
        "    licence='CC0-1.0', commercial_use='yes', files=(file,))\n"
        "weights.manifest = lambda: {'tiny': model}\n"
        "cli.main()\n"
    )
    arguments = ["download-weights", "tiny", "--weights", str(folder), "--from", source]
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_until(true: Callable[[], bool], patience_s: float = 30.0) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def _zip(members: Mapping[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@contextmanager
def _raw_server(response: bytes, forever: bytes = b"", pause_s: float = 0.0) -> Iterator[str]:
    """Address of a server that sends `response` to every request, then `forever` without end."""
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            request = b""
            while b"\r\n\r\n" not in request:
                request += self.request.recv(4096)
            with suppress(OSError):
                self.request.sendall(response)
                while forever and not over.wait(pause_s):
                    self.request.sendall(forever)

    with _QuietServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        over.set()
        server.shutdown()
        thread.join()


@contextmanager
def _https_server(
    folder: Path, handler: type[SimpleHTTPRequestHandler] = SimpleHTTPRequestHandler
) -> Iterator[str]:
    """Address of a server with a certificate that nobody has signed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the program openssl to make a certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with _QuietServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"https://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what the test is about."""
