"""Datasets: what was accepted, the same bytes each time, splits apart, damage named."""

import errno
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import closefit.datasets.loader
from closefit.batch.folder import REVIEWS, BatchFolder
from closefit.datasets import load
from closefit.datasets.arrays import ClipArrays, run_lengths
from closefit.datasets.decisions import decide
from closefit.datasets.export import Request, export_dataset
from closefit.datasets.folder import files_below
from closefit.datasets.ranking import result_of
from closefit.datasets.reviews import Review, Reviews
from closefit.datasets.splits import SPLITS, assign, group
from closefit.datasets.verify import verify_dataset
from closefit.errors import ArtifactError, ArtifactVersionError, ClosefitError
from closefit.events import ignore
from closefit.exporters.motion import read_motion
from closefit.imports.detections import rle
from closefit.learning.motions.shards import MotionShards
from closefit.records import Track
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace
from tests.batch_folder import FRAMES, SIZE_WH, make_batch
from tests.clips import number_in

CLIPS = ("hug", "film_1.20-3.40", "fight", "waltz ü", "swing")
WORDS = {
    "hug": {"source": "studio", "licence": "CC BY 4.0", "subjects": "anna, ben"},
    "film_1.20-3.40": {"source": "film", "licence": "CC BY 4.0"},
    "fight": {"source": "street", "subjects": "cleo,dan"},
    "waltz ü": {"source": "film", "quality": {"score": 0.93, "frames": FRAMES}},
    "swing": {"source": "hall", "subjects": "ben", "licence": "own <footage> | ours"},
}


@pytest.fixture
def batch(tmp_path: Path, results: Path) -> BatchFolder:
    return make_batch(tmp_path / "batch", results, CLIPS, WORDS)


