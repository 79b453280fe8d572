"""Spoil one file: by its bytes, or by what its format means. All draws come from one `Random`."""

import io
import json
import os
import pickle
import random
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Mutator = Callable[[random.Random, Path], str]
"""Changes the file in place; returns what it did in some words."""

ODD_NUMBERS = (
    "0", "-1", "1e300", "-1e300", "1e-320", "9" * 30, "9" * 5000, "-0.0", "0.5", "1e5",
    "2147483648", "9223372036854775808", "NaN", "Infinity", "-Infinity",
)  # fmt: skip
ODD_TEXTS = (
    '""', '"\\u0000"', '"\\u001b[31mred\\u001b]0;title\\u0007"', '"1e5"', '"../../etc/passwd"',
    '"' + "x" * 5000 + '"', '"\\ud800"', '"~nobody/x"', '"2024-01-01"', '"²"', '"\\u202eabc"',
    '"<script>odd()</script><img src=x onerror=odd()>"', '"`${odd} {odd()} [a](javascript:odd())"',
)  # fmt: skip
ODD_VALUES = (
    *ODD_NUMBERS, *ODD_TEXTS, "null", "true", "[]", "{}", "[[]]", "[null]",
    "[" * 5000 + "]" * 5000, '{"a":' * 3000 + "1" + "}" * 3000,
)  # fmt: skip


