"""All commands, and the one place where errors become messages and exit codes.

Nothing heavy is imported before a command runs, so that `--help` is quick.
"""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from closefit import __version__
from closefit.boundary.refusals import printable
from closefit.cli.batch import batch, batch_status
from closefit.cli.benchmark import benchmark
from closefit.cli.console import Console
from closefit.cli.dataset import dataset_app
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
from closefit.cli.view import view
from closefit.errors import ClosefitError, ConfigError, file_guard
from closefit.interruption import InOrder

INTERRUPTED = 130


class Boundary(TyperGroup):
    """Turns errors into messages and exit codes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the program's own options; those for completion write into the user's home."""
        with _errors_as_messages(), _printable_usage():
            try:
                return super().parse_args(ctx, args)
            except typer.Exit as end:
                if end.exit_code != 1:
                    raise
                raise ConfigError(
                    "this shell has no completion of commands",
                    hint="name one that has: --show-completion bash (or zsh, fish, powershell)",
                ) from end

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; some have names of two words."""
        name = " ".join(args[:2])
        if len(args) > 1 and name in self.commands:
            return name, self.commands[name], args[2:]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; end it with a message if it fails as documented."""
        with _errors_as_messages(), InOrder(), _printable_usage():
            return super().invoke(ctx)


@contextmanager
def _printable_usage() -> Iterator[None]:
    """Escape what a terminal would obey in typer's own messages: words of the command line."""
    try:
        yield
    except Exception as error:
        describe = getattr(error, "format_message", None)
        if describe is not None:
            text = printable(describe())
            error.format_message = lambda: text  # type: ignore[attr-defined]
        raise


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    try:
        with file_guard("the output"):
            yield
    except ClosefitError as error:
        Console().error(error)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        Console().line("stopped; run the same command again to continue where it was")
        raise typer.Exit(getattr(error, "exit_code", INTERRUPTED)) from error


app = typer.Typer(
    cls=Boundary,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 2 wrong usage, 3 input, 4 settings, 5 weights, 6 results folder, "
    "7 device, 8 fit diverged, 9 people, 10 output, 129, 130, 143 stopped by SIGHUP, Ctrl-C, "
    "SIGTERM, 141 output not read, 1 a bug.",
)
for command in (
    *(run, batch, stage, status, report, view, doctor, demo, evaluate, benchmark),
    *(download_weights, import_smpl, train_prior),
):
    app.command()(command)
app.command(name="batch status")(batch_status)
app.add_typer(prior_app, name="prior")
app.add_typer(dataset_app, name="dataset")


def run_program() -> int:
    """Run the command that the arguments name; returns the exit code."""
    try:
        app(prog_name="closefit")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:  # noqa: BLE001 - the outermost handler: nothing passes unexplained
        Console().bug(error)
        sys.stderr.write(printable("".join(traceback.format_exception(error))))
        return 1
    return 0


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
