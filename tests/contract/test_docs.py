"""The documentation fits the tree: what it links to, names and shows exists."""

import dataclasses
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from closefit.cli.app import app
from closefit.config import Config

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CHANGELOG.md")]
    + [page for folder in ("docs", "weights") for page in (ROOT / folder).glob("*.md")]
)
LONGEST_LINE = 110

OTHER_TOOLS = {"--write_json", "--keypoint_scale"}  # OpenPose

pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").is_dir(), reason="an installed closefit has no documentation beside it"
)
each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)


@each_page
def test_lines_are_short(page: Path) -> None:
    """Except in the generated table of settings, whose rows list all values that are allowed."""
    lines = page.read_text(encoding="utf-8").splitlines()
    too_long = [n for n, line in enumerate(lines, 1) if len(line) > LONGEST_LINE]
    assert [n for n in too_long if page.name != "settings.md" or lines[n - 1][:3] != "| `"] == []


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


@each_page
def test_commands_and_options_exist(page: Path) -> None:
    wrong = []
    commands = _commands()
    everywhere = OTHER_TOOLS.union(*commands.values(), _benchmark_options())
    for code in _code(page):
        options = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", code))
        for words in re.findall(r"(?:^|\s|/)closefit ([a-z][a-z-]*(?: [a-z]+)?)", code):
            name = words if words in commands else words.split()[0]
            if name not in commands:
                wrong.append(code)
            elif not options <= commands[name]:
                wrong.append(f"{name}: {sorted(options - commands[name])}")
        if code.startswith("--") and not options <= everywhere:
            wrong.append(code)
    assert wrong == []


@each_page
def test_settings_exist(page: Path) -> None:
    known = {
        f"{section.name}.{field.name}"
        for section in dataclasses.fields(Config)
        if dataclasses.is_dataclass(value := getattr(Config(), section.name))
        for field in dataclasses.fields(value)
    }
    sections = "|".join({name.split(".")[0] for name in known})
    pattern = rf"(?:^|--set )((?:{sections})\.[a-z]\w*)(?:=\S*)?(?:$|\s)"
    found = {name for code in _code(page) for name in re.findall(pattern, code)}
    assert {name for name in found if not name.endswith((".npz", ".py"))} - known == set()


@each_page
def test_files_and_names_of_the_package_exist(page: Path) -> None:
    missing = []
    for code in _code(page, blocks=False):
        if re.fullmatch(r"[\w/]+\.py", code):
            found = any(path.as_posix().endswith(f"/{code}") for path in _sources())
        elif match := re.fullmatch(r"(closefit(?:\.\w+)+)(?:\(.*\))?", code):
            found = _is_a_name(match[1].split("."))
        elif re.fullmatch(r"(closefit|docs|benchmarks|tests|weights)/[\w/.-]*", code):
            found = (ROOT / code).exists()
        else:
            continue
        if not found:
            missing.append(code)
    assert missing == []


def _code(page: Path, blocks: bool = True) -> list[str]:
    """Inline code and, with `blocks`, each line of the code blocks, continued lines joined."""
    text = page.read_text(encoding="utf-8")
    fenced = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", fenced.sub("", text))]
    if not blocks:
        return inline
    lines = "\n".join(fenced.findall(text)).splitlines()
    lines += re.findall(r"^ {4}.*$", fenced.sub("", text).replace("\\\n", " "), re.MULTILINE)
    return inline + [line.split("#")[0].strip() for line in lines]


def _anchors(page: Path) -> set[str]:
    """The anchors that the headings of a page get."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@cache
def _commands() -> dict[str, set[str]]:
    """The options of each command; those of a group as `group command`."""

    def walk(command: Any, name: str) -> dict[str, set[str]]:
        given = [(*parameter.opts, *parameter.secondary_opts) for parameter in command.params]
        options = {option for names in given for option in names}
        found = {name: options | {"--help"}}
        for inner in getattr(command, "commands", {}).values():
            found |= walk(inner, f"{name} {inner.name}".strip())
        return found

    return walk(get_command(app), "")


@cache
def _benchmark_options() -> set[str]:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.py"))
    return set(re.findall(r'"(--[a-z][\w-]*)"', text))


@cache
def _sources() -> list[Path]:
    folders = ("closefit", "benchmarks", "tests", "weights")
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def _is_a_name(parts: list[str]) -> bool:
    """Whether dotted `parts` are a module of the package or a name in one."""
    for count in range(len(parts), 0, -1):
        module = ROOT.joinpath(*parts[:count])
        path = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            return count == len(parts) or re.search(rf"\b{parts[count]}\b", text) is not None
    return False
