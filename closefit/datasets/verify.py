"""Checks a dataset: files, checksums, arrays, and that no two splits have a source in common."""

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from closefit.boundary.files import UNREADABLE, parse_json, read_text, typed
from closefit.boundary.refusals import RefusedError, named, refusals_as, refuse
from closefit.datasets.arrays import check
from closefit.datasets.folder import AGAIN, CLIPS, SUMS, files_below, read_card, read_sums
from closefit.datasets.splits import SPLITS
from closefit.errors import ArtifactDamagedError
from closefit.learning.motions.shards import MotionShards
from closefit.storage.hashing import sha256_now

SHOWN = 5


class _VideoFacts(TypedDict):
    sha256: str


class ClipFacts(TypedDict):
    """What of a line of `clips.jsonl` is checked."""

    id: str
    split: str
    num_frames: int
    file: str
    pictures: str | None
    source: str | None
    subjects: list[str]
    video: _VideoFacts


def verify_dataset(root: Path) -> dict[str, Any]:
    """Check everything in the folder of a dataset; return counts.

    Raises:
        ArtifactMissingError: The folder is no dataset.
        ArtifactVersionError: Its layout is of another version.
        ArtifactDamagedError: Something is missing, changed or too much: all is counted, the first
            few are named.
    """
    card = read_card(root)
    sums = read_sums(root)
    problems = list(_of_files(root, sums))
    clips = _read_clips(root)
    problems += _of_splits(clips)
    if len(clips) != card.get("clips"):
        problems.append(f"`{CLIPS}` has {len(clips)} clips and the card {card.get('clips')}")
    layout = str(card.get("layout"))
    if layout not in CHECKS:
        problems.append(f"`{layout}` is no layout of a dataset")
    elif not problems:  # arrays of files that changed need no look
        problems += CHECKS[layout](root, clips)
    if problems:
        more = len(problems) - SHOWN
        text = "; ".join(problems[:SHOWN]) + (f"; {more} more problems" if more > 0 else "")
        raise ArtifactDamagedError(f"`{root}` is not whole: {text}", hint=AGAIN)
    return {"clips": len(clips), "files": len(sums), "layout": card["layout"]}


def _of_files(root: Path, sums: Mapping[str, str]) -> Iterator[str]:
    there = set(files_below(root)) - {SUMS}
    if missing := sorted(sums.keys() - there):
        yield f"{len(missing)} files are missing: {named(missing)}"
    if extra := sorted(there - sums.keys()):
        yield f"{len(extra)} files are not of it: {named(extra)}"
    for name in sorted(sums.keys() & there):
        path = root / name
        if path.is_symlink() or not path.is_file():
            yield f"`{name}` is a link, or no file"
        elif sha256_now(path) != sums[name]:
            yield f"`{name}` has changed"


def _read_clips(root: Path) -> list[ClipFacts]:
    """Read `clips.jsonl`.

    Raises:
        ArtifactDamagedError: A line cannot be read.
    """
    found = []
    with refusals_as(ArtifactDamagedError, root / CLIPS, AGAIN):
        for number, line in enumerate(read_text(root / CLIPS).splitlines(), 1):
            found.append(_parsed(line, number))
    return found


def _parsed(line: str, number: int) -> ClipFacts:
    try:
        facts: ClipFacts = typed(parse_json(line), ClipFacts)
    except RefusedError as refused:
        refuse(f"line {number}: {refused.problem}")
    return facts


def _of_splits(clips: Sequence[ClipFacts]) -> Iterator[str]:
    """Anything that is in two splits."""
    places: dict[tuple[str, str], set[str]] = {}
    for clip in clips:
        if clip["split"] not in SPLITS:
            yield f"clip `{clip['id']}` is in no known split"
        tokens = [("video", clip["video"]["sha256"])]
        tokens += [("source", clip["source"])] if clip["source"] else []
        tokens += [("person", who) for who in clip["subjects"]]
        for token in tokens:
            places.setdefault(token, set()).add(clip["split"])
    for (kind, name), splits in sorted(places.items()):
        if len(splits) > 1:
            yield f"the {kind} `{name[:40]}` is in {' and '.join(sorted(splits))}"


def _of_folder(root: Path, clips: Sequence[ClipFacts]) -> Iterator[str]:
    for clip in clips:
        path = root / clip["file"]
        content = path.read_bytes() if path.is_file() else b""
        yield from _of_arrays(clip, content)
        pictures = clip["pictures"]
        if pictures is not None:
            count = sum(1 for _ in (root / pictures).glob("*.jpg"))
            if count != clip["num_frames"]:
                yield f"`{pictures}` has {count} pictures for {clip['num_frames']} frames"


def _of_shards(root: Path, clips: Sequence[ClipFacts]) -> Iterator[str]:
    left = {clip["id"]: clip for clip in clips}
    for path in sorted({root / clip["file"] for clip in clips}):
        yield from _of_shard(path, left)
    if left:
        yield f"{len(left)} clips are in no shard: {named(sorted(left))}"


def _of_shard(path: Path, left: dict[str, ClipFacts]) -> Iterator[str]:
    try:
        with tarfile.open(path) as shard:
            yield from _of_samples(shard, left)
    except (RefusedError, tarfile.TarError, *UNREADABLE) as error:
        yield f"`{path.name}` cannot be read: {error}"


def _of_samples(shard: tarfile.TarFile, left: dict[str, ClipFacts]) -> Iterator[str]:
    """Check the samples of a shard, and take them off the list of clips."""
    clip: ClipFacts | None = None
    pictures = 0
    for member in shard:
        kind = member.name.rpartition(".")[2]
        if kind == "jpg":
            pictures += 1
            continue
        file = shard.extractfile(member)
        content = b"" if file is None else file.read()
        if kind == "json":
            yield from _of_pictures(clip, pictures)
            clip, pictures = left.pop(_id_in(content), None), 0
            if clip is None:
                yield f"`{member.name}` is not among the clips"
        elif clip is not None:
            yield from _of_arrays(clip, content)
    yield from _of_pictures(clip, pictures)


def _id_in(content: bytes) -> str:
    facts = parse_json(content.decode(errors="replace"))
    return str(facts.get("id")) if isinstance(facts, dict) else ""


def _of_pictures(clip: ClipFacts | None, count: int) -> Iterator[str]:
    if clip is not None and count != (clip["num_frames"] if clip["pictures"] else 0):
        yield f"`{clip['id']}` has {count} pictures for {clip['num_frames']} frames"


def _of_arrays(clip: ClipFacts, content: bytes) -> Iterator[str]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            frames = check({name: file[name] for name in file.files})
    except RefusedError as refused:
        yield f"arrays of `{clip['id']}`: {refused.problem}"
    except UNREADABLE as error:
        yield f"arrays of `{clip['id']}` cannot be read ({type(error).__name__})"
    else:
        if frames != clip["num_frames"]:
            yield f"arrays of `{clip['id']}` have {frames} frames, not {clip['num_frames']}"


def _of_prior(root: Path, clips: Sequence[ClipFacts]) -> Iterator[str]:
    known = {clip["id"] for clip in clips}
    for split in sorted({clip["split"] for clip in clips}):
        if not (root / split).is_dir():  # none of its clips is observed for long enough
            continue
        shards = MotionShards.open(root / split)
        names = {name.rpartition(":")[0] for name in shards.names}
        if names - known:
            yield f"`{split}` has motion of {named(sorted(names - known))}"


CHECKS: dict[str, Callable[[Path, Sequence[ClipFacts]], Iterator[str]]] = {
    "npz": _of_folder,
    "wds": _of_shards,
    "prior": _of_prior,
}