def decision(folder: BatchFolder, clip: str, reviewer: str, verdict: str, **more: object) -> Review:
    records, _ = folder.records()
    return Review(
        clip=clip,
        reviewer=reviewer,
        verdict=verdict,  # type: ignore[arg-type]
        result=result_of(records[clip]),
        reviewed="2026-11-29T12:00:00+00:00",
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture
def reviewed(batch: BatchFolder) -> BatchFolder:
    """Two reviewers, who differ about one clip; one clip is kept in part."""
    reviews = Reviews(batch.root / REVIEWS)
    for clip in CLIPS:
        reviews.add(decision(batch, clip, "anna", "accept", first=4 if clip == "hug" else None))
    reviews.add(decision(batch, "hug", "ben", "accept", last=20, identity=True, note="at the end"))
    reviews.add(decision(batch, "fight", "ben", "reject"))
    return batch


def export(folder: BatchFolder, out: Path, **more: object) -> dict[str, object]:
    request = Request(batch=folder.root, out=out, name="wild", **more)  # type: ignore[arg-type]
    return export_dataset(request, ignore)


def test_the_majority_decides_and_a_draw_is_left_out(batch: BatchFolder) -> None:
    records, _ = batch.records()
    opinions = {
        "hug": "aar", "film_1.20-3.40": "ar", "fight": "rra", "waltz ü": "a",
    }  # fmt: skip
    words = {"a": "accept", "r": "reject"}
    reviews = [
        decision(batch, clip, f"person {number}", words[letter])
        for clip, letters in opinions.items()
        for number, letter in enumerate(letters)
    ]
    reviews.append(decision(batch, "swing", "person 0", "accept"))
    outdated = Review(**{**vars(reviews[-1]), "result": "an earlier one"})
    kept, tally = decide(records, [*reviews[:-1], outdated])
    assert [clip.record["name"] for clip in kept] == ["hug", "waltz ü"]
    counts = {key: tally[key] for key in ("accepted", "rejected", "disputed", "unreviewed")}
    assert counts == {"accepted": 2, "rejected": 1, "disputed": 1, "unreviewed": 1}
    assert tally["outdated"] == 1
    # Of seven pairs two agree (one of hug, one of fight); half of the verdicts accept.
    assert tally["agreement"] == {"pairs": 7, "share": round(2 / 7, 4), "scott_pi": -0.4286}


def test_people_who_accept_keep_what_all_of_them_keep(batch: BatchFolder) -> None:
    records, _ = batch.records()
    reviews = [
        decision(batch, "hug", "anna", "accept", first=3, last=12),
        decision(batch, "hug", "ben", "accept", first=7),
        decision(batch, "swing", "anna", "accept", last=5),
        decision(batch, "swing", "ben", "accept", first=6),
    ]
    kept, tally = decide(records, reviews)
    assert [(clip.first, clip.last) for clip in kept] == [(7, 12)]
    assert (tally["trimmed"], tally["disputed"]) == (1, 1)


def test_no_source_and_no_person_is_in_two_splits() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        names = [f"clip{number}" for number in range(generator.integers(1, 60))]
        tokens = {name: [f"s{n}" for n in generator.integers(0, 40, 2)] for name in names}
        frames = {name: int(generator.integers(1, 300)) for name in names}
        shares = generator.dirichlet(np.ones(3)).tolist()
        splits = assign(group(tokens), frames, shares)
        assert splits.keys() == set(names)
        places: dict[str, set[str]] = {}
        for name in names:
            for token in tokens[name]:
                places.setdefault(token, set()).add(splits[name])
        assert all(len(found) == 1 for found in places.values())
        shuffled = {name: tokens[name][::-1] for name in generator.permutation(names).tolist()}
        assert assign(group(shuffled), frames, shares) == splits


def test_splits_get_about_the_shares_that_were_asked_for() -> None:
    tokens = {f"clip{number}": [number] for number in range(200)}
    frames = dict.fromkeys(tokens, 100)
    splits = assign(group(tokens), frames, (0.8, 0.15, 0.05))
    assert [list(splits.values()).count(name) for name in SPLITS] == [160, 30, 10]
    assert set(assign(group(tokens), frames, (0.0, 0.0, 1.0)).values()) == {"test"}


def test_a_dataset_holds_what_was_accepted(reviewed: BatchFolder, tmp_path: Path) -> None:
    card = export(reviewed, tmp_path / "out", shares=(0.5, 0.25, 0.25))
    assert verify_dataset(tmp_path / "out")["clips"] == card["clips"] == 4
    clips = {clip.name: clip for clip in load(tmp_path / "out")}
    assert clips.keys() == set(CLIPS) - {"fight"}
    hug = clips["hug"]
    assert (hug.facts["first_frame"], hug.facts["last_frame"]) == (4, 20)
    assert hug.facts["identity_flagged"]
    assert hug.facts["notes"] == ["at the end"]
    assert "path" not in json.dumps(hug.facts)
    kept = slice(4, 21)
    workspace = Workspace(reviewed.results("hug"))
    motion = read_motion(workspace.motion)
    track = artifacts.read(workspace.artifact("track"), Track)
    arrays = hug.arrays
    np.testing.assert_array_equal(arrays["joints"], motion.joints[kept])
    np.testing.assert_array_equal(arrays["keypoints"], track.keypoints[kept])
    np.testing.assert_allclose(
        arrays["rotations_6d"].reshape(17, 2, 24, 2, 3)[..., 1, :],
        motion.rotations[kept, ..., 1],
        atol=1e-6,
    )
    for index, person in ((0, 0), (9, 1), (16, 0)):
        mask = track.person_masks[4 + index, person]
        np.testing.assert_array_equal(hug.mask(index, person), mask)
    contacts = json.loads(workspace.contacts.read_text())
    touching = {n for a, b in contacts["frames_in_contact"] for n in range(a, b + 1)}
    assert {4 + n for n in arrays["contact_index"].tolist()} == touching & set(range(4, 21))
    for index in (0, 16):
        path = hug.picture(index)
        assert path is not None
        with Image.open(path) as picture:
            assert picture.size == SIZE_WH
            assert number_in(np.asarray(picture)) == 4 + index
    train = {clip.name for clip in load(tmp_path / "out", "train")}
    assert train
    # film and waltz share a source, hug and swing a person.
    assert len({clips[name].facts["split"] for name in ("hug", "swing")}) == 1
    assert len({clips[name].facts["split"] for name in ("film_1.20-3.40", "waltz ü")}) == 1


def test_run_lengths_are_those_of_coco() -> None:
    generator = np.random.default_rng(0)
    for _ in range(30):
        height, width = generator.integers(1, 9, 2).tolist()
        mask = generator.random((height, width)) < generator.random()
        runs = run_lengths(mask)
        encoded = {"size": [height, width], "counts": runs.tolist()}
        np.testing.assert_array_equal(rle.decode(encoded, (height, width)), mask)


def test_the_card_says_where_it_comes_from(reviewed: BatchFolder, tmp_path: Path) -> None:
    card = export(reviewed, tmp_path / "out", scene="outdoor")
    assert card["licences"] == {"CC BY 4.0": 2, "not given": 1, "own <footage> | ours": 1}
    assert card["sources"] == {"film": 2, "hall": 1, "studio": 1}
    assert card["scores"] == {"clips": 1, "histogram": [0] * 9 + [1]}
    assert card["reviews"]["agreement"]["pairs"] == 2
    frames = 3 * FRAMES + 17
    row = ["wild", 4, frames, "outdoor", "closefit body", "pseudo", "yes", "yes"]
    assert card["table_1"] == row
    text = (tmp_path / "out" / "card.md").read_text()
    assert f"| **wild** | **4** | **{frames}** | **outdoor** |" in text
    assert "own &lt;footage> \\| ours" in text
    assert json.loads((tmp_path / "out" / "card.json").read_text()) == card


@pytest.mark.parametrize("layout", ["npz", "wds", "prior"])
def test_the_same_reviews_make_the_same_bytes(
    reviewed: BatchFolder, tmp_path: Path, layout: str
) -> None:
    for name in ("one", "two", "two"):  # the second time it is replaced
        export(reviewed, tmp_path / name, layout=layout)
    one, two = (tmp_path / name / "SHA256SUMS" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    check = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=one.parent, check=False).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batch", "footage", "one", "two"]
    assert verify_dataset(one.parent)["layout"] == layout


def test_no_pixels_leaves_times_of_frames(reviewed: BatchFolder, tmp_path: Path) -> None:
    export(reviewed, tmp_path / "out", pixels=False)
    verify_dataset(tmp_path / "out")
    assert not [name for name in files_below(tmp_path / "out") if name.endswith(".jpg")]
    (hug,) = [clip for clip in load(tmp_path / "out") if clip.name == "hug"]
    assert hug.picture(0) is None
    np.testing.assert_allclose(hug.arrays["source_time_s"], np.arange(4, 21) / 25.0)
    assert len(hug.facts["video"]["sha256"]) == 64


def test_webdataset_shards_hold_a_sample_per_clip(reviewed: BatchFolder, tmp_path: Path) -> None:
    export(reviewed, tmp_path / "out", layout="wds", shares=(1.0, 0.0, 0.0))
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as shard:
        names = shard.getnames()
    keys = [name.split(".", 1)[0] for name in names]
    assert all(first <= second for first, second in pairwise(keys)), "samples lie together"
    assert len(set(keys)) == 4
    kinds = {name.split(".", 1)[1] for name in names if name.startswith(f"{keys[0]}.")}
    assert {"json", "npz", "000000.jpg"} <= kinds


def test_shards_for_the_prior_hold_the_motion(reviewed: BatchFolder, tmp_path: Path) -> None:
    export(reviewed, tmp_path / "out", layout="prior", shares=(1.0, 0.0, 0.0))
    shards = MotionShards.open(tmp_path / "out" / "train")
    assert len(shards.names) == 4
    first = list(shards.names).index("swing:0-23")
    rows = slice(int(shards.starts[first]), int(shards.stops[first]))
    walked = shards.pelvis_m[rows][-1, 0] - shards.pelvis_m[rows][0, 0]
    np.testing.assert_allclose(walked, [1.1, 0.0, 0.0], atol=0.06)  # to the right, on the floor
    assert (shards.pelvis_m[rows][..., 1] > 0.7).all()


def test_the_loader_is_short_and_needs_numpy_only() -> None:
    path = Path(closefit.datasets.loader.__file__)
    assert len(path.read_text().splitlines()) <= 60
    script = (
        "import runpy, sys; runpy.run_path(sys.argv[1]); "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True, cwd="/"
    )
    assert "closefit" not in done.stdout.split()
    assert "torch" not in done.stdout.split()


def test_the_documentation_names_every_array() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "dataset.md"
    if not page.is_file():
        pytest.skip("an installed closefit has no documentation beside it")
    rows = [line.split("|")[1] for line in page.read_text().splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert {field.name for field in fields(ClipArrays)} <= named


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (lambda root: flip(root / "clips" / "hug.npz"), "`clips/hug.npz` has changed"),
    "a missing file": (lambda root: (root / "clips" / "hug.npz").unlink(), "1 files are missing"),
    "one too many": (lambda root: (root / "notes.txt").write_text(""), "1 files are not of it"),
    "no list": (lambda root: (root / "SHA256SUMS").unlink(), "SHA256SUMS"),
    "a damaged list": (lambda root: flip(root / "SHA256SUMS"), "SHA256SUMS|missing|changed"),
    "a name that leads out": (
        lambda root: rewrite(root / "SHA256SUMS", "clips/hug.npz", "../clips/hug.npz"),
        "is no checksum of a file in this folder",
    ),
    "a cut line": (
        lambda root: (root / "clips.jsonl").write_text('{"id": "hug", "spl'),
        "line 1: it is cut off",
    ),
    "no dataset": (lambda root: (root / "card.json").unlink(), "is not a dataset of closefit"),
    "a later version": (
        lambda root: rewrite(root / "card.json", '"version": 1', '"version": 2'),
        "layout version `2`",
    ),
    "a source in two splits": (
        lambda root: rewrite(root / "clips.jsonl", '"hall"', '"film"'),
        "the source `film` is in",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_verify_names_what_is_wrong(
    reviewed: BatchFolder, tmp_path: Path, case: str, invoke
) -> None:
    root = tmp_path / "out"
    export(reviewed, root, pixels=False, shares=(0.5, 0.25, 0.25))
    damage, match = DAMAGE[case]
    damage(root)
    with pytest.raises(ArtifactError, match=match):
        verify_dataset(root)
    result = invoke("dataset", "verify", root)
    assert result.exit_code == 6
    assert "hint:" in result.stderr


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


BROKEN: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "results gone": (lambda root: remove(root / "hug"), 6, "clip `hug`"),
    "motion gone": (lambda root: remove(root / "hug" / "motion.npz"), 6, "clip `hug`"),
    "motion damaged": (lambda root: flip(root / "hug" / "motion.npz"), 6, "clip `hug`"),
    "contacts of another clip": (
        lambda root: rewrite(root / "hug" / "contacts.json", '"frames_in_contact": [', "[["),
        6,
        "contacts.json",
    ),
    "track gone": (lambda root: remove(root / "hug" / "artifacts" / "track.npz"), 6, "clip `hug`"),
    "no batch": (lambda root: remove(root / "batch.json"), 6, "not the folder of a batch"),
    "nothing reviewed": (lambda root: remove(root / REVIEWS), 3, "no clip of"),
    "reviews damaged": (lambda root: (root / REVIEWS).write_text("x" * 999), 6, "reviews.sqlite"),
    "another video": (
        lambda root: rewrite(root / "hug" / "run.json", 'sha256": "', 'sha256": "0'),
        3,
        "another video",
    ),
    "the video gone": (
        lambda root: rewrite(root / "hug" / "run.json", ".mp4", ".gone"),
        3,
        "is gone",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_export_is_whole_or_is_not(
    reviewed: BatchFolder, tmp_path: Path, case: str, invoke
) -> None:
    """What was in the folder stays as it was; each failure has a sentence, a hint and a code."""
    out = tmp_path / "out"
    export(reviewed, out, pixels=False)
    before = (out / "SHA256SUMS").read_bytes()
    breaking, code, match = BROKEN[case]
    breaking(reviewed.root)
    result = invoke("dataset", "export", reviewed.root, "--out", out)
    assert (result.exit_code, "hint:" in result.stderr) == (code, True)
    assert match in result.stderr
    assert (out / "SHA256SUMS").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batch", "footage", "out"]


def test_a_full_disk_leaves_the_earlier_dataset(
    reviewed: BatchFolder, tmp_path: Path, invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export(reviewed, out, pixels=False)
    before = (out / "SHA256SUMS").read_bytes()
    write, writes = Path.write_bytes, []

    def fill(path: Path, content: bytes) -> int:
        writes.append(path)
        if len(writes) > 2:
            raise OSError(errno.ENOSPC, "no space left", str(path))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill)
    result = invoke("dataset", "export", reviewed.root, "--out", out, "--no-pixels")
    assert (result.exit_code, "no space left" in result.stderr) == (10, True)
    assert (out / "SHA256SUMS").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batch", "footage", "out"]


def test_only_datasets_are_replaced(reviewed: BatchFolder, tmp_path: Path, invoke) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    command = ("dataset", "export", reviewed.root, "--no-pixels", "--out")
    for place in (out, out / "thesis.txt", reviewed.root):
        assert invoke(*command, place).exit_code == 10
    (out / "thesis.txt").unlink()
    assert invoke(*command, out, "--json").exit_code == 0
    (out / "thesis.txt").write_text("mine")
    result = invoke(*command, out)
    assert (result.exit_code, "thesis.txt" in result.stderr) == (10, True)
    assert invoke(*command, out, "--splits", "80,20").exit_code == 4


def test_results_of_an_older_layout_are_named(
    reviewed: BatchFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Track, "VERSION", 99)
    with pytest.raises(ArtifactVersionError, match=r"clip .*layout version") as raised:
        export(reviewed, tmp_path / "out")
    assert isinstance(raised.value, ClosefitError)
    assert "reject the clip" in raised.value.hint
