# SPDX-License-Identifier: Apache-2.0
"""The queue on disk: order, one job a request, a worker's death, age; without HTTP or models."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monai_cxr_cf.errors import CxrError, ResourceExhausted
from monai_cxr_cf.server.queue.jobs import Submission
from monai_cxr_cf.server.queue.line import Line
from monai_cxr_cf.server.queue.store import Store
from monai_cxr_cf.server.refusals import Busy, Conflict, Gone, NotFound
from monai_cxr_cf.server.settings import Limits

PROGRESS = {"event": "progress", "stage": "sample", "step": 3, "total": 8, "eta_s": 1.5}
Submit = Callable[..., str]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path / "data", Limits(queue=20))
    yield found
    found.close()


@pytest.fixture
def line(store: Store) -> Line:
    return Line(store, "worker")


@pytest.fixture
def submit(store: Store) -> Submit:
    """Queue one job with some bytes; gives its id."""

    def make(kind: str = "edit", content: bytes = b"image", **request: Any) -> str:
        return store.submit(submission(store, kind, content, **request))[0].id

    return make


def submission(store: Store, kind: str, content: bytes, **request: Any) -> Submission:
    folder = store.data / "incoming" / os.urandom(4).hex()
    folder.mkdir()
    (folder / "source").write_bytes(content)
    return Submission(kind, request, folder, {"source": content.hex()})


def finish(store: Store, line: Line) -> str:
    """Run the next job: one file."""
    job = line.take()
    assert job is not None
    out = store.data / "jobs" / job["id"] / "out"
    out.mkdir()
    (out / "x.dcm").write_bytes(b"file")
    file = {"role": "cf", "path": "x.dcm", "sha256": "0" * 64}
    line.done(job["seq"], {"files": [file], "metrics": {}})
    return str(job["id"])


def test_jobs_are_taken_in_order_and_organs_before_edits(
    store: Store, line: Line, submit: Submit
) -> None:
    edits = [submit(number=n) for n in range(3)]
    organs = submit("segment")
    assert [store.get(job).position for job in [organs, *edits]] == [1, 2, 3, 4]
    assert [job.position for job in store.list()] == [1, 4, 3, 2]
    taken = [line.take() for _ in range(4)]
    assert [job["id"] for job in taken if job] == [organs, *edits]
    assert line.take() is None
    assert store.get(organs).position == 0


def test_a_job_starts_after_it_was_submitted_also_if_it_comes_while_the_worker_looks(
    store: Store, line: Line, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def submitted_meanwhile() -> Any:
        monkeypatch.undo()
        submit()
        return store.reading.connect()

    monkeypatch.setattr(store.reading, "connect", submitted_meanwhile)
    job = line.take()
    assert job is not None
    assert job["started"] > job["created"]
    assert job["updated"] == job["started"]


def test_the_same_bytes_and_request_are_one_job_until_it_failed(
    store: Store, submit: Submit
) -> None:
    first = submit(prompt="edema")
    assert submit(prompt="edema") == first
    assert submit(prompt="edema", seeds=[1]) != first
    assert submit(prompt="edema", content=b"another image") != first
    assert submit("segment", prompt="edema") != first
    store.cancel(first)
    assert submit(prompt="edema") != first
    assert len(list((store.data / "jobs").iterdir())) == 5
    assert list((store.data / "incoming").iterdir()) == []


def test_fresh_copies_are_never_the_same_job(store: Store, submit: Submit) -> None:
    assert submit(uids="random") != submit(uids="random")
    assert store.same(submission(store, "edit", b"image", uids="random")) is None


def test_steps_become_state_and_numbered_events(store: Store, line: Line, submit: Submit) -> None:
    job = submit()
    taken = line.take()
    assert taken is not None
    line.tell(taken["seq"], {"event": "hello", "version": "1"})
    line.tell(taken["seq"], PROGRESS)
    found = store.get(job)
    assert (found.stage, found.step, found.total, found.eta_s) == ("sample", 3, 8, 1.5)
    assert store.events(job) == (
        '{"n": 1, "event": "hello", "version": "1"}',
        '{"n": 2, "event": "progress", "stage": "sample", "step": 3, "total": 8, "eta_s": 1.5}',
    )
    assert len(store.events(job, 1)) == 1


def test_a_job_whose_worker_died_starts_again_and_the_second_death_fails_it(
    store: Store, line: Line, submit: Submit
) -> None:
    job, later = submit(n=1), submit(n=2)
    line.take()
    assert Line(store, "second").recover() == 1
    assert (store.get(job).state, store.get(job).position) == ("queued", 1)
    assert '"restarted"' in store.events(job)[-1]
    line.take()
    Line(store, "third").recover()
    found = store.get(job)
    assert found.state == "failed"
    assert found.error is not None
    assert found.error["code"] == "worker_crashed"
    assert store.get(later).state == "queued"


def test_a_shutdown_gives_the_job_back_and_counts_no_attempt(
    store: Store, line: Line, submit: Submit
) -> None:
    job = submit()
    for _ in range(5):
        taken = line.take()
        assert taken is not None
        line.give_back(taken["seq"])
    assert (store.get(job).state, store.get(job).attempts) == ("queued", 0)


def test_cancel_is_at_once_in_the_queue_and_asked_while_running(
    store: Store, line: Line, submit: Submit
) -> None:
    waits, runs = submit(n=1), submit("segment")
    taken = line.take()
    assert taken is not None
    assert taken["id"] == runs
    assert store.cancel(waits).state == "cancelled"
    assert store.cancel(runs).cancel_asked
    assert line.asked_to_stop(taken["seq"])
    line.failed(taken["seq"], CxrError("The run was cancelled.", code="cancelled"))
    assert store.get(runs).state == "cancelled"


def test_a_job_that_was_asked_to_stop_when_its_worker_died_is_cancelled(
    store: Store, line: Line, submit: Submit
) -> None:
    job = submit()
    line.take()
    store.cancel(job)
    line.recover()
    assert store.get(job).state == "cancelled"


def test_files_are_there_when_it_is_done_and_gone_when_it_expired(
    store: Store, line: Line, submit: Submit
) -> None:
    job = submit(prompt="edema")
    with pytest.raises(Conflict):
        store.files(job)
    assert finish(store, line) == job
    (file,) = store.files(job)
    assert (file.name, file.bytes, file.media_type) == ("x.dcm", 4, "application/dicom")
    store.cancel(job)
    with pytest.raises(Gone):
        store.files(job)
    assert store.get(job).request == {}
    assert store.events(job) == ()
    assert not (store.data / "jobs" / job).exists()


def test_age_removes_files_and_later_the_record(tmp_path: Path) -> None:
    store = Store(tmp_path / "data", Limits(age_s=3600))
    job = store.submit(submission(store, "edit", b"x"))[0].id
    finish(store, Line(store, "worker"))
    assert store.expire() == 0
    store.limits = Limits(age_s=0)
    assert store.expire() == 1
    assert store.get(job).state == "expired"
    assert not (store.data / "jobs" / job).exists()
    store.limits = Limits(forget_s=0)
    time.sleep(0.01)
    store.expire()
    with pytest.raises(NotFound):
        store.get(job)
    store.close()


def test_expired_prompts_are_not_left_in_the_database_file(store: Store, submit: Submit) -> None:
    job = submit(prompt="zebrafinch effusion")
    store.cancel(job)
    store.cancel(job)
    store.close()
    left = b"".join(path.read_bytes() for path in store.data.glob("jobs.sqlite*"))
    assert b"zebrafinch" not in left


def test_limits_of_queue_and_storage(tmp_path: Path) -> None:
    store = Store(tmp_path / "data", Limits(queue=1))
    store.submit(submission(store, "edit", b"x"))
    with pytest.raises(Busy):
        store.submit(submission(store, "edit", b"y"))
    store.limits = Limits(stored_bytes=1)
    with pytest.raises(ResourceExhausted):
        store.submit(submission(store, "edit", b"z"))
    store.close()


def test_what_a_killed_server_left_is_swept(store: Store, submit: Submit) -> None:
    job = submit()
    (store.data / "incoming" / "half").mkdir()
    (store.data / "jobs" / "without-a-row").mkdir()
    store.sweep()
    assert [path.name for path in (store.data / "jobs").iterdir()] == [job]
    assert list((store.data / "incoming").iterdir()) == []


def test_folders_are_private(store: Store, submit: Submit) -> None:
    submit()
    folders = [store.data, *(f for f in store.data.rglob("*") if f.is_dir() and f.name != "in")]
    assert {folder.stat().st_mode & 0o077 for folder in folders} == {0}


TAKER = """
import sys
from pathlib import Path
from monai_cxr_cf.server.queue.line import Line
from monai_cxr_cf.server.settings import Limits
from monai_cxr_cf.server.queue.store import Store
line = Line(Store(Path(sys.argv[1]), Limits()), "taker")
sys.stdin.readline()
while (job := line.take()) is not None:
    print(job["id"], flush=True)
"""


def taker(store: Store) -> "subprocess.Popen[str]":
    """A process that takes every job once it is told to go."""
    words, pipe = [sys.executable, "-c", TAKER, str(store.data)], subprocess.PIPE
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)


def test_two_workers_at_once_take_no_job_twice(store: Store, submit: Submit) -> None:
    jobs = [submit(number=n) for n in range(20)]
    both = [taker(store), taker(store)]
    for each in both:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    told = [job for each in both for job in each.communicate(timeout=120)[0].split()]
    assert sorted(told) == sorted(jobs)


def test_a_writer_killed_in_the_middle_leaves_a_whole_store(store: Store, submit: Submit) -> None:
    jobs = [submit(number=n) for n in range(20)]
    one = taker(store)
    assert one.stdin is not None
    assert one.stdout is not None
    one.stdin.write("go\n")
    one.stdin.flush()
    one.stdout.readline()
    one.send_signal(signal.SIGKILL)
    one.communicate()
    assert sum(store.counts().values()) == len(jobs)
    Line(store, "next").recover()
    assert store.counts() == {"queued": len(jobs)}
