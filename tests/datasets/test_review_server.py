"""The review server: who is answered, what of the disk is given, what becomes of a decision."""

import http.client
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from closefit.batch.folder import REVIEWS, BatchFolder
from closefit.datasets import reviews as reviews_module
from closefit.datasets.ranking import score_of
from closefit.datasets.review.desk import Desk
from closefit.datasets.review.server import ReviewServer
from closefit.datasets.reviews import Reviews
from tests.batch_folder import FRAMES, make_batch

CLIPS = ("sure", "doubtful", "near half", "far", "with warnings")
WORDS = {
    "doubtful": {"quality": {"confidence": [0.1, 0.9]}},
    "near half": {"quality": {"score": 0.45, "reasons": ["jitter"]}},
    "far": {"quality": {"score": 0.99}},
    "with warnings": {"warnings": ["the focal length is assumed"]},
}
MOST_TELLING_FIRST = ["near half", "far", "with warnings", "doubtful", "sure"]


@pytest.fixture
def batch(tmp_path: Path, results: Path) -> BatchFolder:
    return make_batch(tmp_path / "batch", results, CLIPS, WORDS)


@pytest.fixture
def server(batch: BatchFolder) -> Iterator[ReviewServer]:
    server = ReviewServer(Desk(batch.root), 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def send(
    server: ReviewServer, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    if method == "POST":
        headers.setdefault("Content-Type", "application/json")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, content, named)
    answer = connection.getresponse()
    found = answer.status, dict(answer.headers), answer.read()
    connection.close()
    return found


def ask(server: ReviewServer, what: str, **content: object) -> dict:
    status, _, body = send(server, "POST", f"/api/{what}", content)
    assert status == 200, body
    found: dict = json.loads(body)
    return found


def decide(server: ReviewServer, reviewer: str, clip: dict, verdict: str, **more: object) -> dict:
    of_clip = {"clip": clip["key"], "result": clip["result"]}
    return ask(server, "review", reviewer=reviewer, verdict=verdict, **of_clip, **more)


def test_the_most_telling_clip_comes_first(server: ReviewServer) -> None:
    shown = ask(server, "next", reviewer="anna")
    found = []
    while shown["clip"] is not None:
        assert shown["upcoming"] is None or shown["upcoming"]["name"] != shown["clip"]["name"]
        found.append(shown["clip"]["name"])
        shown = decide(server, "anna", shown["clip"], "accept")
    assert found == MOST_TELLING_FIRST
    assert shown["counts"] == {
        "clips": 5, "mine": 5, "accepted": 5, "rejected": 0, "reviewed": 5,
    }  # fmt: skip


def test_two_reviewers_share_the_work_and_then_check_each_other(server: ReviewServer) -> None:
    shown = {name: ask(server, "next", reviewer=name) for name in ("anna", "ben")}
    found: dict[str, list[str]] = {"anna": [], "ben": []}
    for step in range(10):
        name = ("anna", "ben")[step % 2]
        clip = shown[name]["clip"]
        found[name].append(clip["name"])
        assert clip["mine"] is None
        shown[name] = decide(server, name, clip, "reject" if name == "ben" else "accept")
    assert not set(found["anna"][:3]) & set(found["ben"][:2]), "both did the same at first"
    assert sorted(found["anna"]) == sorted(found["ben"]) == sorted(CLIPS)


def test_later_back_and_taking_back(server: ReviewServer) -> None:
    first = ask(server, "next", reviewer="anna")["clip"]
    second = ask(server, "skip", reviewer="anna", clip=first["key"])["clip"]
    assert second["name"] != first["name"]
    decide(
        server, "anna", second, "accept", first=2, last=9, identity=True, note="a <b> \u2028 note"
    )
    again = ask(server, "clip", reviewer="anna", clip=second["key"])["clip"]
    assert again["mine"] == {
        "verdict": "accept", "first": 2, "last": 9, "identity": True, "note": "a <b> \u2028 note",
    }  # fmt: skip
    taken_back = ask(
        server, "review", reviewer="anna", verdict=None, clip=second["key"], result=second["result"]
    )
    assert taken_back["counts"]["mine"] == 0
    names = []
    shown = taken_back
    while shown["clip"] is not None:
        names.append(shown["clip"]["name"])
        shown = decide(server, "anna", shown["clip"], "reject")
    assert names[-1] == first["name"], "what was put off comes last"


def test_a_result_that_was_made_anew_is_shown_again(
    server: ReviewServer, batch: BatchFolder
) -> None:
    clip = ask(server, "next", reviewer="anna")["clip"]
    decide(server, "anna", clip, "accept")
    records, _ = batch.records()
    records[clip["name"]]["finished"] = "2026-12-01T00:00:00+00:00"
    batch.index.replace(records.values())
    shown = ask(server, "next", reviewer="anna")
    assert (shown["clip"]["name"], shown["counts"]["mine"]) == (clip["name"], 0)
    old = {"reviewer": "anna", "clip": clip["key"], "result": clip["result"], "verdict": "reject"}
    status, _, body = send(server, "POST", "/api/review", old)
    assert (status, "done again" in json.loads(body)["error"]) == (400, True)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", {"Host": "evil.example"}),
        ("GET", "/", {"Host": "evil.example:8090"}),
        ("GET", "/", {"Host": "127.0.0.1.evil.example"}),
        ("GET", "/", {"Origin": "http://evil.example"}),
        ("GET", "/", {"Sec-Fetch-Site": "cross-site"}),
        ("POST", "/api/next", {"Origin": "null"}),
        ("POST", "/api/next", {"Origin": "http://127.0.0.1:1"}),
        ("POST", "/api/next", {"Content-Type": "text/plain"}),
        ("POST", "/api/next", {"Content-Type": "application/x-www-form-urlencoded"}),
    ],
)
def test_other_pages_and_other_names_are_refused(
    server: ReviewServer, method: str, path: str, headers: dict[str, str]
) -> None:
    status, _, body = send(server, method, path, {"reviewer": "anna"}, **headers)
    assert status == 403
    assert b"clip" not in body


