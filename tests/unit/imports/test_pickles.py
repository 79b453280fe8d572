"""Hostile pickles: random opcodes, memory and time bombs, and arrays that reach outside."""

import bz2
import gzip
import lzma
import pickle
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from closefit.boundary import values
from closefit.boundary.files import input_limit, read_bytes
from closefit.boundary.values import RefusedError, numbers
from closefit.imports import pickle_machine, pickles
from closefit.imports.pickled_objects import NAMES
from closefit.imports.pickles import load_pickle, load_torch

MEMORY_BYTES = 6 << 30


def random_pickle(generator: random.Random) -> bytes:
    """Opcodes in random order, with arguments that mostly fit, and many allowed names."""
    names = list(NAMES)
    opcodes = [code for code in pickle_machine._OPCODES if code not in b"S"]
    content = b"\x80\x02"
    for _ in range(generator.randrange(1, 60)):
        choice = generator.random()
        if choice < 0.35:
            module, name = generator.choice(names)
            content += f"c{module}\n{name}\n".encode()
        elif choice < 0.7:
            content += generator.choice(PIECES)
        else:
            content += generator.choice(opcodes) + generator.randbytes(generator.randrange(3))
    return content + b"."


PIECES = (
    *(b"(", b"t", b"R", b"b", b"\x81", b")", b"]", b"}", b"s", b"u", b"a", b"e", b"\x85", b"\x86"),
    *(b"\x87", b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"0", b"2", b"N", b"K\x03", b"K\x00"),
    *(b"J\xff\xff\xff\xff", b"\x8a\x09" + b"\xff" * 8 + b"\x7f", b"C\x08" + b"A" * 8),
    *(b"X\x02\x00\x00\x00f8", b"X\x02\x00\x00\x00O8", b"X\x01\x00\x00\x00<", b"C\x00"),
    *(
        b"U\x02O8",
        b"U\x01b",
        b"\x89",
        b"\x88",
        b"X\x05\x00\x00\x00dtype",
        b"X\x05\x00\x00\x00shape",
    ),
)

FUZZ = """
import random, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
from closefit.boundary.values import RefusedError
from closefit.imports.pickles import load_pickle
from tests.unit.imports.test_pickles import damaged, random_pickle
path, read = Path(sys.argv[1]), 0
for seed in range(1500):
    generator = random.Random(seed)
    path.write_bytes(damaged(generator) if seed % 3 == 0 else random_pickle(generator))
    try:
        load_pickle(path)
        read += 1
    except RefusedError as refused:
        assert len(str(refused)) < 500, refused
print("finished", read)
"""


def damaged(generator: random.Random) -> bytes:
    """A valid file with some bytes changed."""
    value = {"a": np.arange(6.0).reshape(2, 3), "t": torch.ones(2, 2), 3: [("x", None), True]}
    content = bytearray(pickle.dumps(value, protocol=generator.choice((0, 2, 4, 5))))
    for _ in range(generator.randrange(1, 6)):
        content[generator.randrange(len(content))] = generator.randrange(256)
    return bytes(content)


def test_random_pickles_neither_crash_nor_end_in_another_error(tmp_path: Path) -> None:
    """In a process of its own, since a crash would end the tests."""
    program = FUZZ.format(memory=MEMORY_BYTES)
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.pkl"), str(root)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("finished")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pkl"]


def push(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def built_array(kind: str, data: bytes, shape: bytes = b"K\x01\x85") -> bytes:
    """An array of one value of any kind over chosen bytes, by opcodes."""
    dtype = b"cnumpy\ndtype\n" + push(kind) + b"\x89\x88\x87R"
    dtype += b"(K\x03" + push("|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
    start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    return start + b"(K\x01" + shape + dtype + b"\x89" + b"C" + bytes([len(data)]) + data + b"tb"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"cnumpy\nndarray\nK\x01\x85" + push("O") + b"C\x08AAAAAAAA\x87R.", "calls `numpy.nda"),
        (built_array("f8", b"A" * 8, b"K\x02\x85") + b".", r"shape \(2,\) with 8 bytes"),
        (built_array("f8", b"A" * 8, b"J\xff\xff\xff\xff\x85") + b".", "no possible shape"),
        (built_array("V8", b"A" * 8) + b".", "records or of an unknown type"),
        (b"]}" + b"b.", "changes a `list`"),
        (b"}" + b"))\x86K\x01s.", "with a `tuple` as a key"),
        (b"\x8a\x09" + b"\xff" * 8 + b"\x7f.", "more than 64 bits"),
        (b"L" + b"9" * 5000 + b"L\n.", "damaged"),
        (b"\x8e" + b"\xff" * 7 + b"\x0f.", "damaged"),
        (b"\x96" + b"\xff" * 7 + b"\x0f.", "damaged"),
        (b"Pname\n.", "opcode `PERSID`, which is not supported"),
        (b"\x82\x01.", "opcode `EXT1`"),
        (push("x") + b"Q.", "damaged|outside of itself"),
        (b"(" * 100_000 + b".", "damaged"),
    ],
)
def test_each_trick_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02" + content)
    with pytest.raises(RefusedError, match=reason):
        load_pickle(path)


