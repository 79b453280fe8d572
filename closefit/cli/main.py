"""The entry point: all commands, and the one place where errors become messages and exit codes.

Nothing heavy is imported before a command runs, so that `--help` is quick.
"""

import os
import signal
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from closefit import __version__
from closefit.cli.console import Console
from closefit.cli.demo import demo
from closefit.cli.doctor import doctor
from closefit.cli.download_weights import download_weights
from closefit.cli.evaluate import evaluate
from closefit.cli.import_smpl import import_smpl
from closefit.cli.prior import prior_app
from closefit.cli.report import report
from closefit.cli.run import run
from closefit.cli.stage import stage
from closefit.cli.status import status
from closefit.cli.train_prior import train_prior
from closefit.errors import ClosefitError

INTERRUPTED = 130


class Boundary(TyperGroup):
    """Turns errors into messages and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; end it with a message if it fails as documented."""
        try:
            return super().invoke(ctx)
        except ClosefitError as error:
            Console().error(error)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            Console().line("stopped; run the same command again to continue where it was")
            raise typer.Exit(INTERRUPTED) from error


app = typer.Typer(
    cls=Boundary,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 2 wrong usage, 3 input, 4 settings, 5 weights, 6 results folder, "
    "7 device, 8 fit diverged, 9 people, 10 output, 130 interrupted, 1 a bug.",
)
for command in (
    *(run, stage, status, report, doctor, demo, evaluate),
    *(download_weights, import_smpl, train_prior),
):
    app.command()(command)
app.add_typer(prior_app, name="prior")


def main() -> None:
    """Run the `closefit` program."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    # Idle OpenMP threads that spin starve the rasteriser's threads: on 2 busy cores the joint
    # optimisation took three times as long. Has to be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except Exception as error:  # noqa: BLE001 - the outermost handler: nothing passes unexplained
        Console().bug(error)
        traceback.print_exception(error)
        sys.exit(1)


def _print_version(requested: bool) -> bool:
    if requested:
        typer.echo(f"closefit {__version__}")
        raise typer.Exit
    return requested


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """From a video of two people in close contact to their 3D motion, contacts and appearance."""
    del version  # its callback has dealt with it


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt
