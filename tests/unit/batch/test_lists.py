"""Lists of clips: options of each, and lines that cannot be read, by their numbers."""

import re
from pathlib import Path

import pytest

from closefit.batch.lists import OPTIONS, WORDS, read_list
from closefit.batch.record import ClipRecord
from closefit.cli.options import SETTING_OPTIONS
from closefit.errors import InputError

PAGE = Path(__file__).resolve().parents[3] / "docs" / "batch.md"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_are_called_as_the_options_of_run() -> None:
    flags = {key: option.__metadata__[0].default for key, option in SETTING_OPTIONS.items()}
    named = {flag.removeprefix("--").replace("-", "_"): key for key, flag in flags.items()}
    assert OPTIONS.items() <= named.items()
    of_a_machine = {"device", "weights", "offline", "max_input_size"}
    assert named.keys() - OPTIONS.keys() == of_a_machine


@pytest.mark.skipif(not PAGE.is_file(), reason="needs the project's own files")
def test_the_page_names_every_column_and_every_key_of_the_index() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE.read_text(encoding="utf-8")))
    assert {*WORDS, *OPTIONS, *ClipRecord.__annotations__} <= named


def test_a_table_and_lines_of_json_say_the_same(tmp_path: Path) -> None:
    table = write(
        tmp_path,
        "clips.csv",
        "\ufeffclip;name;start;end;people;focal;init-from;optimize.passes;licence;subjects\n"
        'a.mp4;hug;1;2.5;A,C;900;"x;y.npz";20;CC BY 4.0;anna, ben\n'
        "\n"
        "/else/b.mp4;;;;;;;;;\n",
    )
    lines = write(
        tmp_path,
        "clips.jsonl",
        '{"clip": "a.mp4", "name": "hug", "start": 1, "end": 2.5, "people": "A,C", "focal": 900,'
        ' "init_from": "x;y.npz", "optimize.passes": 20, "licence": "CC BY 4.0",'
        ' "subjects": "anna, ben"}\n\n'
        '{"clip": "/else/b.mp4", "focal": null}',
    )
    first, second = read_list(table, {})
    assert (first.licence, first.subjects, second.subjects) == ("CC BY 4.0", "anna, ben", None)
    assert first.values == {
        "track.start_s": 1.0,
        "track.end_s": 2.5,
        "track.people": "A,C",
        "camera.focal_px": 900.0,
        "init.init_from": str(tmp_path / "x;y.npz"),
        "optimize.passes": 20,
    }
    assert (first.clip, first.name, first.licence) == (f"{tmp_path}/a.mp4", "hug", "CC BY 4.0")
    assert (second.clip, second.values, second.name) == ("/else/b.mp4", {}, None)
    for ours, theirs in zip((first, second), read_list(lines, {}), strict=True):
        assert (ours.clip, ours.values, ours.name) == (theirs.clip, theirs.values, theirs.name)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("l.csv", "clip,fov\na.mp4,50\nb.mp4,abc\nc.mp4\n", "line 3: .*`abc`.*line 4: .*1 cells"),
        ("l.csv", 'clip,people\n"a\nb.mp4",\nc.mp4,A,B\n', "line 4: it has 3 cells"),
        ("l.csv", "clip,strat\na.mp4,1\n", "line 1: .*`strat`; the nearest is `start`"),
        ("l.csv", "clip,clip\na.mp4,1\n", "line 1: two columns"),
        ("l.csv", "name,start\na,1\n", "line 2: it names no `clip`"),
        ("l.csv", "clip,name\na.mp4,../x\n", "line 2: `name` is `../x`"),
        ("l.csv", "clip,start,end\na.mp4,5,2\n", "line 2: "),
        ("l.csv", 'clip\n"a.mp4\n', "line 2: it is no CSV"),
        ("l.csv", "clip\n", "names no clip"),
        ("l.jsonl", '{"clip": "a.mp4"}\n{"clip": \n[1]\n{"clip": 3}\n',
         "line 2: it is cut off.*line 3: it is `.1.`.*line 4: `clip` is `3`"),
        ("l.jsonl", "x\n" * 9, "line 5: .*; 4 more lines"),
        ("l.jsonl", "\x00\xff", "not JSON"),
        ("l.jsonl", "", "it is empty"),
        ("gone.csv", None, "there is no list"),
    ],
)  # fmt: skip
def test_unreadable_lines_are_named(tmp_path: Path, name: str, text: str, problem: str) -> None:
    path = tmp_path / name
    if text is not None:
        write(tmp_path, name, text)
    with pytest.raises(InputError, match=f"(?s){problem}"):
        read_list(path, {})
