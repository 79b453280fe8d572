"""Writes the accepted clips of a batch as a dataset, one clip at a time, all or nothing."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from closefit import video
from closefit.batch.folder import REVIEWS, BatchFolder
from closefit.boundary.files import to_json
from closefit.boundary.refusals import word
from closefit.datasets.arrays import ClipArrays, read_clip
from closefit.datasets.card import as_markdown, make_card
from closefit.datasets.decisions import Kept, decide
from closefit.datasets.folder import CARD, CARD_TEXT, CLIPS, require_own, write_sums
from closefit.datasets.ranking import score_of
from closefit.datasets.reviews import Reviews
from closefit.datasets.splits import SPLITS, assign, group
from closefit.datasets.writers import (
    LEAST_FRAMES,
    Entry,
    Facts,
    FolderWriter,
    Layout,
    ShardWriter,
    Writer,
    write_lines,
    write_prior_shards,
)
from closefit.errors import ArtifactError, InputError
from closefit.events import Emit, Notice, Step
from closefit.exporters.report.content import command_of
from closefit.learning.folders import complete_folder
from closefit.storage.workspace import Workspace
from closefit.video import STAMP_SLACK_S, Image

PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*\Z")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to export.

    Attributes:
        batch: Folder of the batch.
        out: Folder of the dataset.
        layout: Layout of its files.
        pixels: Add the pictures.
        shares: Share of each split.
        name: Name of the dataset.
        scene: Where it was filmed, for the card.
    """

    batch: Path
    out: Path
    layout: Layout = "npz"
    pixels: bool = True
    shares: Sequence[float] = (0.8, 0.1, 0.1)
    name: str = "dataset"
    scene: str = "-"


@dataclass(frozen=True)
class Chosen:
    """An accepted clip and where it goes.

    Attributes:
        kept: What reviewers decided.
        key: Its name in the dataset.
        split: Its split.
        run: Content of its `run.json`.
    """

    kept: Kept
    key: str
    split: str
    run: Mapping[str, Any]


def export_dataset(request: Request, emit: Emit) -> dict[str, Any]:
    """Write the dataset and return its card. An earlier dataset in the folder is replaced.

    Raises:
        InputError: No clip is accepted, or a video is gone or another one.
        ArtifactError: A result or the reviews are missing, damaged or of another version.
        OutputFolderError: The folder holds something else, or cannot be written.
        DiskFullError: The disk is full; what was in the folder is untouched.
    """
    folder = BatchFolder(request.batch)
    folder.require_plan()
    require_own(request.out)
    records, damaged = folder.records()
    if damaged:
        text = f"{len(damaged)} lines of `{folder.index.path}` are damaged, their clips left out"
        emit(Notice(f"{text}: the same `closefit batch` again mends it", warning=True))
    kept, tally = decide(records, Reviews(folder.root / REVIEWS).latest())
    if tally["outdated"]:
        emit(Notice(f"{tally['outdated']} reviews are of results that were made anew since"))
    if not kept:
        raise InputError(
            f"no clip of `{request.batch}` is accepted",
            hint=f"look at the results with `closefit dataset review {word(request.batch)}` first",
        )
    chosen = _chosen(folder, kept, request, emit)
    with complete_folder(request.out) as place:
        clips = _write(place, folder, chosen, request, emit)
        card = make_card(
            name=request.name,
            layout=request.layout,
            pixels=request.pixels and request.layout != "prior",
            scene=request.scene,
            clips=clips,
            tally=tally,
            made_with=Counter(one.kept.record["closefit"] for one in chosen),
            commands=Counter(command_of({"settings": one.run["settings"]}) for one in chosen),
        )
        write_lines(place / CLIPS, clips)
        (place / CARD).write_text(to_json(card, indent=2) + "\n", encoding="utf-8")
        (place / CARD_TEXT).write_text(as_markdown(card), encoding="utf-8")
        write_sums(place)
    return card


def _chosen(
    folder: BatchFolder, kept: Sequence[Kept], request: Request, emit: Emit
) -> list[Chosen]:
    """Read what is known of each clip, and put each into a split."""
    runs = {}
    for clip in kept:
        name = clip.record["name"]
        with _about(name):
            run = Workspace(folder.results(name)).require_started()
        runs[name] = {key: run.get(key, {}) for key in ("video", "settings")}
    tokens = {clip.record["name"]: _tokens(clip, runs[clip.record["name"]]) for clip in kept}
    groups = group(tokens)
    splits = assign(groups, {clip.record["name"]: clip.frames for clip in kept}, request.shares)
    for split, share in zip(SPLITS, request.shares, strict=True):
        if share and split not in splits.values():
            emit(Notice(f"`{split}` has no clip: {len(groups)} groups have no source in common"))
    if unlicensed := sum(clip.record["licence"] is None for clip in kept):
        emit(Notice(f"{unlicensed} clips have no licence in the list of the batch", warning=True))
    return [
        Chosen(clip, _plain(clip.record["name"]), splits[name], runs[name])
        for clip in kept
        for name in [clip.record["name"]]
    ]


