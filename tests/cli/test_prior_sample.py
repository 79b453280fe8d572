"""`closefit prior sample`: what it writes, and what of a given person stays."""

import json
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from closefit import video
from closefit.body.model import Body
from closefit.exporters.bvh import write_bvh
from closefit.learning.motions.floor import joints_in_world, world_pose
from closefit.learning.motions.reading import read_motion
from closefit.prior.loading import PriorFacts, prior_content
from closefit.prior.network import Denoiser, NetworkConfig
from closefit.prior.state import STATE_SIZE
from tests.unit.learning.motions.conftest import MakeMotion, body, make_motion

__all__ = ["body", "make_motion"]  # fixtures

FILES = {
    "motion.npz", "person_0.bvh", "person_1.bvh", "person_0_amass.npz", "person_1_amass.npz",
    "scene.glb", "preview.mp4",
}  # fmt: skip


@pytest.fixture(scope="session")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network around people who stand upright next to each other."""
    torch.manual_seed(0)
    network = Denoiser(NetworkConfig(width=32, blocks=1, heads=4, feed_forward=32))
    turns = roma.rotvec_to_rotmat(torch.tensor([torch.pi, 0.0, 0.0])).expand(24, 3, 3)
    pose = turns[..., :2].mT.flatten()  # every joint's rotation in the view
    network.state_mean.copy_(torch.cat([pose, torch.zeros(10), torch.tensor([0.0, 0.0, 0.5])]))
    network.state_std.copy_(torch.full((STATE_SIZE,), 0.05))
    torch.nn.init.normal_(network.head[1].weight, std=0.1)
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    path.write_bytes(prior_content(network, PriorFacts(network=network.config, body="closefit")))
    return path


def load(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "motion.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def free(prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from typer.testing import CliRunner

    from closefit.cli.app import app

    out = tmp_path_factory.mktemp("free") / "samples"
    arguments = ["prior", "sample", "--out", out, "--count", 2, "--frames", 18, "--prior", prior]
    result = CliRunner().invoke(app, [str(part) for part in [*arguments, "--json"]])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert [Path(entry["folder"]).name for entry in found["samples"]] == [
        "sample_000", "sample_001",
    ]  # fmt: skip
    assert all(entry["frames"] == 18 for entry in found["samples"])
    return out


def test_every_sample_has_a_folder_of_its_own(free: Path) -> None:
    assert sorted(entry.name for entry in free.iterdir()) == ["sample_000", "sample_001"]
    for folder in free.iterdir():
        assert {entry.name for entry in folder.iterdir()} == FILES
        info = video.probe(folder / "preview.mp4")
        assert (info.num_frames, info.fps) == (18, pytest.approx(30.0))
        assert info.width > 3.5 * info.height  # front, side, top
    first, second = (load(folder)["joints"] for folder in sorted(free.iterdir()))
    assert np.abs(first - second).max() > 0.01


def test_the_lowest_sole_is_on_the_floor(free: Path) -> None:
    motion = load(free / "sample_000")
    heights = motion["joints"] @ motion["floor"][:3] + motion["floor"][3]
    assert -0.1 < heights.min() < 0.3
    assert heights.max() > 1.2
    np.testing.assert_allclose(motion["floor"][:3], [0.0, -0.9877, -0.1564], atol=1e-4)
    pitch = np.degrees(np.arctan2(-motion["floor"][2], -motion["floor"][1]))
    assert pitch == pytest.approx(9.0)


def test_nobody_rests_on_observations(free: Path) -> None:
    motion = load(free / "sample_000")
    assert not motion["valid"].any()
    assert not motion["confidence"].any()


def test_the_seed_decides(invoke, free: Path, prior: Path, tmp_path: Path) -> None:
    for seed, same in ((0, True), (1, False)):
        out = tmp_path / str(seed)
        result = invoke("prior", "sample", "--out", out, "--count", 2, "--frames", 18,
                        "--prior", prior, "--seed", seed)  # fmt: skip
        assert result.exit_code == 0, result.stderr
        found = np.array_equal(load(out / "sample_001")["joints"],
                               load(free / "sample_001")["joints"])  # fmt: skip
        assert found is same


def test_a_given_person_stays_and_gets_a_partner(
    invoke, prior: Path, tmp_path: Path, make_motion: MakeMotion, body: Body
) -> None:
    given = make_motion(people=1, frames=20)
    path, out = tmp_path / "walk.bvh", tmp_path / "samples"
    rest = body.joints_template.numpy()
    write_bvh(path, rest, given.rotations[:, 0], given.pelvis_m[:, 0], 30.0)
    result = invoke("prior", "sample", "--out", out, "--given", path, "--count", 1,
                    "--prior", prior)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    (read,) = read_motion(path, body)
    found = load(out / "sample_000")
    np.testing.assert_allclose(found["rotations"][:, 0, 1:], read.rotations[:, 0, 1:], atol=1e-5)
    np.testing.assert_allclose(found["betas"][0], read.betas[0], atol=1e-5)
    assert found["valid"][:, 0].all()
    assert not found["valid"][:, 1].any()
    # The camera moves nobody about: heights and distances between frames are those of the file.
    expected = joints_in_world(world_pose(read), body).numpy()[:, 0]
    joints, floor = found["joints"][:, 0], found["floor"]
    np.testing.assert_allclose(joints @ floor[:3] + floor[3], expected[..., 1], atol=1e-4)
    np.testing.assert_allclose(
        np.linalg.norm(joints - joints[:1], axis=-1),
        np.linalg.norm(expected - expected[:1], axis=-1),
        atol=1e-4,
    )
    assert joints[..., 2].min() > 1.0
    # He faces across the picture.
    assert found["rotations"][:, 0, 0, 0, 2].mean() > 0.8


def test_a_sample_can_be_given_again(invoke, free: Path, prior: Path, tmp_path: Path) -> None:
    source = free / "sample_000"
    out = tmp_path / "again"
    result = invoke("prior", "sample", "--out", out, "--given", source / "motion.npz",
                    "--person", 1, "--count", 1, "--frames", 9, "--prior", prior)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    before, after = load(source), load(out / "sample_000")
    assert len(after["joints"]) == 9
    np.testing.assert_allclose(
        after["rotations"][:, 1, 1:], before["rotations"][:9, 1, 1:], atol=1e-5
    )
    assert after["valid"].tolist() == [[False, True]] * 9
    heights = after["joints"][:, 1] @ after["floor"][:3] + after["floor"][3]
    assert 0.0 < heights.min() < 0.15  # he stands


@pytest.fixture
def inputs(tmp_path: Path, prior: Path, make_motion: MakeMotion, body: Body) -> Path:
    """A folder with files that cannot be used, and one that can."""
    given = make_motion(people=1, frames=20)
    rest = body.joints_template.numpy()
    write_bvh(tmp_path / "one.bvh", rest, given.rotations[:, 0], given.pelvis_m[:, 0], 30.0)
    (tmp_path / "broken.bvh").write_text("HIERARCHY\nROOT")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    (tmp_path / "words.txt").write_text("hello")
    (tmp_path / "cut.safetensors").write_bytes(prior.read_bytes()[:-50])
    (tmp_path / "full" / "sample_000").mkdir(parents=True)
    (tmp_path / "file").write_text("in the way")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--prior", "nowhere.safetensors"], 5, "there is no prior checkpoint"),
        (["--prior", "cut.safetensors"], 5, "cannot use the prior `cut.safetensors`"),
        (["--given", "nowhere.bvh"], 3, "there is no `nowhere.bvh`"),
        (["--given", "broken.bvh"], 3, "`broken.bvh`"),
        (["--given", "cut.npz"], 3, "`cut.npz`"),
        (["--given", "words.txt"], 3, "`words.txt` is no motion file"),
        (["--given", "one.bvh", "--person", "1"], 3, "has no person `1`"),
        (["--given", "one.bvh", "--person", "-1"], 3, "has no person `-1`"),
        (["--given", "one.bvh", "--frames", "21"], 4, "has 20 frames at 30 fps"),
        (["--person", "0"], 4, "none is given"),
        (["--frames", "0"], 4, "`--frames 0` is out of range"),
        (["--frames", "1000000"], 4, "out of range"),
        (["--count", "0"], 4, "`--count 0` is out of range"),
        (["--out", "full"], 10, "`full` holds samples already"),
        (["--out", "file"], 10, "cannot write to `file`"),
    ],
)
def test_wrong_requests_are_explained(
    invoke,
    inputs: Path,
    prior: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    exit_code: int,
    message: str,
) -> None:
    monkeypatch.chdir(inputs)
    defaults = ["--out", "out", "--prior", str(prior)]
    result = invoke("prior", "sample", *defaults, *arguments)
    assert result.exit_code == exit_code, result.stderr
    assert message in result.stderr
    assert "hint:" in result.stderr
    assert not list(inputs.glob("out/*"))
