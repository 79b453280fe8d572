"""Which result to look at first: the one about which an answer tells the most."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from closefit.batch.record import ClipRecord


@dataclass(frozen=True)
class Score:
    """Probability that a careful person would keep a result, and what speaks against it."""

    value: float
    reasons: tuple[str, ...] = ()


def score_of(quality: Mapping[str, Any]) -> Score | None:
    """Return the score among the figures of an index line; None where the run had none.

    The only place where a score is read: `score`, from 0 to 1, and `reasons`, a list of texts.
    """
    value, reasons = quality.get("score"), quality.get("reasons")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        return None
    texts = reasons if isinstance(reasons, list) else []
    return Score(float(value), tuple(str(text) for text in texts))


def good_frames_of(quality: Mapping[str, Any], frames: int) -> list[int] | None:
    """Return first and last frame of the good part among the figures of an index line.

    None where the run had no score, nothing is good, or all `frames` are.
    """
    good = quality.get("good_frames")
    if not (isinstance(good, list) and len(good) == 2 and all(type(n) is int for n in good)):
        return None
    is_part = 0 <= good[0] <= good[1] < frames and good[1] - good[0] + 1 < frames
    return good if is_part else None


def result_of(record: ClipRecord) -> str:
    """Return what distinguishes this result of a clip from those of earlier runs."""
    return f"{record['fingerprint']} {record['finished']}"


def doubt_order(record: ClipRecord) -> tuple[float, float, float, str]:
    """Return a key that sorts clips: those about which an answer tells the most come first.

    These are the scores near 0.5; clips without a score follow by doubt: those with the most
    warnings, then those with the least confidence.
    """
    score = score_of(record["quality"])
    if score is not None:
        return (abs(score.value - 0.5), 0.0, 0.0, record["name"])
    confidence = record["quality"].get("confidence")
    numbers = confidence if isinstance(confidence, list) else []
    least = min((n for n in numbers if isinstance(n, int | float)), default=1.0)
    return (1.0, -float(len(record["warnings"])), float(least), record["name"])