def test_arrays_of_objects_over_chosen_bytes_have_no_values(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02" + built_array("O8", b"A" * 8) + b".")
    with pytest.raises(RefusedError, match="instead of numbers"):
        numbers(load_pickle(path), "poses", None)


def test_lists_that_contain_each_other_are_not_unfolded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2^64 numbers in 200 bytes."""
    monkeypatch.setattr(values, "MAX_LIST_VALUES", 100_000)
    laughs = b"](K\x00K\x00eq\x00" + b"".join(
        b"](" + b"h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1]) for n in range(64)
    )
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02" + laughs + b".")
    with pytest.raises(RefusedError, match="more than 100000 values"):
        numbers(load_pickle(path), "poses", *[None] * 64)
    with pytest.raises(RefusedError, match="instead of numbers"):
        numbers(load_pickle(path), "poses", None, None)


def test_deep_nesting_is_read_and_refused_where_numbers_belong(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".")
    with pytest.raises(RefusedError, match="instead of numbers"):
        numbers(load_pickle(path), "poses", None)


def test_steps_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "Budget", lambda: pickle_machine.Budget(steps=1000))
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02" + b"N\x94" * 1000 + b".")
    with pytest.raises(RefusedError, match=r"more than .* steps"):
        load_pickle(path)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zlib.compress])
def test_content_is_limited(tmp_path: Path, compress) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(compress(bytes(4 << 20)))
    with input_limit(0.001), pytest.raises(RefusedError, match="once it is decompressed, takes"):
        load_pickle(path)
    with pytest.raises(RefusedError, match="it takes"):
        read_bytes(path, 10)


def test_a_selection_repeated_for_ever_is_limited(tmp_path: Path) -> None:
    """Each of chumpy's selections takes as much memory as the array of its places."""
    places = pickle.dumps(np.zeros(1 << 20, np.int64), protocol=2)[2:-1]
    select = b"cchumpy.reordering\nSelect\n)\x81}(" + push("a") + b"h\x63"
    select += push("idxs") + b"h\x63ub"
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02" + places + b"q\x63" + select * 400 + b".")
    with pytest.raises(RefusedError, match="its content takes"):
        load_pickle(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.ones(3).to(torch.float8_e4m3fn),
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        lambda: torch.ones(3, dtype=torch.complex64).conj(),
        lambda: torch.ones(3, dtype=torch.complex64),
    ],
    ids=["float8", "sparse", "quantised", "conjugate", "complex"],
)
def test_exotic_tensors_are_refused(tmp_path: Path, make) -> None:
    tensor = make()
    torch.save({"poses": tensor}, tmp_path / "a.pt")
    with pytest.raises(RefusedError, match=r"closefit never runs|unknown"):
        load_torch(tmp_path / "a.pt")
    joblib.dump({"poses": tensor}, tmp_path / "a.pkl")
    with pytest.raises(RefusedError, match=r"closefit never runs|unknown"):
        load_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_views_of_tensors_come_out_equal(tmp_path: Path, kind: torch.dtype) -> None:
    tensor = torch.arange(24).reshape(4, 6).to(kind)[1:, ::2].T
    torch.save({"x": tensor, "p": torch.nn.Parameter(torch.ones(2))}, tmp_path / "a.pt")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"x": tensor}))
    for loaded in (load_torch(tmp_path / "a.pt"), load_pickle(tmp_path / "a.pkl")):
        np.testing.assert_array_equal(loaded["x"], tensor.double().numpy())


def test_tensors_that_reach_outside_of_their_values_are_refused(tmp_path: Path) -> None:
    torch.save({"x": torch.ones(4)}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as whole,
        zipfile.ZipFile(tmp_path / "b.pt", "w") as cut,
    ):
        for name in whole.namelist():
            content = whole.read(name)
            cut.writestr(name, content[:8] if "/data/" in name else content)
    with pytest.raises(RefusedError, match="reaches beyond its values"):
        load_torch(tmp_path / "b.pt")
