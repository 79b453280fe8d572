"""`closefit view`: results in a browser."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from closefit.cli.console import session
from closefit.cli.options import WeightsDir
from closefit.errors import ConfigError
from closefit.interruption import Interrupted

CTRL_C = 130
NOT_SHARED = "warning: no public address could be had (is there internet?); the viewer works here"


def view(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders.")],
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0: reachable by others.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="If it is in use: the next free one.")
    ] = 8080,
    share: Annotated[
        bool, typer.Option("--share", help="Ask a server of viser's makers for a public address.")
    ] = False,
    weights_dir: WeightsDir = None,
) -> None:
    """Show results in a browser, live, until Ctrl-C; marks of who is who become corrections."""
    if find_spec("viser") is None:
        raise ConfigError(
            "`closefit view` needs the package `viser`",
            hint="install it with `pip install 'closefit[view]'`; `closefit report DIR` needs none",
        )
    from closefit.viewer.results import read_results
    from closefit.viewer.server import Viewer, free_port

    with session(False, folders[0]) as (console, _):
        results = [read_results(folder, weights_dir) for folder in folders]
        for line in (line for one in results for line in one.notices):
            console.line(f"note: {line}")
        chosen = free_port(host, port)
        if chosen != port:
            console.line(f"note: port {port} is in use; {chosen} is used instead")
        viewer = Viewer(results, host, chosen, share)
        try:
            name = f"[{host}]" if ":" in host else host
            console.line(f"open http://{name}:{viewer.port} in a browser; Ctrl-C ends the viewer")
            if share:
                url = viewer.share_url()
                console.line(f"public address: {url}" if url else NOT_SHARED)
            viewer.serve()
        except Interrupted as ended:
            if ended.exit_code != CTRL_C:
                raise
            console.line("the viewer has ended")
        finally:
            viewer.stop()
