"""Nothing in the package loads a file in a way that could run code from it.

The source is read, not run: a call that is reached only on a GPU counts too.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import closefit

PACKAGE = Path(closefit.__file__).parent
READER = "imports/pickle_machine.py"
"""The one module that reads pickles: it interprets them itself, without Python's unpickler."""

REQUIRED = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "np.savez": ("allow_pickle", False),
    "np.savez_compressed": ("allow_pickle", False),
}
"""Calls, and the argument that makes them safe; it has to be written out."""

FORBIDDEN_CALLS = frozenset(
    {
        *("pickle.load", "pickle.loads", "pickle.Unpickler", "cPickle.load", "dill.load"),
        *("joblib.load", "pd.read_pickle", "torch.hub.load", "torch.jit.load", "marshal.loads"),
        *("torch.package.PackageImporter", "shelve.open", "eval", "exec", "yaml.load"),
    }
)
FORBIDDEN_IMPORTS = frozenset({"joblib", "dill", "cloudpickle", "shelve", "marshal"})
FORBIDDEN_ARGUMENTS = frozenset({"trust_remote_code"})


def problems_in(source: str, name: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        where = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            if FORBIDDEN_IMPORTS & {module.split(".")[0] for module in modules}:
                yield f"{where} imports an unpickler"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        arguments = {argument.arg: argument.value for argument in node.keywords}
        if called in FORBIDDEN_CALLS:
            yield f"{where} calls {called}"
        if FORBIDDEN_ARGUMENTS & arguments.keys():
            yield f"{where} lets {called} run code from a model's folder"
        if called in REQUIRED:
            argument, value = REQUIRED[called]
            given = arguments.get(argument)
            if not (isinstance(given, ast.Constant) and given.value is value):
                yield f"{where} calls {called} without {argument}={value}"


def test_every_load_is_safe() -> None:
    sources = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*.py")}
    assert READER in sources
    found = [
        problem
        for name, path in sorted(sources.items())
        for problem in problems_in(path.read_text(encoding="utf-8"), name)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.savez(path, **arrays)",
        "pickle.load(file)",
        "import joblib",
        "from dill import load",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    assert len(list(problems_in(line, "some/module.py"))) == 1


def test_ultralytics_loads_only_known_classes() -> None:
    """YOLO's files are pickles: besides their pinned hashes, its own safe mode is switched on."""
    source = (PACKAGE / "perception" / "detectors" / "yolo.py").read_text(encoding="utf-8")
    assert 'ULTRALYTICS_SAFE_LOAD="true"' in source
