"""Options of several commands."""

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from closefit.boundary.files import input_limit
from closefit.config import Perception, Preset, StageName
from closefit.settings import GivenSettings, build_config

Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Results folder.")]
First = Annotated[
    StageName | None, typer.Option("--from", help="Run this stage and all later ones again.")
]
Last = Annotated[StageName | None, typer.Option("--until", help="Stop after this stage.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Run again what is up to date; replace another video's results."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show the log and, on errors, the traceback.")
]
WeightsDir = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="DIR",
        envvar="CLOSEFIT_WEIGHTS",
        help="Folder of model files to look in first.",
    ),
]
MaxInput = Annotated[
    float,
    typer.Option(
        "--max-input-size", metavar="GB", help="Largest input file, once unpacked, that is read."
    ),
]
DEFAULT_MAX_INPUT_GB = 2.0
Device = Annotated[
    str | None, typer.Option("--device", metavar="auto|cuda|cpu", help="Where to compute.")
]
MAX_SEED = 2**32 - 1
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=MAX_SEED, help="Seed of everything random."),
]


def _option(flag: str, description: str, metavar: str | None = None, kind: Any = str) -> Any:
    """Declare an option that may be left out; `kind` is the type of its value."""
    return Annotated[kind | None, typer.Option(flag, metavar=metavar, help=description)]


SETTING_OPTIONS: dict[str, Any] = {
    "preset": _option(
        "--preset",
        "draft: for a CPU and a first look; default: best quality; paper: the method as published, "
        "paper-without-...: its ablations (docs/paper.md).",
        kind=Preset,
    ),
    "track.perception": _option(
        "--perception",
        "How people are found: full (YOLO, SAM 2, ViTPose), yolo, lite (RTMDet, BlazePose), "
        "import (--observations); auto chooses by device.",
        kind=Perception,
    ),
    "track.observations": _option(
        "--observations",
        "Your own keypoints, masks or boxes (docs/importing.md); may be given again. "
        "With --perception, that detector adds what is missing.",
        "PATH",
        list[str],
    ),
    "track.people": _option(
        "--people",
        "Whom to follow in a crowd: letters of the preview, or a point on each in a frame "
        "(x,y@frame;x,y@frame); default: who are close together the longest.",
        "A,B",
    ),
    "track.corrections": _option(
        "--corrections",
        "Corrections of who is who (docs/tracking.md); default: corrections.json beside the video.",
        "FILE",
    ),
    "device": Device,
    "weights_dir": WeightsDir,
    "offline": Annotated[
        bool | None,
        typer.Option("--offline", envvar="CLOSEFIT_OFFLINE", help="Never download anything."),
    ],
    "seed": _option("--seed", "Seed of everything random.", kind=int),
    "max_input_gb": _option(
        "--max-input-size",
        "Largest input file, once unpacked, that is read into memory; default: 2.",
        "GB",
        float,
    ),
    "camera.fov_deg": _option("--fov", "Diagonal field of view.", "DEG", float),
    "camera.focal_px": _option("--focal", "Focal length; wins over --fov.", "PX", float),
    "camera.file": _option("--camera", "An .npz with K, wins over --focal.", "FILE"),
    "init.init_from": _option(
        "--init-from",
        "Start from the result of 4D-Humans, GVHMR, WHAM, PromptHMR, or AMASS .npz.",
        "FILE",
    ),
    "track.start_s": _option("--start", "Begin here, in seconds.", "S", float),
    "track.end_s": _option("--end", "End here, in seconds.", "S", float),
    "optimize.physics": _option("--physics", "Strength of the penetration term.", "0..1", float),
}
"""The named flag of each setting that has one; all others are reached with `--set`."""


def reading_at_most(gigabytes: float) -> AbstractContextManager[None]:
    """Return a block in which no input file may unpack to more, as `--max-input-size` says.

    Raises:
        ConfigError: It is no such size.
    """
    return input_limit(build_config(values={"max_input_gb": gigabytes}).max_input_gb)


OTHER_SOURCES: dict[str, Any] = {
    "config_file": _option("--config", "Settings as a TOML file.", "FILE", Path),
    "assignments": _option(
        "--set", "One setting, e.g. optimize.passes=20.", "KEY=VALUE", list[str]
    ),
}


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` the options of all settings; it gets their values as its argument `given`."""
    names = {key.replace(".", "_"): key for key in SETTING_OPTIONS}

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        given = GivenSettings(
            config_file=values.pop("config_file"),
            assignments=values.pop("assignments") or [],
            flags={key: values.pop(name) for name, key in names.items()},
        )
        command(**values, given=given)

    own = inspect.signature(command).parameters.values()
    shared = {name: SETTING_OPTIONS[key] for name, key in names.items()} | OTHER_SOURCES
    with_options.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.name != "given"]
        + [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
            for name, option in shared.items()
        ]
    )
    return with_options
