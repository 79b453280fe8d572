"""From the pictures of each data set to its table: whole commands on rendered miniatures.

`test_hi4d.py` has that of Hi4D, with what can be missing.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from closefit.batch import cluster
from closefit.benchmark import expi, harmony4d, threedpw
from tests.benchmark_sets import test_3dpw, test_chi3d, test_expi, test_harmony4d
from tests.benchmark_sets.conftest import FRAMES, Footage
from tests.quick_run import QUICK

pytestmark = pytest.mark.slow


def write_chi3d(root: Path, footage: Footage) -> None:
    folder = test_chi3d.write(root, footage, FRAMES)
    (folder / "interaction_contact_signature.json").unlink()


def write_harmony4d(root: Path, footage: Footage) -> None:
    test_harmony4d.write(root, footage, rendered=True)


def write_expi(root: Path, footage: Footage) -> None:
    test_expi.write(root, footage, (0.0, 0.0))


SETS: dict[str, tuple[Callable[[Path, Footage], object], str, float, int]] = {
    "chi3d": (write_chi3d, "s02_Grab_10", 50.0, 3),
    "3dpw": (test_3dpw.write, "courtyard_hug_00", threedpw.FPS, 1),
    "harmony4d": (write_harmony4d, "001_hugging", harmony4d.FPS, 1),
    "expi": (write_expi, "acro1_a-frame1", expi.FPS, 2),
}
"""How a miniature is written; name and rate of its sequence; how many there should be."""


@pytest.mark.parametrize("name", SETS)
def test_from_pictures_to_tables(
    tmp_path: Path,
    rendered: Footage,
    smpl: Path,
    invoke,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """The truth is that of the pictures: a wrong camera or order of frames would be far off."""
    monkeypatch.setattr(cluster, "is_installed", lambda: False)  # starts quicker than Ray
    write, sequence, fps, expected = SETS[name]
    root, out = tmp_path / "data", tmp_path / "out"
    write(root, rendered)
    own = rendered.observations_as(tmp_path / "own", sequence, fps)
    settings = [word for setting in QUICK for word in ("--set", setting)]
    result = invoke(
        *("benchmark", name, root, "--out", out, "--observations", own, "--rows", "initial"),
        *settings,
        *(("--joints", "lsp", "--weights", smpl, "--set", "body=closefit") * (name == "harmony4d")),
    )
    assert result.exit_code == 0, result.stderr
    assert f"scored: 1 of {expected} sequences" in result.stderr
    report = json.loads((out / "scores.json").read_text())
    assert report["by_sequence"]["initial"].keys() == {sequence}
    scores = report["rows"]["initial"]
    assert 5.0 < scores["mpjpe"] < 200.0, "it is near the truth, but no copy of it"
    assert scores["interaction"] < 400.0
    assert "closefit, initial" in result.stdout
    assert "closefit, initial" in (out / "table.md").read_text()
