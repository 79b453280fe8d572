"""What `closefit doctor` finds on machines that have this and lack that."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.numpy import save_file

from closefit.appearance.raster.toolchain import build_folder
from closefit.cli import doctor
from closefit.cli.doctor import Check
from closefit.models import weights


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("TORCH_EXTENSIONS_DIR", "CUDA_HOME", "CUDA_PATH", "CXX"):
        monkeypatch.delenv(name, raising=False)


def check(name: str, weights_dir: Path | None = None) -> Check:
    checks = doctor.examine(None if weights_dir is None else str(weights_dir))
    assert len({one.name for one in checks}) == len(checks)
    assert all("\n" not in one.found + one.fix for one in checks)
    assert all(one.fix for one in checks if one.state != "ok")
    return next(one for one in checks if one.name == name)


def install_programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    """Leave nothing in PATH but programs that print a text."""
    folder.mkdir()
    for name, text in texts.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n/bin/echo '{text}'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def install_gsplat(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = folder / "gsplat"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('only its presence counts')\n")
    record = folder / "gsplat-1.5.3.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: gsplat\nVersion: 1.5.3\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "gsplat", raising=False)
    return package


NVCC_12_8 = "Cuda compilation tools, release 12.8, V12.8.93"


class TestCompiler:
    def test_everything_fits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install_programs(tmp_path / "bin", monkeypatch, nvcc=NVCC_12_8, **{"g++": ""})
        monkeypatch.setattr(torch.version, "cuda", "12.6")
        found = check("CUDA compiler")
        assert found.state == "ok"
        assert "nvcc 12.8" in found.found
        assert "PyTorch for CUDA 12.6" in found.found

    @pytest.mark.parametrize(
        ("programs", "cuda", "fix"),
        [
            ({"nvcc": NVCC_12_8, "g++": ""}, "13.0", "install the CUDA toolkit 13.0: PyTorch does"),
            ({"g++": ""}, "12.8", "install the CUDA toolkit 12.8 and put its nvcc into PATH"),
            ({"nvcc": "broken", "g++": ""}, "12.8", "install the CUDA toolkit 12.8 and put"),
            ({"nvcc": NVCC_12_8}, "12.8", "install a C++ compiler"),
            ({"nvcc": NVCC_12_8, "g++": ""}, None, "install the CUDA build of PyTorch"),
        ],
    )
    def test_what_does_not_fit_is_named(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        programs: dict[str, str],
        cuda: str | None,
        fix: str,
    ) -> None:
        install_programs(tmp_path / "bin", monkeypatch, **programs)
        monkeypatch.setattr(torch.version, "cuda", cuda)
        found = check("CUDA compiler")
        assert found.state == "missing"
        assert fix in found.fix

    def test_cuda_home_comes_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install_programs(tmp_path / "bin", monkeypatch, nvcc="release 11.0,")
        home = tmp_path / "toolkit"
        home.mkdir()
        with monkeypatch.context() as inner:
            install_programs(home / "bin", inner, nvcc=NVCC_12_8)
        monkeypatch.setenv("CUDA_HOME", str(home))
        assert f"nvcc 12.8 ({home}/bin/nvcc)" in check("CUDA compiler").found


class TestCuda:
    @pytest.fixture(autouse=True)
    def _card(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (6, 1))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "an old card")
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90"])

    def test_too_old(self) -> None:
        found = check("CUDA")
        assert found.state == "missing"
        assert "an old card; the GPU is too old for PyTorch" in found.found
        assert "install a PyTorch for this card" in found.fix

    def test_a_driver_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def gone() -> None:
            raise RuntimeError("CUDA error: unspecified launch failure\nCompile with")

        monkeypatch.setattr(torch.cuda, "get_device_name", gone)
        found = check("CUDA")
        assert found.state == "problem"
        assert found.found == "the GPU does not answer: `CUDA error: unspecified launch failure`"
        assert "nvidia-smi" in found.fix


class TestGsplat:
    def test_shipped_kernels(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = install_gsplat(tmp_path / "site", monkeypatch)
        (package / "csrc.cpython-311.so").touch()
        found = check("gsplat")
        assert found.state == "ok"
        assert found.found.startswith("gsplat 1.5.3, compiled (")

    def test_compiled_earlier(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install_gsplat(tmp_path / "site", monkeypatch)
        monkeypatch.setattr(torch.version, "cuda", "12.8")
        cache = build_folder()
        assert cache.is_relative_to(tmp_path)
        assert cache.parts[-2].endswith("_cu128")
        cache.mkdir(parents=True)
        (cache / "gsplat_cuda.so").touch()
        assert str(cache / "gsplat_cuda.so") in check("gsplat").found

    def test_to_be_compiled(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install_gsplat(tmp_path / "site", monkeypatch)
        install_programs(tmp_path / "bin", monkeypatch, nvcc=NVCC_12_8, **{"g++": ""})
        monkeypatch.setattr(torch.version, "cuda", "12.8")
        found = check("gsplat")
        assert found.state == "ok"
        assert "compiled at its first use: about" in found.found
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        found = check("gsplat")
        assert found.state == "missing"
        assert "cannot be" in found.found
        assert "install the CUDA toolkit 13.0" in found.fix


class TestWeights:
    def test_missing_ones_have_size_licence_and_command(self, tmp_path: Path) -> None:
        found = check("alexnet", tmp_path)
        assert found.state == "missing"
        assert "244 MB" in found.found
        assert "licence: BSD-3-Clause" in found.found
        assert "closefit download-weights alexnet" in found.fix

    def test_damaged_ones_are_a_problem(self, tmp_path: Path, invoke) -> None:
        (tmp_path / "pose_landmark_full.tflite").write_bytes(b"<html>Please log in")
        found = check("blazepose-full", tmp_path)
        assert found.state == "problem"
        assert "it is a web page" in found.found
        result = invoke("doctor", "--json", "--weights", tmp_path)
        assert result.exit_code == 1
        states = {entry["name"]: entry["state"] for entry in json.loads(result.stdout)}
        assert states["blazepose-full"] == "problem"

    def test_weights_of_ones_own_are_listed(self, tmp_path: Path) -> None:
        folder = tmp_path / "vitpose-base-simple"
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        save_file({"weight": torch.zeros(3).numpy()}, folder / "model.safetensors")
        found = check("vitpose-base-simple", tmp_path)
        assert found.state == "ok"
        assert "(weights of your own)" in found.found

    def test_shipped_models_have_a_line_and_larger_variants_have_none(self) -> None:
        names = {one.name for one in doctor.examine()}
        shipped = {
            name
            for name, model in weights.manifest().items()
            if model.obtain is not None and name not in ("closefit_body", "smpl")
        }
        assert shipped <= names
        assert "sam2.1-hiera-large" not in names

    def test_room_for_what_is_still_to_be_fetched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert check("weights folder", tmp_path / "not" / "yet").state == "ok"
        usage = shutil.disk_usage(tmp_path)._replace(free=10_000_000)
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
        found = check("weights folder", tmp_path)
        assert found.state == "problem"
        assert "--weights DIR" in found.fix

    def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        file = tmp_path / "model.onnx"
        file.touch()
        found = check("weights folder", file)
        assert found.state == "problem"
        assert "is a file" in found.found

    def test_what_is_fine_has_no_fix(self, tmp_path: Path) -> None:
        assert {one.fix for one in doctor.examine(str(tmp_path)) if one.state == "ok"} == {""}

    def test_licences_of_what_is_here(self, shared: Path) -> None:
        found = check("licences", shared / "weights").found
        assert "CC0-1.0: closefit_body" in found
        assert "AGPL-3.0: yolo11n-pose, yolo11n-seg, the package ultralytics" in found


def test_a_damaged_body_stops_runs(tmp_path: Path) -> None:
    (tmp_path / "smpl.npz").write_bytes(b"not SMPL")
    found = check("body", tmp_path)
    assert found.state == "problem"
    assert "closefit import-smpl FILE" in found.fix
