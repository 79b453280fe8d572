"""What a user of the viewer's page does, without a browser: looks at frames, marks, applies, ends.

The server, its scene and the corrections are the real ones; only the clicks are calls.
"""

import os
import signal
import time
from typing import Any


def click_instead_of_waiting() -> None:
    """In this process, the viewer does what a user would, and then ends as Ctrl-C ends it."""
    from closefit.viewer.server import Viewer

    def serve(viewer: Any) -> None:
        shown = viewer._shown
        shown.gaussians = shown.skeletons = shown.backdrop = True
        for frame in (0, 1, int(viewer._slider.max)):
            viewer._go(frame)
            viewer._draw()
        marking = viewer._marking
        marking._mark_swapped()
        marking._mark_placed()
        marking._apply()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    Viewer.serve = serve  # type: ignore[method-assign]
