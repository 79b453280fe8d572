"""Files without a published hash are checked by their structure."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from closefit.models import weights
from closefit.models.file_formats import CHECKS, format_problem


def _safetensors(path: Path) -> None:
    save_file({"weight": np.arange(100.0)}, path)


def _numpy_archive(path: Path) -> None:
    np.savez(path, weight=np.arange(100.0))


def _json(path: Path) -> None:
    path.write_text('{"model_type": "tiny"}')


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.safetensors": _safetensors,
    "a.npz": _numpy_archive,
    "a.json": _json,
}


@pytest.mark.parametrize("name", WRITERS)
def test_intact_files_pass(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    assert format_problem(tmp_path / name) is None


@pytest.mark.parametrize("name", WRITERS)
def test_cut_files_do_not(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for length in (len(content) // 2, len(content) - 1):
        (tmp_path / name).write_bytes(content[:length])
        assert format_problem(tmp_path / name) is not None


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("other", WRITERS)
def test_no_kind_passes_for_another(tmp_path: Path, name: str, other: str) -> None:
    WRITERS[other](tmp_path / other)
    (tmp_path / other).replace(tmp_path / name)
    assert (format_problem(tmp_path / name) is None) == (name == other)


@pytest.mark.parametrize("name", [*WRITERS, "a.bin"])
@pytest.mark.parametrize(
    "page", [b"", b"<!DOCTYPE html><p>Log in", b"\xef\xbb\xbf\n <HTML><body>", b"<html></html>"]
)
def test_empty_files_and_web_pages_never_pass(tmp_path: Path, name: str, page: bytes) -> None:
    (tmp_path / name).write_bytes(page)
    assert format_problem(tmp_path / name) in ("it is empty", "it is a web page")


def test_a_broken_part_of_an_archive_is_found(tmp_path: Path) -> None:
    _numpy_archive(tmp_path / "a.npz")
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[200] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(content)
    assert format_problem(tmp_path / "a.npz") == "its part `weight.npy` is broken"


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    """An archive whose pickle would call a function is only looked at."""

    class Calls:
        def __reduce__(self) -> object:
            return (Path.touch, (tmp_path / "called",))

    np.savez(tmp_path / "a.npz", weight=np.array([Calls()], dtype=object))
    assert format_problem(tmp_path / "a.npz") is None
    assert not (tmp_path / "called").exists()


def test_every_file_of_the_manifest_has_a_hash_or_a_format_that_can_be_checked() -> None:
    for model in weights.manifest().values():
        for file in (*model.files, *model.wanted):
            assert file.sha256 or Path(file.name).suffix in CHECKS, file.name
            assert file.member is None or file.size, file.name  # bounds what is unpacked
