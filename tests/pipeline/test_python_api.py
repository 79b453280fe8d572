"""The Python interface: its arguments, its examples, and what importing it loads."""

import contextlib
import inspect
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from typer.main import get_command

import closefit
from closefit.body.model import Body
from closefit.cli.app import app
from closefit.errors import ArtifactDamagedError, ArtifactMissingError, ConfigError
from closefit.exporters.scene import scene_from_camera
from closefit.models import weights
from closefit.pipeline import runner
from closefit.records import OptimizedMotion
from closefit.storage import artifacts
from tests.demo_clips import demo_clip
from tests.quick_run import QUICK

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

FRAMES = 8
OF_PYTHON_ALONE = {"video", "out", "emit"}
OF_THE_TERMINAL_ALONE = {"out", "json", "verbose"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder that holds `video.mp4` and its detections."""
    folder = tmp_path_factory.mktemp("python")
    demo_clip(folder, FRAMES)
    return folder


@pytest.fixture(scope="module")
def printed(folder: Path) -> list[str]:
    """Output of the examples, run one after the other in that folder with quick settings."""
    real, outputs = runner.run_as_given, []

    def quickly(video, out, given, *rest):
        given["assignments"] = [*QUICK, "track.observations=observations.npz"]
        return real(video, out, given, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(runner, "run_as_given", quickly)
        for example in EXAMPLES:
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(example, {})
            outputs.append(output.getvalue())
    return outputs


def test_the_examples_of_the_page_work(printed: list[str], folder: Path) -> None:
    first, second, third = (output.splitlines() for output in printed)
    assert first[0] == f"({FRAMES}, 2, 24, 3)"
    assert first[-1] == "results/scene.glb"
    assert "meshes: done" in second
    assert second[-1] == "results/meshes/person_0/000000.ply"
    assert third[0] == "done 30.0"
    assert third[1].startswith("there is no file `missing.mp4`")
    assert third[3] == "exit code of the command: 3"
    assert (folder / "results" / "overlay.mp4").is_file()


def test_the_arguments_are_the_options_of_the_command() -> None:
    command = get_command(app).commands["run"]
    options = {
        next(name for name in parameter.opts if name.startswith("--"))[2:].replace("-", "_")
        for parameter in command.params
        if parameter.param_type_name == "option"
    }
    arguments = inspect.signature(closefit.run).parameters.values()
    names = {argument.name.rstrip("_") for argument in arguments}
    assert names - OF_PYTHON_ALONE == options - {"help"} - OF_THE_TERMINAL_ALONE
    assert all(argument.annotation is not inspect.Parameter.empty for argument in arguments)


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        ({"fov": 50.0}, ("camera.fov_deg", 50.0)),
        ({"set": {"camera.fov_deg": 41}, "fov": 42.0}, ("camera.fov_deg", 42.0)),
        ({"set": {"track.people": None}}, ("track.people", None)),
        ({"preset": "draft"}, ("preset", "draft")),
    ],
)
@pytest.mark.usefixtures("stub_stages")
def test_arguments_become_settings(
    stub_clip: Path, tmp_path: Path, arguments, setting: tuple[str, object]
) -> None:
    file = tmp_path / "a.json"
    file.write_text("{}")
    result = closefit.run(stub_clip, tmp_path / "out", device="cpu", observations=file, **arguments)
    assert result.run["settings"][setting[0]] == setting[1]
    assert result.run["settings"]["track.observations"] == [str(file)]


def test_errors_are_the_documented_ones(stub_clip: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be a number from 0 to 1"):
        closefit.run(stub_clip, tmp_path / "out", physics=3.0)
    with pytest.raises(ArtifactMissingError, match="not a results folder"):
        closefit.load(tmp_path)


@pytest.mark.usefixtures("stub_stages")
def test_results_that_are_not_there_or_damaged_are_named(stub_clip: Path, tmp_path: Path) -> None:
    result = closefit.run(stub_clip, tmp_path / "out", device="cpu", until="init")
    with pytest.raises(ArtifactMissingError, match=r"motion\.npz") as error:
        _ = result.motion
    assert "closefit stage export" in error.value.hint
    for name in ("motion.npz", "contacts.json"):
        (tmp_path / "out" / name).write_text("[")
    with pytest.raises(ArtifactDamagedError, match=r"motion\.npz"):
        _ = result.motion
    with pytest.raises(ArtifactDamagedError, match=r"contacts\.json"):
        _ = result.contacts


@pytest.mark.usefixtures("printed")
def test_meshes_are_those_of_the_motion(folder: Path) -> None:
    """In the frame of the scene: y up, the floor at height zero, metres."""
    result = closefit.load(folder / "results")
    motion = artifacts.read(folder / "results" / "artifacts" / "optimize.npz", OptimizedMotion)
    body = Body.load(weights.locate("closefit_body"))
    arrays = (motion.rotations, motion.betas, motion.transl)
    vertices = body.pose(*map(torch.from_numpy, arrays)).vertices.numpy()
    T = scene_from_camera(motion.floor)
    for person in range(2):
        for frame in (0, FRAMES - 1):
            path = result.path(f"meshes/person_{person}/{frame:06}.ply")
            mesh = trimesh.load_mesh(path, process=False)
            np.testing.assert_array_equal(mesh.faces, body.faces.numpy())
            expected = vertices[frame, person] @ T[:3, :3].T + T[:3, 3]
            np.testing.assert_allclose(mesh.vertices, expected, atol=1e-5)
    assert len(list((folder / "results" / "meshes").rglob("*.ply"))) == 2 * FRAMES


def test_importing_closefit_loads_next_to_nothing() -> None:
    script = (
        "import os, sys\nbefore = set(sys.modules)\nimport closefit\n"
        "loaded = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(loaded - set(sys.stdlib_module_names)))\n"
        "print(closefit.run.__module__, os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["['closefit']", "closefit.pipeline.api PASSIVE"], (
        done.stderr
    )
    with pytest.raises(AttributeError, match="no attribute `walk`"):
        closefit.walk  # noqa: B018
