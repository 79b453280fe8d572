"""Events that long work reports; `cli/console.py` draws them, tests collect them."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Planned:
    """A run is about to begin.

    Attributes:
        clip: Name, length and size of the clip.
        preset: Name of the preset.
        device: Where it runs.
        stages: Names of the stages that have to run.
        seconds: Roughly how long they take; None where that is unknown.
        continues: Some of `optimize` was done before.
    """

    clip: str
    preset: str
    device: str
    stages: tuple[str, ...]
    seconds: float | None
    continues: bool


@dataclass(frozen=True)
class StageStarted:
    """A stage begins, and why it has to run."""

    stage: str
    reason: str
    device: str


@dataclass(frozen=True)
class StageSkipped:
    """A stage's artifact is up to date."""

    stage: str
    reason: str


@dataclass(frozen=True)
class Step:
    """One unit of work inside a stage is done (`done` of `total`)."""

    task: str
    done: int
    total: int
    terms: dict[str, float] = field(default_factory=dict)


ALL_FILES = "all files"
"""Name of the sum of all files of a download."""


@dataclass(frozen=True)
class Transferred:
    """`done` bytes of `name` have arrived; `total` is None where its size is unknown."""

    name: str
    done: int
    total: int | None


@dataclass(frozen=True)
class Notice:
    """A message to the user; `warning` if the result may suffer."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class StageFinished:
    """A stage wrote its result."""

    stage: str
    path: str
    seconds: float


Event = Planned | StageStarted | StageSkipped | Step | Transferred | Notice | StageFinished
Emit = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Drop `event`: the default listener of library calls."""
    del event
