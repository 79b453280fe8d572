"""Lines are added whole or not at all, and damage costs no other line."""

import resource
from pathlib import Path
from typing import TypedDict

import pytest

from closefit.batch.json_lines import JsonLines
from closefit.errors import DiskFullError


class Entry(TypedDict):
    name: str


def test_what_is_added_is_read_back_in_order(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "lines")
    assert lines.read(Entry) == ([], [])
    for name in ("one", "zw\u00f6lf\u2028", "\udcff"):
        lines.append({"name": name})
    found, damaged = lines.read(Entry)
    assert [entry["name"] for entry in found] == ["one", "zw\u00f6lf\u2028", "\udcff"]
    assert damaged == []


@pytest.mark.parametrize("rest", [b'{"name": "b', b"\xff\xff\n", b"[]\n", b'{"nam": "b"}\n'])
def test_a_damaged_line_is_named_and_the_others_are_read(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b'{"name": "a"}\n' + rest)
    lines = JsonLines(path)
    found, damaged = lines.read(Entry)
    assert ([entry["name"] for entry in found], damaged) == (["a"], [2])
    lines.replace(found)
    lines.append({"name": "c"})
    assert [entry["name"] for entry in lines.read(Entry)[0]] == ["a", "c"]


def test_a_line_that_does_not_fit_on_the_disk_leaves_no_trace(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "lines")
    lines.append({"name": "a"})
    before = lines.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, hard))
    try:
        with pytest.raises(DiskFullError, match="no space left"):
            lines.append({"name": "b" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert lines.path.read_bytes() == before
