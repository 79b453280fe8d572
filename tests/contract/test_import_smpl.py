"""Import of SMPL files, made here of random numbers in the ways official ones are written."""

import copyreg
import io
import os
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from scipy import sparse
from typer.testing import CliRunner

from closefit.body.keypoints import KEYPOINT_SETS, KeypointRegressor
from closefit.body.model import Body
from closefit.cli.app import app
from closefit.errors import FileMissingError, OutputError, WeightsDamagedError
from closefit.imports.smpl import import_smpl
from closefit.imports.smpl_check import TOLERANCE_M, deviation_from_smplx
from tests.smpl_files import random_smpl


@pytest.fixture(scope="module")
def smpl_arrays() -> dict[str, np.ndarray]:
    return random_smpl()


class _Chumpy:
    """Pickles its attributes, as chumpy's classes do."""

    def __init__(self, **state: object) -> None:
        self.__dict__.update(state)


@pytest.fixture
def chumpy() -> Iterator[types.SimpleNamespace]:
    """Stand-in modules under chumpy's names, present only while a test writes its file."""
    classes = {
        "Ch": type("Ch", (_Chumpy,), {"__module__": "chumpy.ch"}),
        "Select": type("Select", (_Chumpy,), {"__module__": "chumpy.reordering"}),
    }
    modules = {
        name: types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering")
    }
    for cls in classes.values():
        setattr(modules[cls.__module__], cls.__name__, cls)
    sys.modules.update(modules)
    yield types.SimpleNamespace(**classes)
    for name in modules:
        sys.modules.pop(name, None)


def forget_chumpy() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "chumpy"]:
        del sys.modules[name]


def write_pickle(path: Path, content: object, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def same_body(first: Body, second: Body) -> bool:
    keys = ("v_template", "shapedirs", "posedirs", "joints_template", "weights", "faces")
    return all(torch.equal(getattr(first, key), getattr(second, key)) for key in keys)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory, smpl_arrays) -> Path:
    """An imported fake SMPL, written as official files are: plain arrays, sparse regressor."""
    folder = tmp_path_factory.mktemp("smpl")
    regressor = sparse.csc_matrix(smpl_arrays["J_regressor"])
    source = write_pickle(folder / "SMPL_NEUTRAL.pkl", smpl_arrays | {"J_regressor": regressor})
    import_smpl(source, folder / "smpl.npz")
    return folder / "smpl.npz"


