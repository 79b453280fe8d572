"""Options of several commands."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from closefit.config import Perception, Preset
from closefit.settings import GivenSettings

Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Results folder.")]
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
Device = Annotated[
    str | None, typer.Option("--device", metavar="auto|cuda|cpu", help="Where to compute.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of everything random.")]

SETTING_OPTIONS: dict[str, Any] = {
    "preset": Annotated[
        Preset | None,
        typer.Option(
            "--preset",
            help="draft: for a CPU and a first look; default: best quality; paper: larger images.",
        ),
    ],
    "track.perception": Annotated[
        Perception | None,
        typer.Option(
            "--perception",
            help="How people are found: full (YOLO, SAM 2, ViTPose), yolo, lite (RTMDet, "
            "BlazePose), import (--observations); auto chooses by device.",
        ),
    ],
    "track.observations": Annotated[
        list[str] | None,
        typer.Option(
            "--observations",
            metavar="PATH",
            help="Your own keypoints, masks or boxes (docs/importing.md); may be given again. "
            "With --perception, that detector adds what is missing.",
        ),
    ],
    "track.people": Annotated[
        str | None,
        typer.Option(
            "--people",
            metavar="A,B",
            help="Whom to follow in a crowd: letters of the preview, or a point on each in a "
            "frame (x,y@frame;x,y@frame); default: who are close together the longest.",
        ),
    ],
    "track.corrections": Annotated[
        str | None,
        typer.Option(
            "--corrections",
            metavar="FILE",
            help="Corrections of who is who (docs/tracking.md); default: corrections.json beside "
            "the video.",
        ),
    ],
    "device": Device,
    "weights_dir": WeightsDir,
    "offline": Annotated[
        bool | None,
        typer.Option("--offline", envvar="CLOSEFIT_OFFLINE", help="Never download anything."),
    ],
    "seed": Seed,
    "camera.fov_deg": Annotated[
        float | None, typer.Option("--fov", metavar="DEG", help="Diagonal field of view.")
    ],
    "camera.focal_px": Annotated[
        float | None, typer.Option("--focal", metavar="PX", help="Focal length; wins over --fov.")
    ],
    "camera.file": Annotated[
        str | None,
        typer.Option("--camera", metavar="FILE", help="An .npz with K, wins over --focal."),
    ],
    "init.init_from": Annotated[
        str | None,
        typer.Option(
            "--init-from",
            metavar="FILE",
            help="Start from the result of 4D-Humans, GVHMR, WHAM, PromptHMR, or AMASS .npz.",
        ),
    ],
    "track.start_s": Annotated[
        float | None, typer.Option("--start", metavar="S", help="Begin here, in seconds.")
    ],
    "track.end_s": Annotated[
        float | None, typer.Option("--end", metavar="S", help="End here, in seconds.")
    ],
    "optimize.physics": Annotated[
        float | None,
        typer.Option("--physics", metavar="0..1", help="Strength of the penetration term."),
    ],
}
"""The named flag of each setting that has one; all others are reached with `--set`."""

OTHER_SOURCES: dict[str, Any] = {
    "config_file": Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings as a TOML file.")
    ],
    "assignments": Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting, e.g. optimize.passes=20."),
    ],
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
