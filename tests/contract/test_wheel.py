"""An installed closefit has what it needs without a checkout beside it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a wheel installs."""
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("needs the project's own files to build a wheel")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(
        [*command, "--directory", str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_carries_the_manifest_and_every_shipped_model(installed: Path) -> None:
    shipped = {path.name for path in (installed / "closefit" / "_weights").iterdir()}
    assert {"manifest.toml", "closefit_body.npz"} <= shipped
    assert not any(name.endswith((".py", ".md")) for name in shipped)
    assert not list(installed.glob("weights/*"))


def test_an_installed_closefit_finds_them(installed: Path, tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "from closefit.models import weights\n"
        "assert weights.__file__.startswith(sys.path[0]), weights.__file__\n"
        "for name, model in weights.manifest().items():\n"
        "    if (weights.shipped_folder() / model.places[0]).exists():\n"
        "        print(name, weights.locate(name))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, env={}
    )
    assert result.returncode == 0, result.stderr
    found = dict(line.split(" ", 1) for line in result.stdout.splitlines())
    assert found["closefit_body"] == str(installed / "closefit/_weights/closefit_body.npz")
