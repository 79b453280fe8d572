"""What pyproject.toml requires is imported, and what is imported is required."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
IMPORT_NAMES = {"opencv-python": "cv2", "pillow": "PIL", "usd-core": "pxr", "warp-lang": "warp"}
"""Packages that are imported under a name which their own name does not give."""

IMPORTED_BY_OTHERS = {
    "torchvision": "torchmetrics.functional.image.lpips",
}
"""Requirements that only a third party imports, and the module that does."""

BUILD_SCRIPTS = ROOT / "weights"


@pytest.fixture(scope="module")
def project() -> dict[str, object]:
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("needs the project's own files")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def import_name(requirement: str) -> str:
    name = Requirement(requirement).name
    return IMPORT_NAMES.get(name, name.replace("-", "_"))


def imports_of(path: Path) -> Iterator[str]:
    return imported_by(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imported_by(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def third_parties(folder: Path) -> set[str]:
    names = {name.split(".")[0] for path in folder.rglob("*.py") for name in imports_of(path)}
    return names - {"closefit"} - sys.stdlib_module_names


def test_every_requirement_is_imported(project) -> None:
    required = {import_name(one) for one in project["dependencies"]}
    imported = third_parties(ROOT / "closefit")
    assert required - imported == set(IMPORTED_BY_OTHERS)


@pytest.mark.parametrize("name", IMPORTED_BY_OTHERS)
def test_the_named_third_party_imports_it(name: str) -> None:
    top, *inner = IMPORTED_BY_OTHERS[name].split(".")
    spec = find_spec(top)
    assert spec is not None
    assert spec.origin is not None
    module = Path(spec.origin).parent.joinpath(*inner).with_suffix(".py")
    assert name in {imported.split(".")[0] for imported in imports_of(module)}


def test_every_extra_is_imported(project) -> None:
    """`dev` holds the tools of the Makefile and what tests compare with."""
    imported = third_parties(ROOT / "closefit") | third_parties(BUILD_SCRIPTS)
    for extra, requirements in project["optional-dependencies"].items():
        if extra != "dev":
            assert {import_name(one) for one in requirements} <= imported, extra


def test_every_import_is_declared(project) -> None:
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *(one for extra in extras.values() for one in extra)]
    names = {import_name(one) for one in declared} | {"tomllib"}
    assert third_parties(ROOT / "closefit") <= names


def test_extras_are_imported_only_inside_functions(project) -> None:
    """The package can be imported without them."""
    required = {import_name(one) for one in project["dependencies"]}
    extras = project["optional-dependencies"].values()
    optional = {import_name(one) for extra in extras for one in extra} - required
    for path in (ROOT / "closefit").rglob("*.py"):
        top = ast.parse(path.read_text(encoding="utf-8")).body
        nodes = [node for node in top if isinstance(node, (ast.Import, ast.ImportFrom))]
        assert not {name.split(".")[0] for name in imported_by(nodes)} & optional, path


def test_the_installed_versions_meet_the_requirements(project) -> None:
    for text in project["dependencies"]:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate():
            assert metadata.version(requirement.name) in requirement.specifier, text


def test_every_minimum_version_is_stated(project) -> None:
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *(one for extra in extras.values() for one in extra)]
    assert all(re.search(r">=\d", one) for one in declared)