def test_imported_body_agrees_with_smplx_on_the_same_file(imported: Path) -> None:
    smplx = pytest.importorskip("smplx")
    body = Body.load(imported)
    with np.load(imported, allow_pickle=False) as archive:
        struct = smplx.utils.Struct(**archive)
    reference = smplx.SMPL(model_path="", data_struct=struct, batch_size=4)
    pose = 0.6 * torch.randn(4, 72)
    betas, transl = torch.randn(4, 10), torch.randn(4, 3)
    expected = reference(
        betas=betas, global_orient=pose[:, :3], body_pose=pose[:, 3:], transl=transl
    )
    posed = body.pose(roma.rotvec_to_rotmat(pose.view(4, 24, 3)), betas, transl)
    torch.testing.assert_close(posed.vertices, expected.vertices.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(posed.joints, expected.joints[:, :24].detach(), atol=1e-5, rtol=0)


def import_by_command(file: Path, folder: Path):
    return CliRunner().invoke(app, ["import-smpl", str(file), "--weights", str(folder)])


def test_the_command_compares_the_body_with_smplx(tmp_path: Path, imported: Path) -> None:
    pytest.importorskip("smplx")
    deviation_m = deviation_from_smplx(imported)
    assert deviation_m is not None
    assert 0 <= deviation_m < TOLERANCE_M
    result = import_by_command(imported, tmp_path)
    assert result.exit_code == 0
    assert f"agrees with smplx to {1000 * deviation_m:.4f} mm" in result.stderr


def test_without_smplx_the_comparison_is_left_out_and_reported(
    tmp_path: Path, imported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "smplx", None)
    assert deviation_from_smplx(imported) is None
    result = import_by_command(imported, tmp_path)
    assert result.exit_code == 0
    assert "not compared with smplx" in result.stderr
    assert "pip install 'closefit[smpl]'" in result.stderr
    assert (tmp_path / "smpl.npz").is_file()


def test_a_body_that_deviates_from_smplx_is_refused(
    tmp_path: Path, imported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("smplx")
    pose = Body.pose
    monkeypatch.setattr(Body, "pose", lambda body, R, betas, at: pose(body, R, betas, at + 1e-3))
    result = import_by_command(imported, tmp_path)
    assert result.exit_code == 5
    assert "m away from smplx's" in result.stderr
    assert not (tmp_path / "smpl.npz").exists()


def test_imported_body_has_texture_coordinates_and_every_keypoint_set(imported: Path) -> None:
    body = Body.load(imported)
    assert body.name == "smpl"
    assert body.faces_uv.shape == body.faces.shape
    for name, keypoints in KEYPOINT_SETS.items():
        regressor = KeypointRegressor(body, name)
        posed = body.subset(regressor.vertex_indices).pose(
            torch.eye(3).expand(24, 3, 3), torch.zeros(10), torch.zeros(3)
        )
        assert regressor.of(posed).shape == (len(keypoints.names), 3)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_every_pickle_protocol_and_sparse_layout_gives_the_same_body(
    tmp_path: Path, smpl_arrays, imported: Path, protocol: int
) -> None:
    regressor = sparse.csr_matrix(smpl_arrays["J_regressor"])
    content = smpl_arrays | {"J_regressor": regressor, "bs_type": "lrotmin", "n": np.float64(2)}
    import_smpl(write_pickle(tmp_path / "a.pkl", content, protocol), tmp_path / "a.npz")
    assert same_body(Body.load(tmp_path / "a.npz"), Body.load(imported))


@pytest.mark.parametrize("protocol", [0, 2])
def test_chumpy_objects_are_read_without_chumpy(
    tmp_path: Path, smpl_arrays, imported: Path, chumpy, protocol: int
) -> None:
    shapedirs = np.concatenate([smpl_arrays["shapedirs"], np.ones((6890, 3, 5))], axis=2)
    chosen = np.arange(shapedirs.size).reshape(shapedirs.shape)[:, :, :10]
    content = smpl_arrays | {
        "v_template": chumpy.Ch(x=smpl_arrays["v_template"], _dirty_vars=["x"]),
        "posedirs": chumpy.Ch(x=smpl_arrays["posedirs"]),
        "shapedirs": chumpy.Select(
            a=chumpy.Ch(x=shapedirs), idxs=chosen.ravel(), preferred_shape=chosen.shape
        ),
    }
    source = write_pickle(tmp_path / "a.pkl", content, protocol)
    forget_chumpy()
    import_smpl(source, tmp_path / "a.npz")
    assert "chumpy" not in sys.modules
    assert same_body(Body.load(tmp_path / "a.npz"), Body.load(imported))


def test_npz_and_300_shape_directions_are_accepted(
    tmp_path: Path, smpl_arrays, imported: Path
) -> None:
    more = np.concatenate([smpl_arrays["shapedirs"], np.ones((6890, 3, 290))], axis=2)
    np.savez(tmp_path / "a.npz", **smpl_arrays | {"shapedirs": more})
    import_smpl(tmp_path / "a.npz", tmp_path / "b.npz")
    assert same_body(Body.load(tmp_path / "b.npz"), Body.load(imported))


class _Call:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


def _named(module: str, name: str, arguments: bytes = b"(tR.") -> bytes:
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + arguments


def hostile_pickles(mark: Path) -> dict[str, bytes]:
    """Files that try to create `mark`, or to reach what a body file has no business with."""
    rot13 = b"(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR."
    write = f"open({str(mark)!r}, 'w')"
    return {
        "os.system": pickle.dumps(_Call(os.system, f"touch {mark}")),
        "eval": pickle.dumps(_Call(eval, write)),
        "exec, protocol 0": pickle.dumps(_Call(exec, write), protocol=0),
        "nested": pickle.dumps({"v_template": [{"deep": _Call(open, str(mark), "w")}]}),
        "getattr": pickle.dumps(_Call(getattr, "text", "upper")),
        "other class": pickle.dumps(_Call(copyreg._reconstructor, io.BytesIO, object, None)),
        "file reader": pickle.dumps(_Call(np.fromfile, str(mark))),
        "dotted name": _named("chumpy.ch", "Ch.__init__.__globals__"),
        "other chumpy class": _named("chumpy.ch_ops", "add"),
        "codec": _named("_codecs", "encode", rot13),
        "memory": pickle.dumps(_Call(np.ndarray, (2**60,))),
        "number": pickle.dumps(7),
    }


@pytest.mark.parametrize("attack", hostile_pickles(Path("mark")))
def test_hostile_pickles_are_refused_and_not_executed(tmp_path: Path, attack: str) -> None:
    mark = tmp_path / "executed"
    source = tmp_path / "evil.pkl"
    source.write_bytes(hostile_pickles(mark)[attack])
    with pytest.raises(WeightsDamagedError, match="is not an official SMPL model"):
        import_smpl(source, tmp_path / "smpl.npz")
    assert not mark.exists()
    assert not (tmp_path / "smpl.npz").exists()


def test_arrays_of_objects_are_refused(tmp_path: Path, smpl_arrays) -> None:
    content = smpl_arrays | {"weights": np.array([[1.0, "x"]], dtype=object)}
    with pytest.raises(
        WeightsDamagedError,
        match="`an array of text or objects` instead of numbers",
    ):
        import_smpl(write_pickle(tmp_path / "a.pkl", content), tmp_path / "b.npz")


def test_sparse_matrices_that_reach_outside_themselves_are_refused(
    tmp_path: Path, smpl_arrays
) -> None:
    regressor = sparse.csc_matrix(smpl_arrays["J_regressor"])
    regressor.indices[0] = 2**30
    content = smpl_arrays | {"J_regressor": regressor}
    with pytest.raises(WeightsDamagedError, match="is not an official SMPL model"):
        import_smpl(write_pickle(tmp_path / "a.pkl", content), tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"posedirs": None}, "it has no `posedirs`"),
        ({"v_template": np.zeros((10475, 3))}, "`v_template` has shape"),
        ({"shapedirs": np.zeros((6890, 3, 9))}, "`shapedirs` has shape"),
        ({"f": np.full((13776, 3), 6890)}, "faces name vertices that do not exist"),
        ({"kintree_table": np.zeros((2, 24), int)}, "its skeleton is not SMPL's"),
        ({"v_template": np.full((6890, 3), np.nan)}, "a value that is not a number"),
    ],
)
def test_wrong_models_are_refused_with_the_reason(
    tmp_path: Path, smpl_arrays, changes, reason: str
) -> None:
    content = {key: value for key, value in (smpl_arrays | changes).items() if value is not None}
    with pytest.raises(WeightsDamagedError, match=reason) as caught:
        import_smpl(write_pickle(tmp_path / "a.pkl", content), tmp_path / "b.npz")
    assert "not SMPL-H or SMPL-X" in caught.value.hint


