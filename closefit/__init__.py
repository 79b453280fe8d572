"""An ordinary video of two people in close contact -> their 3D motion, contacts and appearance."""

TYPE_CHECKING = False  # `typing` takes longer to import than the rest of the program's start
if TYPE_CHECKING:
    from closefit.pipeline.api import Result, load, run

__version__ = "0.1.0"
__all__ = ["Result", "__version__", "load", "run"]


def __getattr__(name: str) -> object:
    """Import the Python interface at its first use: `import closefit` stays light."""
    if name in ("Result", "load", "run"):
        import importlib
        import os

        # As `cli.main` does, and for its reason; without effect once torch has been imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        return getattr(importlib.import_module("closefit.pipeline.api"), name)
    raise AttributeError(f"module `closefit` has no attribute `{name}`")
