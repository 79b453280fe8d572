"""The surface of the command line: what it offers, how much it imports, where it is described."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from closefit import __version__
from closefit.cli.app import app

PROJECT = Path(__file__).resolve().parents[2]

SETTINGS = {
    "--preset", "--perception", "--observations", "--device", "--weights", "--offline", "--seed",
    "--max-input-size",
    "--fov", "--focal", "--camera", "--start", "--end", "--physics", "--config", "--set",
    "--people", "--corrections", "--init-from",
}  # fmt: skip

FLAGS = {
    "run": SETTINGS | {"--out", "--from", "--until", "--force", "--json", "--verbose"},
    "batch": SETTINGS
    | {"--out", "--from", "--until", "--force", "--jobs", "--threads", "--gpu-share", "--retries"}
    | {"--ray-address", "--retry-failed", "--split-shots", "--together"},
    "batch status": {"--json"},
    "dataset review": {"--port"},
    "dataset export": {
        "--out", "--format", "--pixels", "--splits", "--name", "--scene", "--json",
    },
    "dataset verify": {"--json"},
    "stage": SETTINGS | {"--out", "--preview", "--force", "--json", "--verbose"},
    "status": {"--json"},
    "report": set(),
    "view": {"--host", "--port", "--share", "--weights"},
    "doctor": {"--weights", "--json"},
    "demo": {"--out", "--frames", "--device", "--weights", "--seed", "--json", "--verbose"},
    "evaluate": {"--truth", "--truth-body", "--joints", "--max-input-size", "--json"},
    "benchmark": SETTINGS
    | {"--out", "--split", "--view", "--rows", "--joints", "--jobs", "--threads", "--retry-failed"}
    | {"--json"},
    "download-weights": {"--list", "--from", "--weights", "--json"},
    "import-smpl": {"--weights", "--max-input-size"},
    "train-prior": {
        "--out", "--validate", "--start-from", "--steps", "--batch", "--seed", "--device",
        "--devices", "--nodes", "--config", "--set",
    },
    "prior prepare": {
        "--out", "--mirror", "--retime", "--exclude", "--generate", "--unit", "--seed",
        "--weights", "--max-input-size", "--json",
    },
    "prior sample": {
        "--out", "--count", "--frames", "--given", "--person", "--prior", "--seed", "--weights",
        "--max-input-size", "--json",
    },
}  # fmt: skip
"""The whole surface: changed only on purpose, and then in README and CHANGELOG too."""


def _commands(group: Any, prefix: str = "") -> dict[str, Any]:
    """Commands by name, those of groups as `group command`."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found |= {prefix + name: command} if inner is None else _commands(command, f"{name} ")
    return found


COMMANDS = _commands(get_command(app))


def test_the_commands_and_their_flags_are_these() -> None:
    found = {
        name: {
            next(option for option in parameter.opts if option.startswith("--"))
            for parameter in command.params
            if parameter.param_type_name == "option"
        }
        - {"--help"}
        for name, command in COMMANDS.items()
    }
    assert found == FLAGS


@pytest.mark.parametrize("name", FLAGS)
def test_every_command_and_option_has_help(invoke, name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    lacking = [parameter.name for parameter in command.params if not parameter.help]
    assert lacking == []
    result = invoke(*name.split(), "--help")
    assert result.exit_code == 0
    assert all(flag in result.stdout for flag in FLAGS[name])


@pytest.mark.parametrize("name", FLAGS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"closefit {name}" in (PROJECT / "README.md").read_text(encoding="utf-8")


def test_python_runs_the_package_as_the_program() -> None:
    command = [sys.executable, "-m", "closefit", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, f"closefit {__version__}\n")


def test_version(invoke) -> None:
    result = invoke("--version")
    assert (result.exit_code, result.stdout) == (0, f"closefit {__version__}\n")


def test_help_imports_little() -> None:
    """A measure of its speed that does not depend on how busy the machine is."""
    script = (
        "import sys\nsys.argv = ['closefit', '--help']\n"
        "from closefit.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(len(sys.modules), *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "Commands" in result.stdout, result.stderr
    count, *packages = result.stdout.splitlines()[-1].split()
    assert int(count) < 500  # about 450, most of them typer's and rich's
    assert not {"torch", "numpy", "scipy", "numba", "requests", "PIL"} & set(packages)


def test_no_arguments_show_the_help(invoke) -> None:
    result = invoke()
    assert "Commands" in result.stdout + result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["run"],
        ["run", "--what", "clip.mp4"],
        ["stage", "melt", "out"],
    ],
)
def test_wrong_usage_exits_with_2(invoke, arguments: list[str]) -> None:
    assert invoke(*arguments).exit_code == 2
