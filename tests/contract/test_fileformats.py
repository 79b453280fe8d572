"""Files that nobody has published a hash of: their own structure has to vouch for them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from closefit.models.file_formats import format_problem


def _safetensors(path: Path) -> None:
    save_file({"weight": np.arange(100.0)}, path)


def _torch_file(path: Path) -> None:
    torch.save({"weight": torch.arange(100.0)}, path)


def _numpy_archive(path: Path) -> None:
    np.savez(path, weight=np.arange(100.0))


def _json(path: Path) -> None:
    path.write_text('{"model_type": "tiny"}')


def _onnx(path: Path) -> None:
    """`ModelProto` by hand: version 8, a producer, and a graph of 300 bytes."""
    graph = bytes(300)
    path.write_bytes(b"\x08\x08" + b"\x12\x04test" + b"\x3a\xac\x02" + graph)


def _tflite(path: Path) -> None:
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(100))


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.safetensors": _safetensors,
    "a.pt": _torch_file,
    "a.pth": _torch_file,
    "a.npz": _numpy_archive,
    "a.json": _json,
    "a.onnx": _onnx,
    "a.tflite": _tflite,
}


@pytest.mark.parametrize("name", WRITERS)
def test_intact_files_pass(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    assert format_problem(tmp_path / name) is None


@pytest.mark.parametrize("name", [name for name in WRITERS if not name.endswith(".tflite")])
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
    same = {Path(name).suffix, Path(other).suffix} <= {".pt", ".pth"} or name == other
    assert (format_problem(tmp_path / name) is None) == same


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
    """A PyTorch file whose pickle would call a program is only looked at."""

    class Calls:
        def __reduce__(self) -> object:
            return (Path.touch, (tmp_path / "called",))

    torch.save(Calls(), tmp_path / "a.pt")
    assert format_problem(tmp_path / "a.pt") is None
    assert not (tmp_path / "called").exists()


def test_real_networks_pass(shared: Path) -> None:
    files = [path for path in (shared / "weights").iterdir() if path.suffix != ".md"]
    assert len(files) >= 4
    assert [format_problem(path) for path in files] == [None] * len(files)
