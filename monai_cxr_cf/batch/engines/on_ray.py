# SPDX-License-Identifier: Apache-2.0
"""The engine on Ray: Ray Data hands shards to actors, each of which commits the rows itself.

An actor is the local engine with one worker: leases, limits, what happens to a row that kills and
what is on disk when are as on one machine. What Ray gets back are records, errors among them, never
an exception; its checkpoints and retries are not relied on. An actor that dies is started again by
Ray, and whoever takes its shard finds on disk what is left of it.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monai_cxr_cf import errors
from monai_cxr_cf.batch.engines.local import INTERRUPTED, Local, Tell
from monai_cxr_cf.batch.engines.open_shard import has_work
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.perform import Work
from monai_cxr_cf.batch.store.learn import Learner
from monai_cxr_cf.batch.store.results import FAILED, KILLED, Line
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.errors import INSTALL_EXTRA, BadRequest, ComponentMissing, CxrError, RemoteFailure
from monai_cxr_cf.runs.failures import quiet_libraries, typed

STORE_BYTES = 100_000_000  # of Ray's object store where we start it: records are small
OURS = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
Told = dict[str, Any]


@dataclass(frozen=True)
class OnRay:
    """The engine; call it as ``batch.run`` does.

    Args:
        address: of a Ray that runs; "" starts one on this machine, and ends it.
        gpus: share of a GPU an actor; None: a whole one where Ray has one and ``device`` allows it.
        device: as the rows are worked on.
    """

    address: str = ""
    gpus: float | None = None
    device: str = "auto"

    def __call__(
        self, folder: RunFolder, work: Work, how: How, tell: Tell, numbers: Sequence[int]
    ) -> str:
        """Do the rows of these shards; returns why it stopped before the end, or "".

        Raises:
            ComponentMissing: Ray is not installed.
            RemoteFailure: there is none at the address, or it lost the batch.
            CxrError: of an actor: it could not load what it needs, or its weights are others.
        """
        left = [number for number in numbers if has_work(folder, number, how)]
        if not left:
            return ""
        with self._ray(how) as ray, _stoppable() as stopped:
            try:
                return _drive(self._told(ray, folder, work, how, left), how, tell)
            except ray.exceptions.RayError as error:
                raise RemoteFailure(
                    f"Ray ended the batch ({type(error).__name__}).", code="ray",
                    hint="Are this program and the folder on all its machines? Its log says more; "
                    "the same command goes on.",
                ) from error  # fmt: skip
            except KeyboardInterrupt:
                if not stopped:
                    raise
                return INTERRUPTED

    def _told(
        self, ray: Any, folder: RunFolder, work: Work, how: How, left: Sequence[int]
    ) -> Iterator[Told]:
        """What the actors tell, a shard at a time, as it comes."""
        most = min(how.workers, len(left))
        pool = ray.data.ActorPoolStrategy(
            min_size=1, max_size=most, initial_size=most, max_tasks_in_flight_per_actor=1
        )
        dataset = ray.data.from_items(
            [{"shard": number} for number in left], override_num_blocks=len(left)
        ).map_batches(
            Actor,
            batch_size=1,
            compute=pool,
            num_cpus=how.threads,
            num_gpus=self._share(ray),
            fn_constructor_args=(str(folder.path), work, replace(how, workers=1)),
        )
        for row in dataset.iter_rows():
            yield json.loads(row["told"])

    def _share(self, ray: Any) -> float:
        """Of a GPU, for each actor: without one Ray hides the GPUs from it."""
        some = ray.cluster_resources().get("GPU", 0) > 0
        if self.device.startswith("cuda") and not some:
            raise BadRequest("Ray has no GPU; the batch was begun for one.", hint="See --address.")
        if self.gpus is not None:
            return self.gpus
        return 1.0 if some and self.device != "cpu" else 0.0

    @contextmanager
    def _ray(self, how: How) -> Iterator[Any]:
        """Ray, started or joined; one that this process has already is taken as it is."""
        ray = _imported()
        if ray.is_initialized():
            yield ray
            return
        own = {} if self.address else {**OURS, "num_cpus": how.workers * how.threads}
        try:
            ray.init(self.address or "local", log_to_driver=False, logging_level="ERROR", **own)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise RemoteFailure(
                "There is no Ray at --address." if self.address else "Ray does not start here.",
                code="ray", hint="Look with: ray status --address ADDRESS.",
            ) from error  # fmt: skip
        try:
            yield ray
        finally:
            ray.shutdown()


class Actor:
    """The local engine with one worker, which stays from shard to shard."""

    def __init__(self, folder: str, work: Work, how: How) -> None:
        quiet_libraries(debug=False, verbose=False)
        # Processes that we start would otherwise run Ray's own main file.
        vars(sys.modules["__main__"])["__file__"] = None
        place = RunFolder(Path(folder))
        self._lines: list[Line] = []
        self._local = Local(place, work, how, tell=self._lines.extend, learn=Learner(place))

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        """Do shards, by number; what became of them as JSON."""
        told: Told = {"stopped": "", "error": None}
        try:
            told["stopped"] = self._local.run([int(n) for n in batch["shard"]], stay=True)
        except Exception as raised:
            error = typed(raised)
            told["error"] = {"kind": type(error).__name__, **error.as_dict()}
        told["lines"] = list(self._lines)
        self._lines.clear()
        return {"told": [json.dumps(told)]}


def _drive(told: Iterator[Told], how: How, tell: Tell) -> str:
    """Listen until the last shard is told, or until one says that the run must stop."""
    rows = failures = 0
    for each in told:
        tell(each["lines"])
        if each["error"] is not None:
            raise _error(each["error"])
        if each["stopped"]:
            return str(each["stopped"])
        rows += len(each["lines"])
        bad = [line for line in each["lines"] if line["state"] in (FAILED, KILLED)]
        failures += sum(bool(line.get("final")) for line in bad)
        if how.too_many(failures, rows):
            return f"{failures} of {rows} rows failed."
    return ""


def _error(told: Mapping[str, str]) -> CxrError:
    """An error of an actor, as it was raised there."""
    kind = getattr(errors, told["kind"], CxrError)
    found: CxrError = kind(told["message"])
    found.code, found.hint = told["code"], told["hint"]
    return found


def _imported() -> Any:
    """Ray, quiet: no telemetry, and on the terminal nothing but what we say."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise ComponentMissing(
            "The engine ray needs the package ray.", hint=INSTALL_EXTRA.format("ray")
        ) from error
    for handler in logging.getLogger("ray.data").handlers:
        if type(handler).__module__.partition(".")[0] == "ray":  # others are the program's own
            handler.setLevel(logging.CRITICAL)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Within the block SIGTERM and Ctrl-C raise KeyboardInterrupt; the list tells which it was."""
    heard: list[int] = []

    def stop(number: int, frame: Any) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    try:
        before = [(n, signal.signal(n, stop)) for n in (signal.SIGINT, signal.SIGTERM)]
    except ValueError:  # not the main thread: nobody interrupts it
        before = []
    try:
        yield heard
    finally:
        for number, handler in before:
            signal.signal(number, handler)
