"""What the commands print and return, with stand-in stages."""

import json
import re
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from closefit import errors
from closefit.cli import main as cli
from closefit.cli.summary import summary
from closefit.config import PRESETS
from closefit.errors import ClosefitError, OutputFolderError
from closefit.storage.workspace import Workspace
from tests.stubs import StubStages, write_video

STAGES = ["track", "init", "optimize", "export"]

FAMILIES = [
    error
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, ClosefitError) and error is not ClosefitError
]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def finished(invoke, stub_stages: StubStages, stub_clip: Path, out: Path) -> Path:
    """A folder in which everything has run."""
    assert invoke("run", stub_clip, "--out", out, "--preset", "draft").exit_code == 0
    stub_stages.take_runs()
    return out


@pytest.mark.usefixtures("stub_stages")
def test_run_prints_one_line_per_stage_on_stderr(
    invoke,
    stub_clip: Path,
    out: Path,
) -> None:
    result = invoke("run", stub_clip, "--out", out)
    assert result.exit_code == 0
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[1] == "to do: track, init, optimize, export"
    assert re.fullmatch(r"how long: about .* with preset default on cpu .*", lines[2])
    assert [line.split()[0] for line in lines[3:7]] == STAGES
    assert all("done in" in line and "(missing; on cpu" in line for line in lines[3:7])
    assert lines[7] == f"results are in `{out}`"
    again = invoke("run", stub_clip, "--out", out).stderr.splitlines()
    assert again[1] == "to do: nothing, all is up to date"
    assert [line.split() for line in again[2:6]] == [[name, "up", "to", "date"] for name in STAGES]


@pytest.mark.usefixtures("stub_stages")
def test_run_can_answer_in_json(invoke, stub_clip: Path, out: Path) -> None:
    result = invoke("run", stub_clip, "--out", out, "--json")
    printed = json.loads(result.stdout)
    assert printed["out"] == str(out)
    assert printed["status"] == "done"
    assert list(printed["stages"]) == STAGES


