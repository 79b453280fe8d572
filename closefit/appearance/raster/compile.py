"""How the portable rasteriser is compiled, and where the machine code is kept."""

import logging
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

logger = logging.getLogger(__name__)

_Function = TypeVar("_Function", bound=Callable[..., object])


def _sources_stamp() -> tuple[tuple[str, int, int], ...]:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


@cache
def _log_missing_cache() -> None:
    logger.info("nowhere to keep compiled code, so it is compiled anew: set NUMBA_CACHE_DIR")


def compiled(function: _Function) -> _Function:
    """Compile with numba at the first call and keep the machine code for later processes.

    The code is kept beside the module or, where that is read-only, in the user's cache folder
    (or in `NUMBA_CACHE_DIR`); where nothing can be written, every process compiles anew.

    Other threads run meanwhile. Fast-math is off: forward and backward must take the same
    decisions at every cutoff.
    """
    dispatcher: Any = njit(nogil=True, error_model="numpy")(function)
    try:
        dispatcher.enable_caching()
    except RuntimeError:
        _log_missing_cache()
    else:
        # numba looks for changes only in the file of the function; ours call each other.
        index = dispatcher._cache._cache_file
        index._source_stamp = (index._source_stamp, _sources_stamp())
        for step in ("load_overload", "save_overload"):
            setattr(dispatcher._cache, step, _tolerant(getattr(dispatcher._cache, step)))
    return cast(_Function, dispatcher)


def _tolerant(step: Callable[..., Any]) -> Callable[..., Any]:
    """Let a cache be damaged, or the disk that it is on full: code is compiled anew."""

    @wraps(step)
    def tried(*given: Any) -> Any:
        try:
            return step(*given)
        except Exception as error:  # noqa: BLE001 - a pickle that is cut short raises anything
            logger.info("compiled code is not kept: %r", error)
            return None

    return tried


def is_kept(function: Callable[..., object]) -> bool:
    """Whether the machine code of a `compiled` function is kept from an earlier process."""
    index = getattr(getattr(function, "_cache", None), "_cache_file", None)
    return index is not None and Path(index._index_path).exists()