def flip_bits(draw: random.Random, path: Path) -> str:
    """Flip one bit or some."""
    content = bytearray(path.read_bytes())
    count = draw.choice((1, 1, 2, 8, 64))
    for _ in range(min(count, len(content))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    return f"{count} bits flipped"


def cut(draw: random.Random, path: Path) -> str:
    """Keep the first part."""
    content = path.read_bytes()
    length = draw.choice(
        (0, 1, len(content) // 2, max(len(content) - 1, 0), draw.randint(0, len(content)))
    )
    path.write_bytes(content[:length])
    return f"cut to {length} bytes"


def splice(draw: random.Random, path: Path) -> str:
    """Copy, repeat or zero a block, or put random bytes in."""
    content = path.read_bytes()
    start, end = sorted(draw.randint(0, len(content)) for _ in range(2))
    block = draw.choice((
        content[start:end] * 2, bytes(end - start), draw.randbytes(draw.choice((1, 16, 300))),
        struct.pack("<q", draw.choice((0, -1, 2**31, 2**62))),
    ))  # fmt: skip
    path.write_bytes(content[:start] + block + content[end:])
    return f"bytes {start} to {end} replaced"


def become(draw: random.Random, path: Path) -> str:
    """Replace the file by something that no file of this name should be."""
    kind = draw.choice(
        ("folder", "fifo", "loop", "zero", "null", "missing", "proc", "huge", "locked")
    )
    if kind == "locked":
        path.chmod(0)
        return "rights taken"
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if kind == "folder":
        path.mkdir()
        (path / "inside").touch()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "huge":
        with open(path, "wb") as file:
            file.truncate(20 << 30)
    elif kind != "missing":
        path.symlink_to(
            {"loop": path, "zero": "/dev/zero", "null": "/dev/null", "proc": "/proc/self/mem"}[kind]
        )
    return f"replaced: {kind}"


def json_value(draw: random.Random, path: Path) -> str:
    """Replace, drop, repeat or add values anywhere in a JSON document."""
    try:
        content = json.loads(path.read_text())
    except ValueError:
        return flip_bits(draw, path)
    marks: dict[str, str] = {}
    did = [_change_node(draw, content, marks) for _ in range(draw.choice((1, 1, 2, 5)))]
    if draw.random() < 0.03:
        content, did = draw.choice(([], {}, None, 7, "text")), ["document replaced"]
    text = json.dumps(content)
    for mark, odd in marks.items():
        text = text.replace(f'"{mark}"', odd)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return ", ".join(did)


def _change_node(draw: random.Random, content: Any, marks: dict[str, str]) -> str:
    node, place = content, []
    while isinstance(node, dict | list) and node:
        key = draw.choice(list(node)) if isinstance(node, dict) else draw.randrange(len(node))
        inner, place = node[key], [*place, key]
        if not (isinstance(inner, dict | list) and inner) or draw.random() < 0.2:
            break
        node = inner
    if not place:
        return "nothing to change"
    name = ".".join(map(str, place))[:60]
    act = draw.random()
    if act < 0.12:
        del node[place[-1]]
        return f"{name} dropped"
    if act < 0.2 and isinstance(node, list):
        node.extend([node[place[-1]]] * draw.choice((1, 50, 3000)))
        return f"{name} repeated"
    mark = f"MARK{len(marks)}"
    marks[mark] = draw.choice(ODD_VALUES)
    if act < 0.28 and isinstance(node, dict):
        node["odd"] = mark
        return f"beside {name}: {marks[mark][:24]}"
    node[place[-1]] = mark
    return f"{name} = {marks[mark][:24]}"


def text_token(draw: random.Random, path: Path) -> str:
    """Replace a word, or drop, repeat or swap lines, of a text file."""
    lines = path.read_text(errors="replace").split("\n")
    did = []
    for _ in range(draw.choice((1, 1, 3))):
        number = draw.randrange(len(lines))
        if draw.random() < 0.5:
            number = min(number, draw.randrange(30))  # headers come first
        number = min(number, len(lines) - 1)
        act = draw.random()
        if act < 0.1:
            lines[number : number + 1] = []
            lines = lines or [""]
        elif act < 0.2:
            lines[number:number] = [lines[number]] * draw.choice((1, 100))
        else:
            words = re.split(r"([\s,=]+)", lines[number])
            word = draw.randrange(len(words))
            words[word] = (
                draw.choice(ODD_VALUES).strip('"')
                if act < 0.8
                else draw.choice(("{", "}", '"', "[", "-"))
            )
            lines[number] = "".join(words)
        did.append(f"line {number + 1}")
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    return f"{', '.join(did)} changed"


def npz_array(draw: random.Random, path: Path) -> str:
    """Change one array of an `.npz`: values, kind of number, shape, or that it is there."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError):
        return flip_bits(draw, path)
    key = draw.choice(list(arrays))
    array, did = arrays[key], f"{key}: "
    if key == "__meta__" and draw.random() < 0.7:
        text = path.with_suffix(".json-of-meta")
        text.write_text(str(array))
        did += json_value(draw, text)
        arrays[key] = np.array(text.read_text(errors="replace"))
        text.unlink()
    elif draw.random() < 0.1:
        del arrays[key]
        did += "dropped"
    else:
        act, change = draw.choice(list(ARRAY_CHANGES.items()))
        arrays[key] = change(draw, array)
        did += act
    np.savez(path, **arrays, allow_pickle=True)
    return did


def _with_values(*values: float) -> Callable[[random.Random, np.ndarray], np.ndarray]:
    def change(draw: random.Random, array: np.ndarray) -> np.ndarray:
        kind = array.dtype if array.dtype.kind == "f" else np.float64
        changed = np.array(
            array.astype(kind) if array.dtype.kind in "fiub" else np.zeros(array.shape)
        )
        flat = changed.reshape(-1)
        if flat.size:
            start = draw.randrange(flat.size)
            with np.errstate(all="ignore"):
                flat[start : start + draw.choice((1, 7, flat.size))] = draw.choice(values)
        if array.dtype.kind in "iu" and draw.random() < 0.5:
            with np.errstate(all="ignore"):
                return changed.astype(array.dtype)
        return changed

    return change


ARRAY_CHANGES: dict[str, Callable[[random.Random, np.ndarray], np.ndarray]] = {
    "nan or inf": _with_values(np.nan, np.inf, -np.inf),
    "huge": _with_values(1e300, -1e300, 1e20, 2.0**63, 2.0**40),
    "tiny": _with_values(1e-320, 0.0, -0.0, 1e-8),
    "odd": _with_values(-1, 0.5, 1e5, -1e5, 2**31),
    "complex": lambda _, a: a.astype(complex) if a.dtype.kind in "fiub" else a,
    "text": lambda _, a: a.astype(str),
    "objects": lambda _, a: a.astype(object),
    "dates": lambda _, a: np.full(a.shape, np.datetime64("2024-01-01")),
    "bytes": lambda _, a: np.full(a.shape, b"x"),
    "other width": lambda d, a: a.astype(d.choice(("f2", "f4", "f8", ">f8", "i1", "u8", "?")))
    if a.dtype.kind in "fiub" else a,
    "structured": lambda _, a: np.zeros(a.shape, [("x", "f4")]),
    "no entries": lambda _, a: a[:0] if a.ndim else np.array([]),
    "scalar": lambda *_: np.array(0.0),
    "one axis more": lambda _, a: a[None],
    "an axis less": lambda _, a: a[0] if a.ndim and len(a) else a,
    "transposed": lambda _, a: a.T,
    "longer": lambda _, a: np.concatenate([a, a]) if a.ndim else a,
    "shorter": lambda _, a: a[:-1] if a.ndim else a,
    "many": lambda *_: np.zeros(2_000_000, np.float32),
}  # fmt: skip


def npz_container(draw: random.Random, path: Path) -> str:
    """Change the zip around the arrays, or the header of one."""
    content = path.read_bytes()
    if not zipfile.is_zipfile(path):
        return splice(draw, path)
    kind = draw.choice(("encrypted", "twice", "claims", "nested", "pickled", "strange names"))
    if kind == "encrypted":
        path.write_bytes(
            content.replace(b"PK\x01\x02\x14\x00\x14\x00\x00", b"PK\x01\x02\x14\x00\x14\x00\x01")
        )
        return kind
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    number = draw.randrange(len(entries))
    name, data = entries[number]
    if kind == "twice":
        entries.append((name, data[: len(data) // 2]))
    elif kind == "claims":
        shape = draw.choice(
            (b"(1000000000000,)", b"(99999, 99999, 99)", b"(-1,)", b"(1e9,)", b"(" * 500)
        )
        entries[number] = name, re.sub(rb"'shape': \([^)]*\)", b"'shape': " + shape, data)
    elif kind == "nested":
        entries[number] = name, content
    elif kind == "pickled":
        entries[number] = name, pickle.dumps(_Call(os.system, "touch executed"))
    else:
        entries[number] = (
            draw.choice(("../" * 5 + "x.npy", "/x.npy", "a\x1b[31m.npy", "x" * 3000)),
            data,
        )
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return f"zip: {kind}"


class _Call:
    """Pickles as the call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


OPCODES = b"(.0123NRQabcdeghijlopqrstuV\x80\x85\x86\x87\x88\x89"
OPCODES += b"\x8a\x8c\x8f\x90\x91\x92\x93\x94\x95}])]KMJIFGXUB"


def pickle_opcode(draw: random.Random, path: Path) -> str:
    """Put opcodes into a pickle, or replace it by one that calls something."""
    if draw.random() < 0.2:
        hostile = draw.choice((
            _Call(os.system, "touch executed"), _Call(eval, "open('executed', 'w')"),
            _Call(np.ndarray, (2**40,)), _Call(bytearray, 2**40), _Call(np.zeros, 2**40), 7,
            {"v_template": [{"deep": _Call(open, "executed", "w")}]},
            _Call(getattr, "text", "upper"),
        ))  # fmt: skip
        path.write_bytes(pickle.dumps(hostile))
        return "pickle: a call"
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 2, 6))):
        place = draw.randrange(min(len(content), draw.choice((400, len(content)))) or 1)
        insert = bytes(draw.choice(OPCODES) for _ in range(draw.choice((1, 3))))
        content[place : place + draw.choice((0, 1))] = insert
    path.write_bytes(content)
    return "pickle: opcodes"


