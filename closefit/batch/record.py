"""A line of `index.jsonl`: how one clip ended, and the figures of its result."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

Status = Literal["done", "failed"]


class _Subjects(TypedDict, total=False):
    subjects: str | None


class ClipRecord(_Subjects):
    """How one clip ended.

    Attributes:
        name: Name of its results folder in the batch's folder.
        clip: Path of the video.
        start_s: First moment of the video that counts; null for its beginning.
        end_s: Last moment; null for its end.
        source: Where the footage is from, as the list says.
        licence: Its licence, as the list says.
        subjects: Who is in it, as the list says; lines of earlier versions lack it.
        status: `done` or `failed`.
        exit_code: Exit code that `closefit run` would have had.
        error: Why it failed, in one sentence; null if it did not.
        hint: What to do about it.
        attempts: How often it was started; more than once if a process ended under it.
        seconds: Time of its last start, from loading the settings to the last file.
        stages: Seconds of each stage.
        frames: Number of frames.
        quality: Figures of the result by name, as in `run.json`.
        warnings: What not to trust in it.
        host: Name of the machine.
        closefit: Version of closefit.
        finished: Date and time (UTC).
        fingerprint: Hash of all settings that can change the result.
        inputs: Size and time of change of the clip and of the files in its settings.
    """

    name: str
    clip: str
    start_s: float | None
    end_s: float | None
    source: str | None
    licence: str | None
    status: Status
    exit_code: int
    error: str | None
    hint: str | None
    attempts: int
    seconds: float
    stages: dict[str, float]
    frames: int | None
    quality: dict[str, Any]
    warnings: list[str]
    host: str
    closefit: str
    finished: str
    fingerprint: str
    inputs: list[list[int] | None]


def figures(quality: Mapping[str, Any]) -> dict[str, Any]:
    """Return the verdict and the figures of all stages of `run.json` by name.

    Lists of frames become counts.
    """
    stages = [entry for entry in quality.values() if isinstance(entry, Mapping)]
    found = {key: entry for key, entry in quality.items() if not isinstance(entry, Mapping)}
    for figures_of_stage in stages:
        for key, value in figures_of_stage.items():
            if key == "people":
                found[key] = len(value)
            elif key == "not_seen_frames":
                found[key] = [len(frames) for frames in value]
            elif key == "doubtful_frames":
                found[key] = sum(last - first + 1 for first, last in value)
            elif key == "swapped_frames" or key.endswith("_swapped_frames"):
                found[key] = len(value) if isinstance(value, list) else value
            elif isinstance(value, Mapping):
                found |= {f"{key}_{inner}": entry for inner, entry in value.items()}
            else:
                found[key] = value
    return found