@pytest.mark.parametrize("kept", [0, 10, 5_000_000])
def test_truncated_files_are_refused(tmp_path: Path, smpl_arrays, kept: int) -> None:
    whole = pickle.dumps(smpl_arrays, protocol=4)
    (tmp_path / "a.pkl").write_bytes(whole[:kept])
    with pytest.raises(WeightsDamagedError, match="is not an official SMPL model"):
        import_smpl(tmp_path / "a.pkl", tmp_path / "b.npz")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=r"no file `.*none\.pkl`"):
        import_smpl(tmp_path / "none.pkl", tmp_path / "b.npz")


def test_unwritable_destination_leaves_nothing_behind(tmp_path: Path, imported: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        import_smpl(imported, tmp_path / "taken")
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        import_smpl(imported, tmp_path / "file" / "smpl.npz")


def test_a_file_that_closefit_did_not_write_is_not_replaced(
    tmp_path: Path, smpl_arrays, imported: Path
) -> None:
    official = tmp_path / "smpl.npz"
    np.savez(official, **smpl_arrays)
    before = official.read_bytes()
    for source in (official, imported):
        with pytest.raises(OutputError, match="closefit did not write it"):
            import_smpl(source, official)
        assert official.read_bytes() == before


def test_a_body_that_is_not_as_smplx_has_it_does_not_replace_an_earlier_one(
    tmp_path: Path, imported: Path
) -> None:
    destination = tmp_path / "smpl.npz"
    import_smpl(imported, destination)
    before = destination.read_bytes()

    def refuse(_: Path) -> None:
        raise WeightsDamagedError("it is another body", "")

    with pytest.raises(WeightsDamagedError):
        import_smpl(imported, destination, refuse)
    assert destination.read_bytes() == before
    assert list(tmp_path.iterdir()) == [destination]
