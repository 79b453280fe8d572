"""How the portable rasteriser is compiled, and where the machine code is kept."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from numba import njit

logger = logging.getLogger(__name__)

_Function = TypeVar("_Function", bound=Callable[..., object])


def _sources_stamp() -> tuple[tuple[str, int, int], ...]:
    files = sorted(Path(__file__).parent.glob("raster_*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def compiled(function: _Function) -> _Function:
    """Compile with numba at the first call and keep the machine code for later processes.

    The code is kept beside the module or, where that is read-only, in the user's cache folder
    (or in `NUMBA_CACHE_DIR`); where nothing can be written, every process compiles anew.

    Other threads run meanwhile. Fast-math is off: forward and backward must take the same
    decisions at every cutoff.
    """
    dispatcher = njit(nogil=True, error_model="numpy")(function)
    try:
        dispatcher.enable_caching()
    except RuntimeError as error:
        logger.info("compiled code is not kept: %s", error)
    else:
        # numba looks for changes only in the file of the function; ours call each other.
        index = dispatcher._cache._cache_file
        index._source_stamp = (index._source_stamp, _sources_stamp())
    return dispatcher  # type: ignore[no-any-return]