@pytest.mark.usefixtures("stub_stages")
def test_named_flags_win_over_set_and_file(
    invoke,
    stub_clip: Path,
    out: Path,
    tmp_path: Path,
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("seed = 1\n[camera]\nfov_deg = 40\n[init]\nsteps = 3\n")
    invoke(
        "run", stub_clip, "--out", out, "--config", file, "--set", "camera.fov_deg=41", "--set",
        "init.steps=4", "--fov", 42,
    )  # fmt: skip
    recorded = Workspace(out).read_run()["settings"]
    assert (recorded["camera.fov_deg"], recorded["init.steps"], recorded["seed"]) == (42, 4, 1)


def test_from_until_and_force(
    invoke,
    stub_stages: StubStages,
    stub_clip: Path,
    finished: Path,
) -> None:
    run = ["run", stub_clip, "--out", finished, "--preset", "draft"]
    invoke(*run, "--from", "optimize")
    assert list(stub_stages.take_runs()) == ["optimize", "export"]
    invoke(*run, "--from", "init", "--until", "init")
    assert list(stub_stages.take_runs()) == ["init"]
    invoke(*run, "--force")
    assert list(stub_stages.take_runs()) == STAGES


def test_stage_takes_a_folder_and_keeps_its_settings(
    invoke, stub_stages: StubStages, finished: Path
) -> None:
    result = invoke("stage", "optimize", finished, "--set", "optimize.passes=3")
    assert result.exit_code == 0, result.stderr
    before = PRESETS["draft"]["optimize"]["passes"]
    assert f"settings changed: `optimize.passes` {before} -> 3" in result.stderr
    assert list(stub_stages.take_runs()) == ["optimize"]
    assert Workspace(finished).read_run()["settings"]["preset"] == "draft"


def test_stage_takes_a_video_and_a_folder(
    invoke,
    stub_stages: StubStages,
    stub_clip: Path,
    out: Path,
) -> None:
    assert invoke("stage", "track", stub_clip, "--out", out).exit_code == 0
    assert invoke("stage", "init", out).exit_code == 0
    assert list(stub_stages.take_runs()) == ["track", "init"]


def test_stage_finds_a_video_that_has_moved(
    invoke,
    stub_stages: StubStages,
    stub_clip: Path,
    finished: Path,
    tmp_path: Path,
) -> None:
    moved = stub_clip.rename(tmp_path / "moved.mp4")
    assert invoke("stage", "export", finished, "--force").exit_code == 3
    assert invoke("stage", "export", finished, moved, "--force").exit_code == 0
    assert list(stub_stages.take_runs()) == ["export"]


def test_stage_with_a_video_but_no_folder_names_what_to_add(invoke, stub_clip: Path) -> None:
    result = invoke("stage", "track", stub_clip)
    assert result.exit_code == 4
    assert "add --out DIR" in result.stderr


def test_status_is_a_table_or_json(invoke, finished: Path) -> None:
    (finished / "artifacts" / "init.npz").unlink()
    table = invoke("status", finished)
    assert table.exit_code == 0
    assert [line.split()[0] for line in table.stdout.splitlines()] == ["stage", *STAGES]
    assert "would run" in table.stdout
    printed = json.loads(invoke("status", finished, "--json").stdout)
    assert [entry["up_to_date"] for entry in printed] == [True, False, False, False]
    assert printed[1]["reason"] == {"kind": "missing", "detail": ""}


@pytest.mark.parametrize("command", [["status"], ["stage", "init"]])
def test_a_folder_without_a_run_is_named(invoke, tmp_path: Path, command: list[str]) -> None:
    result = invoke(*command, tmp_path)
    assert result.exit_code == 6
    assert f"error: `{tmp_path}` is not a results folder" in result.stderr


@pytest.mark.parametrize("error_class", FAMILIES)
def test_every_error_is_a_sentence_a_hint_and_its_exit_code(
    invoke,
    stub_stages: StubStages,
    stub_clip: Path,
    out: Path,
    error_class: type[ClosefitError],
) -> None:
    stub_stages.track.fails_with = error_class("it is `broken`", hint="mend it")
    result = invoke("run", stub_clip, "--out", out)
    assert result.exit_code == error_class.exit_code
    assert result.stderr.endswith("error: it is `broken`\n\nhint: mend it\n")
    assert "Traceback" not in result.stderr
    assert Workspace(out).read_run()["error"] == "it is `broken`"


def test_exit_codes_of_the_families_differ() -> None:
    families = [error for error in FAMILIES if error.__base__ is ClosefitError]
    codes = [family.exit_code for family in families]
    assert len(set(codes)) == len(codes)
    assert {0, 1, 2, 130}.isdisjoint(codes)
    for error in FAMILIES:
        assert error.exit_code in codes


def test_verbose_shows_where_an_error_comes_from(
    invoke,
    stub_stages: StubStages,
    stub_clip: Path,
    out: Path,
) -> None:
    stub_stages.track.fails_with = errors.NobodyError("nobody", hint="somebody")
    result = invoke("run", stub_clip, "--out", out, "-v")
    assert "Traceback" in result.stderr
    assert "INFO closefit.pipeline.runner: track: missing" in result.stderr


def test_the_message_of_an_interrupt_names_how_to_go_on(
    invoke,
    stub_stages: StubStages,
    stub_clip: Path,
    out: Path,
) -> None:
    stub_stages.init.fails_with = KeyboardInterrupt()
    result = invoke("run", stub_clip, "--out", out)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1].startswith("stopped; run the same command again")