def test_its_own_page_is_answered_also_through_a_tunnel(server: ReviewServer) -> None:
    for host in ("127.0.0.1:7000", "localhost:7000"):
        headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert send(server, "POST", "/api/next", {"reviewer": "a"}, **headers)[0] == 200


def test_only_film_and_report_of_finished_clips_are_given(
    server: ReviewServer, batch: BatchFolder, tmp_path: Path
) -> None:
    key = ask(server, "next", reviewer="anna")["clip"]["key"]
    status, headers, body = send(server, "GET", f"/clips/{key}/film.mp4")
    assert (status, headers["Content-Type"]) == (200, "video/mp4")
    status, headers, part = send(server, "GET", f"/clips/{key}/film.mp4", Range="bytes=10-19")
    assert (status, part, headers["Content-Range"]) == (
        206, body[10:20], f"bytes 10-19/{len(body)}",
    )  # fmt: skip
    assert send(server, "GET", f"/clips/{key}/film.mp4", Range="bytes=-7")[2] == body[-7:]
    status, headers, _ = send(server, "GET", f"/clips/{key}/report.html")
    assert (status, headers["Content-Security-Policy"].split(";")[0]) == (
        200, "sandbox allow-scripts",
    )  # fmt: skip
    for path in (
        f"/clips/{key}/run.json",
        f"/clips/{key}/../../reviews.sqlite",
        f"/clips/{key}/..%2f..%2freviews.sqlite",
        "/clips/../film.mp4",
        "/clips/near%20half/film.mp4",
        "//etc/passwd",
        "/index.jsonl",
    ):
        assert send(server, "GET", path)[0] in (400, 404), path
    secret = tmp_path / "secret.html"
    secret.write_text("secret")
    report = batch.results("near half") / "report.html"
    report.unlink()
    report.symlink_to(secret)
    assert send(server, "GET", f"/clips/{key}/report.html")[0] == 400
    assert ask(server, "next", reviewer="anna")["clip"]["has_report"] is False


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        {},
        {"reviewer": ""},
        {"reviewer": "x" * 300},
        {"reviewer": ["anna"]},
        {"reviewer": "anna", "verdict": "perhaps"},
        {"reviewer": "anna", "verdict": "accept", "first": -1},
        {"reviewer": "anna", "verdict": "accept", "first": 9, "last": 3},
        {"reviewer": "anna", "verdict": "accept", "note": 7},
        {"reviewer": "anna", "verdict": "accept", "clip": "nobody"},
    ],
)
def test_what_is_no_decision_is_refused(
    server: ReviewServer, batch: BatchFolder, content: object
) -> None:
    if isinstance(content, dict):
        clip = ask(server, "next", reviewer="ben")["clip"]
        content = {"clip": clip["key"], "result": clip["result"], **content}
    status, _, body = send(server, "POST", "/api/review", content)
    assert (status, len(json.loads(body)["error"]) > 5) == (400, True)
    assert not (batch.root / REVIEWS).exists()


