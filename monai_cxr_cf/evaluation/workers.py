# SPDX-License-Identifier: Apache-2.0
"""Jobs in, their results out as they are finished: in this process, or in several.

Worker processes load their parts once, share the cores, and leave Ctrl-C to the parent.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from monai_cxr_cf.errors import ResourceExhausted

Job = TypeVar("Job")
Result = TypeVar("Result")
_PARTS: list[Any] = []  # of a worker process, loaded once


def results(
    jobs: Sequence[Job],
    work: Callable[[Any, Job], Result],
    *,
    parts: Any,
    load: Callable[[], Any],
    workers: int,
) -> Generator[Result, None, None]:
    """What ``work(parts, job)`` gives for every job.

    Args:
        jobs: what to do; picklable for several workers.
        work: a function of a module; picklable likewise.
        parts: loaded parts of this process.
        load: gives a worker process its own parts; picklable.
        workers: processes; with one, jobs are done here and in their order.

    Raises:
        ResourceExhausted: a worker process died.
    """
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield work(parts, job)
        return
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // workers)
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(load, threads))
    try:
        for future in as_completed([pool.submit(_work, work, job) for job in jobs]):
            yield future.result()
    except BrokenProcessPool as error:
        raise ResourceExhausted(
            "A worker process ended by itself, most likely for lack of memory.",
            hint="Run the same command with --workers 1; finished rows are kept.",
        ) from error
    finally:
        # A stopped run must not wait for jobs of half a minute.
        for child in multiprocessing.active_children():
            child.terminate()
        pool.shutdown(cancel_futures=True)


def _begin(load: Callable[[], Any], threads: int) -> None:
    """First thing in a worker: leave Ctrl-C to the parent, share the cores, load everything."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    _PARTS.append(load())


def _work(work: Callable[[Any, Job], Result], job: Job) -> Result:
    return work(_PARTS[0], job)