def test_a_bug_is_one_line_and_a_log(
    stub_stages: StubStages,
    stub_clip: Path,
    out: Path,
    capsys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stub_stages.init.fails_with = RuntimeError("shapes do not fit")
    monkeypatch.setattr(sys, "argv", ["closefit", "run", str(stub_clip), "--out", str(out)])
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    written = capsys.readouterr().err
    assert "error: internal error: RuntimeError: shapes do not fit" in written
    assert "Traceback" not in written
    assert str(out / "log.txt") in written
    assert "RuntimeError: shapes do not fit" in (out / "log.txt").read_text()


@pytest.mark.usefixtures("stub_stages")
def test_a_gpu_that_is_not_there_is_a_device_error(
    invoke,
    stub_clip: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = invoke("run", stub_clip, "--out", out, "--device", "cuda")
    assert result.exit_code == 7
    assert "`--device cuda`" in result.stderr
    assert "closefit doctor" in result.stderr


def test_a_folder_of_another_video_is_refused(invoke, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    other = write_video(tmp_path / "other.mp4", b"another video")
    result = invoke("run", other, "--out", finished)
    assert result.exit_code == 10
    assert "another video" in result.stderr
    assert invoke("run", other, "--out", finished, "--force").exit_code == 0


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    invoke,
    stub_stages: StubStages,
    stub_clip: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "results", Path("/proc/closefit")):
        result = invoke("run", stub_clip, "--out", folder)
        assert result.exit_code == 10, result.stderr
        assert "cannot write to" in result.stderr
    assert stub_stages.take_runs() == {}


def test_two_processes_cannot_share_a_folder(
    invoke,
    stub_stages: StubStages,
    stub_clip: Path,
    finished: Path,
) -> None:
    script = (
        "import sys, pathlib; from closefit.storage.workspace import Workspace\n"
        f"with Workspace(pathlib.Path({str(finished)!r})).locked():\n"
        "    print('locked', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        result = invoke("run", stub_clip, "--out", finished)
        holder.communicate()
    assert result.exit_code == 10
    assert f"in use by another closefit (process `{holder.pid}`)" in result.stderr
    assert stub_stages.take_runs() == {}
    assert invoke("status", finished).exit_code == 0
    assert invoke("run", stub_clip, "--out", finished).exit_code == 0


def test_download_weights_lists_every_model(invoke) -> None:
    result = invoke("download-weights", "--list")
    assert result.exit_code == 0
    for name in ("closefit_body", "yolo11n-pose", "sam2.1-hiera-tiny", "alexnet"):
        assert name in result.stdout
    assert "closefit import-smpl FILE" in result.stderr
    entries = json.loads(invoke("download-weights", "--list", "--json").stdout)
    facts = {"model", "stages", "size", "licence", "commercial_use", "source", "not_pinned"}
    assert all(facts <= entry.keys() for entry in entries)


def test_download_weights_distinguishes_missing_from_damaged_ones(invoke, tmp_path: Path) -> None:
    (tmp_path / "pose_landmark_lite.tflite").write_bytes(b"something else")
    listing = ("download-weights", "--list", "--weights", tmp_path)
    entries = {entry["model"]: entry for entry in json.loads(invoke(*listing, "--json").stdout)}
    states = {name: entry["state"] for name, entry in entries.items()}
    assert states["closefit_body"] == "here"
    assert states["alexnet"] == "missing"
    assert states["blazepose-lite"] == "damaged"
    assert "14 bytes instead of 2819824" in entries["blazepose-lite"]["problem"]
    assert "14 bytes instead of 2819824" in invoke(*listing).stderr


def test_download_weights_of_what_needs_an_account(invoke, tmp_path: Path) -> None:
    result = invoke("download-weights", "smpl", "--weights", tmp_path)
    assert result.exit_code == 5
    assert "register at https://smpl.is.tue.mpg.de" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_download_weights_from_a_folder(invoke, shared: Path, tmp_path: Path) -> None:
    result = invoke(
        "download-weights", "yolo11n-pose", "yolo11n-seg", "--from", shared / "weights",
        "--weights", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "licence: AGPL-3.0" in result.stderr
    assert {file.name for file in tmp_path.glob("*.tflite")} == {
        "yolo11n-pose_640_int8.tflite",
        "yolo11n-seg_640_int8.tflite",
    }


def test_download_weights_of_an_unknown_model(invoke) -> None:
    result = invoke("download-weights", "yolo99")
    assert result.exit_code == 4
    assert "no model `yolo99`" in result.stderr


def test_doctor_has_a_fix_for_everything_that_is_missing(invoke) -> None:
    result = invoke("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert {"closefit", "torch", "CUDA", "gsplat", "ffmpeg", "disk", "body"} <= checks.keys()
    assert checks["ffmpeg"]["state"] == "ok"
    assert all(check["fix"] for check in checks.values() if check["state"] != "ok")
    problems = [check for check in checks.values() if check["state"] == "problem"]
    assert result.exit_code == (1 if problems else 0)


def test_doctor_is_readable(invoke) -> None:
    lines = invoke("doctor").stdout.splitlines()
    assert lines[0].startswith("closefit")
    assert any("licence" in line for line in lines)


def test_sigterm_ends_a_run_cleanly(tmp_path: Path) -> None:
    """A real process is ended while a stage works; nothing half-written remains."""
    script = (
        "import sys, time\n"
        "from closefit.cli import main as cli\n"
        "from closefit.pipeline import runner\n"
        "from tests.stubs import StubStages, stub_probe\n"
        "stubs = StubStages()\n"
        "stubs.init.compute = lambda job: (print('working', flush=True), time.sleep(60))\n"
        "stubs.install()\n"
        "runner.probe = stub_probe\n"
        "cli.main()\n"
    )
    observations = write_video(tmp_path / "observations.npz")
    video, out = write_video(tmp_path / "clip.mp4"), tmp_path / "results"
    arguments = ["run", video, "--out", out, "--observations", observations, "--device", "cpu"]
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGTERM)
        _, printed = process.communicate(timeout=50)  # the stage would sleep for 60 s
    assert process.returncode == 143
    assert printed.splitlines()[-1].startswith("stopped; run the same command again")
    assert Workspace(out).read_run()["status"] == "interrupted"
    files = {file.name for file in (out / "artifacts").iterdir()}
    assert files == {".lock", "track.npz"}


def test_evaluate_shows_a_row_per_measure_and_a_column_per_stage(
    invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from closefit.evaluation.runs import Measures

    names = [field.name for field in fields(Measures)]
    floats = [field.name for field in fields(Measures) if field.type is float]
    counts = dict.fromkeys(set(names) - set(floats), 7)
    before = Measures(**counts, **dict.fromkeys(floats, 0.5))
    after = Measures(**counts, **dict.fromkeys(floats, float("nan")))
    monkeypatch.setattr(
        "closefit.evaluation.runs.evaluate_run", lambda *_: {"init": before, "optimize": after}
    )
    monkeypatch.setattr("closefit.evaluation.runs.doubts", lambda *_: ["this is doubtful"])
    arguments = ["evaluate", tmp_path, "--truth", tmp_path / "truth.npz"]
    lines = invoke(*arguments).stdout.splitlines()
    assert lines[0].split() == ["measure", "init", "optimize", "change", "(%)", "unit"]
    assert len(lines) == 1 + len(names)
    assert "0.500" in lines[1]
    printed = json.loads(invoke(*arguments, "--json").stdout)
    assert printed["init"][floats[0]] == 0.5
    assert printed["optimize"][floats[0]] is None
    assert "warning: this is doubtful" in invoke(*arguments).stderr

    both = ["evaluate", tmp_path / "a", tmp_path / "b", *arguments[2:]]
    header = invoke(*both).stdout.splitlines()[0]
    assert header.split() == ["measure", "a", "b", "change", "(%)", "unit"]
    assert list(json.loads(invoke(*both, "--json").stdout)) == [f"{tmp_path}/a", f"{tmp_path}/b"]


def test_evaluate_shows_by_how_much_the_second_stage_is_better() -> None:
    from closefit.cli.evaluate import score_rows

    labels = {"error": ("error", "mm"), "frames": ("frames", "frames"), "none": ("none", "mm")}
    before = {"error": 50.0, "frames": 4, "none": 0.0}
    header, rows = score_rows({"init": before, "optimize": before | {"error": 40.0}}, labels)
    assert [row[header.index("change (%)")] for row in rows] == ["-20.0", "-", "-"]
    assert "change (%)" not in score_rows({"init": before}, labels)[0]


def test_evaluate_without_a_truth_is_an_input_error(invoke, finished: Path, tmp_path: Path) -> None:
    result = invoke("evaluate", finished, "--truth", tmp_path / "none.npz")
    assert result.exit_code == 3
    assert "none.npz`" in result.stderr


def test_import_smpl_of_a_missing_file_is_an_input_error(invoke, tmp_path: Path) -> None:
    result = invoke("import-smpl", tmp_path / "none.pkl", "--weights", tmp_path)
    assert result.exit_code == 3
    assert "none.pkl`" in result.stderr


@pytest.mark.usefixtures("stub_stages")
def test_results_go_to_a_folder_named_after_the_video_unless_that_is_something_else(
    invoke, stub_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.chdir(place)
    assert invoke("run", stub_clip).exit_code == 0
    assert [path.name for path in place.iterdir()] == [stub_clip.stem]
    again = invoke("run", stub_clip)
    assert "nothing, all is up to date" in again.stderr
    (tmp_path / "more").mkdir()
    other = write_video(tmp_path / "more" / stub_clip.name, b"another video")
    refused = invoke("run", other)
    assert refused.exit_code == OutputFolderError.exit_code
    assert "another video" in refused.stderr
    photos = write_video(tmp_path / "photos.mp4")
    (place / "photos").mkdir()
    (place / "photos" / "beach.jpg").write_bytes(b"precious")
    refused = invoke("run", photos)
    assert refused.exit_code == OutputFolderError.exit_code
    assert f"closefit run {photos} --out DIR" in refused.stderr
    assert [path.name for path in (place / "photos").iterdir()] == ["beach.jpg"]


def test_the_summary_says_what_to_open_how_long_they_touch_and_what_is_doubtful(
    tmp_path: Path,
) -> None:
    (tmp_path / "report.html").write_text("page")
    run = {
        "video": {"fps": 25.0},
        "quality": {
            "track": {"frames": 100, "not_seen_frames": [[], list(range(30))]},
            "export": {"contact_s": 1.24, "confidence": [0.8, 0.31]},
        },
    }
    lines = list(summary(tmp_path, run))
    assert lines[0] == ("open first", str(tmp_path / "report.html"))
    assert ("touching", "1.2 of 4.0 seconds") in lines
    assert ("confidence", "person 0 0.80, person 1 0.31 (mean, of 1)") in lines
    assert any("person 1 was not found in 30 of 100 frames" in text for _, text in lines)
    nothing = ("doubtful", "nothing that closefit notices")
    assert list(summary(tmp_path / "old", {"video": {"fps": 25.0}}))[-1] == nothing