def safetensors_header(draw: random.Random, path: Path) -> str:
    """Change the JSON at the beginning of a safetensors file, or its length."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    if draw.random() < 0.15:
        path.write_bytes(
            struct.pack("<Q", draw.choice((0, 2**63, length - 1, length + 9))) + content[8:]
        )
        return "safetensors: length"
    header = path.with_name("header.json")
    described = json.loads(content[8 : 8 + length])
    deep = draw.random() < 0.6 and "__metadata__" in described
    key = next(iter(described["__metadata__"])) if deep else None
    header.write_text(described["__metadata__"][key] if deep else json.dumps(described))
    did = json_value(draw, header)
    text = header.read_text(encoding="utf-8", errors="surrogatepass")
    header.unlink()
    if deep:
        described["__metadata__"][key] = text
        text = json.dumps(described)
    data = text.encode("utf-8", errors="replace")
    path.write_bytes(struct.pack("<Q", len(data)) + data + content[8 + length :])
    return f"safetensors: {did}"


BYTES: tuple[Mutator, ...] = (flip_bits, cut, splice)
BY_SUFFIX: dict[str, tuple[Mutator, ...]] = {
    ".json": (json_value,) * 8,
    ".npz": (npz_array,) * 7 + (npz_container,) * 2,
    ".pkl": (pickle_opcode,) * 4,
    ".pth": (pickle_opcode, npz_container, splice),
    ".pt": (pickle_opcode, npz_container, splice),
    ".safetensors": (safetensors_header,) * 5,
    **dict.fromkeys((".toml", ".txt", ".bvh", ".asf", ".amc", ".ini"), (text_token,) * 8),
}


def mutate(draw: random.Random, path: Path) -> str:
    """Spoil one file by a mutator that suits it."""
    if draw.random() < 0.04:
        return become(draw, path)
    if path.is_dir():
        inside = [file for file in sorted(path.rglob("*")) if file.is_file()]
        path = draw.choice(inside)
    for _ in range(draw.choice((1, 1, 1, 2))):
        mutators = (*BYTES, *BY_SUFFIX.get(path.suffix, BYTES))
        try:
            did = draw.choice(mutators)(draw, path)
        except Exception:  # noqa: BLE001 - too spoiled to be understood, in whatever way
            did = flip_bits(draw, path)
    return f"{path.name}: {did}"
