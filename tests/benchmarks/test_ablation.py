"""The verdicts of the ablation must follow from its cells."""

import dataclasses
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from closefit.evaluation.runs import Measures

FULL = {"mpjpe_mm": 50.0, "interaction_mm": 50.0, "a_pd_mm": 0.02, "contact_recall": 0.8}


def _scores(**known: float | None) -> dict[str, float | None]:
    return dict.fromkeys((f.name for f in fields(Measures)), 0.0) | known


def _result(clip: str, source: str, variant: str, stage: str, **known: float) -> dict:
    return {"clip": clip, "source": source, "variant": variant, "scores": {stage: _scores(**known)}}


def test_the_spread_is_that_of_the_seeds_and_not_of_the_clips():
    from ablation import _means, _spread

    results = [
        _result(clip, source, "full", "optimize", mpjpe_mm=clip_mm + seed_mm)
        for clip, clip_mm in (("easy", 20.0), ("hard", 80.0))
        for source, seed_mm in (("own", -1.0), ("1", 1.0))
    ]
    means = _means([*results], [Path("easy"), Path("hard")])
    assert _spread(means["full"], "mpjpe_mm") == "50.0 ± 1.4"


def test_a_seed_that_lacks_a_clip_is_left_out():
    from ablation import _means

    results = [_result("easy", "own", "full", "optimize")]
    assert _means(results, [Path("easy"), Path("hard")]) == {}


@pytest.mark.parametrize(("initial_mm", "reached"), [(58.0, False), (60.0, True)])
def test_verdicts_follow_from_the_numbers(initial_mm, reached):
    from ablation import CHECKS

    means = {
        "initial": [_scores(**FULL | {"mpjpe_mm": initial_mm})],
        "full": [_scores(**FULL)],
        "no-physics": [_scores(**FULL | {"a_pd_mm": 0.1})],
    }
    verdicts = {v.what: v.reached for check in CHECKS if (v := check(means)) is not None}
    assert verdicts["MPJPE, full against initial"] is reached
    assert verdicts["A-PD, w/o physics worse than full"]
    assert verdicts["contact recall, full"]
    assert not any("appearance" in what for what in verdicts), "that row was not run"


def test_depth_order_counts_frames_and_not_clips():
    from cells import mean_scores

    few = _scores(wrong_depth_order=1.0, depth_order_frames=1)
    many = _scores(wrong_depth_order=0.0, depth_order_frames=9)
    assert mean_scores([few, many])["wrong_depth_order"] == pytest.approx(0.1)
    unknown = _scores(contact_recall=None)
    assert mean_scores([unknown, _scores(contact_recall=0.5)])["contact_recall"] == 0.5


def test_what_a_cell_depends_on_is_in_its_name(tmp_path: Path):
    from cells import Bench, Cell, Conditions, Variant

    clip = tmp_path / "clip"
    clip.mkdir()
    for name in ("video.mp4", "truth.npz", "observations.npz", "../body.npz"):
        np.savez(clip / "a.npz", name)
        (clip / "a.npz").rename(clip / name)
    bench = Bench(tmp_path / "out", Conditions())
    plain = Cell(clip, "own", Variant("full"))
    others = [
        (bench, dataclasses.replace(plain, source="1")),
        (bench, dataclasses.replace(plain, variant=Variant("full", ("init.prior=false",)))),
        (Bench(tmp_path / "out", Conditions(true_focal=False)), plain),
    ]
    files = {bench._file(plain)} | {other._file(cell) for other, cell in others}
    assert len(files) == 4

    result = _result("clip", "own", "full", "optimize")
    bench._file(plain).parent.mkdir(parents=True)
    bench._file(plain).write_text(json.dumps(result))
    assert bench.run([plain]) == [result], "a finished cell is read and not run again"
    (clip / "observations.npz").write_bytes(b"others")
    assert bench._file(plain) not in files


def test_a_cell_that_fails_names_its_error_and_spoils_no_other(tmp_path: Path, capfd):
    from cells import Bench, Cell, Conditions, Variant

    clip = tmp_path / "clip"
    clip.mkdir()
    for name in ("video.mp4", "observations.npz", "../body.npz"):
        (clip / name).write_bytes(b"broken")
    np.savez(clip / "truth.npz", K=np.eye(3))
    bench = Bench(tmp_path / "out", Conditions())
    assert bench.run([Cell(clip, "own", Variant("initial", optimize=None))]) == []
    assert bench.failed
    assert "error:" in capfd.readouterr().err


def test_hard_detections_lose_a_person_and_only_the_legs_of_the_other():
    from cells import hide

    found = {"boxes": np.ones((120, 2, 4)), "keypoints": np.ones((120, 2, 17, 3))}
    hide(found, 30.0, seed=3)
    gone = np.isnan(found["boxes"]).any(-1)
    (person,) = np.flatnonzero(gone.any(axis=0))
    assert gone[:, person].sum() == 27
    missing = found["keypoints"][:, 1 - person, :, 2] == 0
    assert missing[:, 11:].any(axis=1).sum() == 36
    assert not missing[:, :11].any()