def _tokens(clip: Kept, run: Mapping[str, Any]) -> list[Hashable]:
    """What no two splits may have in common."""
    record = clip.record
    found: list[Hashable] = [("video", run["video"]["content_sha256"])]
    if record["source"]:
        found.append(("source", record["source"]))
    return found + [("subject", who) for who in _subjects(clip)]


def _subjects(clip: Kept) -> list[str]:
    words = (clip.record.get("subjects") or "").split(",")
    return sorted({word.strip() for word in words if word.strip()})


def _plain(name: str) -> str:
    """The name of a clip's files: the clip's own where any system and any tool can take it."""
    if PLAIN_NAME.match(name):
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:10]
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:80] + f"-{digest}"


def _write(
    place: Path, folder: BatchFolder, chosen: Sequence[Chosen], request: Request, emit: Emit
) -> list[Facts]:
    if request.layout == "prior":
        found: list[Facts] = []
        for split in SPLITS:
            ours = [one for one in chosen if one.split == split]
            if ours:
                entries = _entries(folder, ours, False, emit)
                found += write_prior_shards(place / split, entries)
        if not any(facts["motions"] for facts in found):
            raise InputError(
                f"no clip shows both people for {LEAST_FRAMES} frames without a guess",
                hint="use another --format, or accept clips in which both are seen for longer",
            )
        return found
    kinds = {"npz": FolderWriter, "wds": ShardWriter}
    writer: Writer = kinds[request.layout](place)
    found = []
    with closing(writer):
        for entry in _entries(folder, chosen, request.pixels, emit):
            with _about(entry.facts["name"]):
                writer.add(entry)
            found.append(entry.facts)
    return found


def _entries(
    folder: BatchFolder, chosen: Sequence[Chosen], pixels: bool, emit: Emit
) -> Iterator[Entry]:
    for done, one in enumerate(chosen, 1):
        record = one.kept.record
        with _about(record["name"]):
            arrays = read_clip(folder.results(record["name"]), one.kept.first, one.kept.last)
            pictures = _pictures(one, arrays) if pixels else None
        yield Entry(_facts(one, arrays), arrays, pictures)
        emit(Step("exporting clips", done, len(chosen)))


def _facts(one: Chosen, arrays: ClipArrays) -> Facts:
    """The clip's line of `clips.jsonl`."""
    record, known = one.kept.record, one.run["video"]
    score = score_of(record["quality"])
    return {
        "id": one.key,
        "name": os.fsencode(record["name"]).decode("utf-8", "replace"),
        "split": one.split,
        "first_frame": one.kept.first,
        "last_frame": one.kept.last,
        "num_frames": one.kept.frames,
        "fps": float(arrays.fps),
        "frames_in_contact": len(set(arrays.contact_index.tolist())),
        "body": str(arrays.body),
        "source": record["source"],
        "licence": record["licence"],
        "subjects": _subjects(one.kept),
        "score": None if score is None else score.value,
        "warnings": record["warnings"],
        "accepted": one.kept.accepted,
        "rejected": one.kept.rejected,
        "identity_flagged": one.kept.identity,
        "notes": list(one.kept.notes),
        "closefit": record["closefit"],
        "video": {
            "file": os.fsencode(os.path.basename(known["path"])).decode("utf-8", "replace"),
            "sha256": known["content_sha256"],
            "width": known["width"],
            "height": known["height"],
            "fps": known["fps"],
        },
    }


def _pictures(one: Chosen, arrays: ClipArrays) -> Iterator[Image]:
    """The kept frames of the source video.

    Raises:
        InputError: It is gone, or another video.
    """
    known = one.run["video"]
    path = Path(known["path"])
    if not path.is_file():
        raise InputError(
            f"its video `{path}` is gone", hint="put it back, or export with --no-pixels"
        )
    info = video.probe(path)
    if info.content_sha256 != known["content_sha256"]:
        raise InputError(
            f"`{path}` is another video than the one that was reconstructed",
            hint="put that one back, or export with --no-pixels",
        )
    times = arrays.source_time_s
    found = video.frames(info, float(times[0]), float(times[-1]) + 2.0 * STAMP_SLACK_S)
    return islice(found, len(times))


@contextmanager
def _about(name: str) -> Iterator[None]:
    """Errors inside are about this clip."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"clip `{name}`: {error.message}", error.hint) from error
    except ArtifactError as error:
        raise type(error)(
            f"clip `{name}`: {error.message}",
            f"{error.hint}, or reject the clip with `closefit dataset review`",
        ) from error
