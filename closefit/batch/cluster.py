"""Tasks on Ray, on this machine or on a cluster: the only importer of `ray`."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from closefit import __version__, interruption
from closefit.batch.engines import STOP_S, Died, Result
from closefit.batch.resources import Needs
from closefit.batch.task import Outcome, Task, perform
from closefit.boundary.files import typed
from closefit.boundary.refusals import RefusedError, shown
from closefit.errors import ConfigError, DeviceError
from closefit.system import available_cores

STORE_BYTES = 80 << 20
"""Ray's shared memory: next to nothing passes through it."""

ONE_VERSION = f"install closefit {__version__} on all machines of the cluster, then --retry-failed"


def is_installed() -> bool:
    """Whether the extra `cluster` is there."""
    return find_spec("ray") is not None


@contextmanager
def ray_engine(
    address: str | None, jobs: int | None, needs: Needs, log: Path
) -> Iterator["RayEngine"]:
    """Connect to a cluster, or start one of this machine alone, and leave it at the end.

    Args:
        address: Of a cluster; None starts Ray here.
        jobs: Most tasks at once; None for as many as the machines allow.
        needs: What a task takes.
        log: Gets what Ray prints: the program's own stdout is for data.

    Raises:
        ConfigError: There is no cluster at this address.
        DeviceError: A GPU is needed, and no machine has one; or Ray does not start here.
    """
    # Read on import: Ray sends usage data to its makers otherwise.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_worker_niceness", "0")  # 15 would starve it beside other work
    # Otherwise Ray hides the GPUs of tasks that take none by an empty list, with a warning.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    with open(log, "a", encoding="utf-8", errors="replace") as file, redirect_stdout(file):
        cores = None if jobs is None else max(available_cores(), jobs * needs.threads)
        own = {"num_cpus": cores, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        connect: Any = ray.init
        try:
            connect(address or "local", **common, **({} if address else own))
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            if address is None:
                raise DeviceError(
                    f"Ray cannot be started on this machine: {reason}",
                    hint="run the same command again when the machine is less busy",
                ) from error
            raise ConfigError(
                f"Ray cannot be reached at `{shown(address)}`: {reason}",
                hint="start it with `ray start --head`, and give --ray-address HOST:6379; if Ray "
                "uses tokens there, set RAY_AUTH_MODE=token here too",
            ) from error
        interruption.install()  # Ray has put its own handler of SIGTERM there
        engine = RayEngine(needs, jobs)
        try:
            engine.check()
            yield engine
        finally:
            engine.stop()
            ray.shutdown()


def _ended(text: str) -> Died:
    """What to make of an error that a task raised, although `perform` raises none.

    The text is a traceback as Ray writes it: whose it is in the first line, what is wrong in the
    last. Most often the machine could not load `perform`, or not read the task.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["of unknown cause"]
    problem = shown(lines[-1], 200)
    if "failed to import" not in text and RefusedError.__name__ not in lines[-1]:
        return Died(f"with {problem}")
    place = re.search(r"ip=([^,\s)]+)", lines[0])
    machine = f"the machine `{place[1]}`" if place else "a machine"
    return Died(f"{machine} cannot load closefit {__version__}: {problem}", ONE_VERSION)


class RayEngine:
    """One Ray task for each clip, with the resources that it takes."""

    def __init__(self, needs: Needs, jobs: int | None) -> None:
        """Ray has to be connected."""
        import ray

        self._ray: Any = ray
        self._needs, self._jobs = needs, jobs
        # After a task on a GPU its process ends: only so all of the GPU's memory is free again.
        self._on_gpu = ray.remote(max_retries=0, max_calls=1)(perform)
        self._on_cpu = ray.remote(max_retries=0)(perform)
        self._tickets: dict[Any, int] = {}

    def check(self) -> None:
        """Check that some machine can do the tasks.

        Raises:
            DeviceError: None has a GPU, and one is needed.
        """
        if self._needs.device == "cuda" and not self._ray.cluster_resources().get("GPU"):
            raise DeviceError(
                "`--device cuda` was given, but Ray sees no GPU",
                hint="leave out --device to use CPUs; `ray status` shows what the machines have",
            )

    def slots(self) -> int:
        """As many as the cores and GPUs of all machines allow; they may come and go."""
        total = self._ray.cluster_resources()
        return self._needs.most_at_once(total.get("CPU", 1.0), total.get("GPU", 0.0), self._jobs)

    def submit(self, ticket: int, task: Task) -> None:
        """Give a task to Ray, which begins it where there is room."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        has_gpus = any(node.get("GPU") for node in nodes)
        largest = max((node.get("memory", 0.0) for node in nodes), default=0.0)
        most_cores = max((node.get("CPU", 1.0) for node in nodes), default=1.0)
        gpus = self._needs.gpus(has_gpus)
        options: dict[str, Any] = {
            # What no machine has would wait forever.
            "num_cpus": min(task.threads, most_cores),
            "num_gpus": gpus,
            "name": f"closefit {task.name}",
            "memory": int(min(self._needs.memory_bytes(task), largest)),
        }
        function = self._on_gpu if gpus else self._on_cpu
        self._tickets[function.options(**options).remote(asdict(task))] = ticket

    def wait(self, seconds: float) -> list[tuple[int, Result]]:
        """Return the tasks that have ended."""
        if not self._tickets:
            return []
        ended, _ = self._ray.wait(list(self._tickets), num_returns=1, timeout=seconds)
        return [(self._tickets.pop(reference), self._result(reference)) for reference in ended]

    def _result(self, reference: Any) -> Result:
        try:
            outcome: Outcome = typed(self._ray.get(reference), Outcome)
            return outcome
        except self._ray.exceptions.RayTaskError as error:
            return _ended(str(error))
        except RefusedError as refused:
            return Died(f"the answer of a machine is none: {refused.problem}", ONE_VERSION)
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines()
            return Died(lines[0] if lines else type(error).__name__)

    def stop(self) -> None:
        """Interrupt all tasks, which save what they can; kill those that take too long."""
        for reference in self._tickets:
            self._ray.cancel(reference, force=False)
        if self._tickets:
            running = list(self._tickets)
            self._ray.wait(running, num_returns=len(running), timeout=STOP_S)
            for reference in running:
                self._ray.cancel(reference, force=True)
        self._tickets.clear()