def test_too_long_a_request_is_not_read(server: ReviewServer) -> None:
    assert send(server, "POST", "/api/next", {"reviewer": "x" * 100_000})[0] == 400
    assert send(server, "POST", "/api/next", b"", Content_Length="-1")[0] == 400


def test_a_locked_database_costs_no_decision(
    server: ReviewServer, batch: BatchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is a sentence; the same decision goes through when the lock is gone."""
    import sqlite3

    clip = ask(server, "next", reviewer="anna")["clip"]
    decide(server, "ben", clip, "reject")
    monkeypatch.setattr(reviews_module, "PATIENCE_S", 0.05)
    holder = sqlite3.connect(batch.root / REVIEWS, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    wanted = {"reviewer": "anna", "clip": clip["key"], "result": clip["result"]}
    status, _, body = send(server, "POST", "/api/review", {**wanted, "verdict": "accept"})
    assert (status, "locked" in json.loads(body)["error"]) == (503, True)
    holder.execute("ROLLBACK")
    holder.close()
    decide(server, "anna", clip, "accept")
    assert {one.reviewer for one in Reviews(batch.root / REVIEWS).latest()} == {"anna", "ben"}


def test_a_folder_that_is_gone_or_damaged_is_explained(
    server: ReviewServer, batch: BatchFolder
) -> None:
    (batch.results("near half") / "run.json").write_text("{")
    clip = ask(server, "next", reviewer="anna")["clip"]
    assert (clip["name"], "run.json" in clip["problem"]) == ("near half", True)
    shutil.rmtree(batch.results("near half"))
    clip = ask(server, "next", reviewer="anna")["clip"]
    assert (clip["has_film"], clip["has_report"]) == (False, False)
    assert clip["frames"] == FRAMES or clip["frames"] is not None


def test_a_name_that_is_no_text_is_reviewed(tmp_path: Path, results: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    folder = make_batch(tmp_path / "batch", results, [name])
    desk = Desk(folder.root)
    clip = desk.next_clip("anna")["clip"]
    after = desk.decide(
        {"reviewer": "anna", "clip": clip["key"], "result": clip["result"], "verdict": "accept"}
    )
    assert after["clip"] is None
    assert [one.clip for one in desk.reviews.latest()] == [name]


@pytest.mark.parametrize(
    "quality", [{}, {"score": None}, {"score": True}, {"score": 1.2}, {"score": "high"}]
)
def test_what_is_no_score_is_none(quality: dict[str, object]) -> None:
    assert score_of(quality) is None


def test_folders_that_cannot_be_reviewed(tmp_path: Path, results: Path, invoke) -> None:
    def refused(folder: Path) -> str:
        result = invoke("dataset", "review", folder, "--port", "0")
        assert (result.exit_code, "hint:" in result.stderr) == (6, True)
        return str(result.stderr)

    assert "not the folder of a batch" in refused(tmp_path / "nothing")
    empty = BatchFolder(tmp_path / "empty")
    empty.create()
    empty.write_plan({}, [])
    assert "no finished clip" in refused(empty.root)
    batch = make_batch(tmp_path / "batch", results, ["hug"])
    (batch.root / REVIEWS).write_bytes(b"no database" * 100)
    assert "reviews.sqlite" in refused(batch.root)


def test_a_taken_port_is_named(server: ReviewServer, batch: BatchFolder, invoke) -> None:
    result = invoke("dataset", "review", batch.root, "--port", server.server_address[1])
    assert (result.exit_code, "--port" in result.stderr) == (4, True)
