# SPDX-License-Identifier: Apache-2.0
"""A batch from its first row to its last, by an engine: all of it, or some shards."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from monai_cxr_cf.batch.count import Counts, count
from monai_cxr_cf.batch.engines.local import Local
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.perform import Work
from monai_cxr_cf.batch.quarantine import write_quarantine
from monai_cxr_cf.batch.store.files import remove, subfolders
from monai_cxr_cf.batch.store.learn import Learner
from monai_cxr_cf.batch.store.lease import alive
from monai_cxr_cf.batch.store.results import Line
from monai_cxr_cf.batch.store.run_folder import Run, RunFolder
from monai_cxr_cf.errors import BadRequest

DONE, SOME_FAILED, STOPPED = 0, 1, 3  # exit codes
Tell = Callable[[Sequence[Line]], None]
Engine = Callable[[RunFolder, Work, How, Tell, Sequence[int]], str]  # why it stopped early, or ""


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    counts: Counts
    stopped: str  # why it stopped before the end, or ""

    @property
    def exit_code(self) -> int:
        """0 all rows are done or refused, 1 some failed, 3 stopped or not all reached."""
        if self.stopped or self.counts.left:
            return STOPPED
        return SOME_FAILED if self.counts.failed else DONE


def on_this_machine(
    folder: RunFolder, work: Work, how: How, tell: Tell, numbers: Sequence[int]
) -> str:
    """The local engine."""
    return Local(folder, work, how, tell=tell, learn=Learner(folder)).run(numbers)


def run(
    folder: RunFolder,
    work: Work,
    how: How,
    *,
    tell: Tell = lambda lines: None,
    shards: Iterable[int] | None = None,
    engine: Engine = on_this_machine,
) -> Ended:
    """Do what is left of a batch.

    Args:
        folder: laid out by ``begin.lay_out``.
        work: what is done with a row.
        how: the settings.
        tell: called with new lines, a few times a second.
        shards: numbers; None: all, and ``quarantine.csv`` is written at the end.
        engine: where; such as ``engines.on_ray.OnRay()``.

    Raises:
        BadRequest: no such shard; or a model has other weights than when the batch was begun.
        CxrError: a worker cannot load what it needs.
    """
    told = folder.read()
    numbers = _checked(told, shards)
    stopped = engine(folder, work, how, tell, numbers)
    if shards is None:
        write_quarantine(folder)
        _tidy(folder)
    return Ended(count(folder, None if shards is None else numbers), stopped)


def _tidy(folder: RunFolder) -> None:
    """Remove what was being built when its process died and nobody opened its shard again."""
    for old in subfolders(folder.all_aside):
        lease = folder.leases / old.name
        if not lease.exists() or not alive(lease):
            remove(old)


def _checked(told: Run, shards: Iterable[int] | None) -> list[int]:
    """The numbers of the shards to do; BadRequest if there is one that there is not."""
    if shards is None:
        return _spread(range(told.shards))
    numbers = list(shards)
    for number in numbers:
        if not 0 <= number < told.shards:
            raise BadRequest(
                f"There is no shard {number}; the batch has {told.shards}.",
                hint="Shards count from 0.",
            )
    return numbers


def _spread(numbers: Sequence[int]) -> list[int]:
    """Beginning somewhere else in every process, so that two on one folder rarely meet."""
    if len(numbers) < 2:
        return list(numbers)
    first = os.getpid() % len(numbers)
    return [*numbers[first:], *numbers[:first]]
