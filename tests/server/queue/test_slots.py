# SPDX-License-Identifier: Apache-2.0
"""Several workers on one queue: who takes what, and who looks after whose jobs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sql

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.server.queue import tables
from monai_cxr_cf.server.queue.jobs import Submission
from monai_cxr_cf.server.queue.line import Line
from monai_cxr_cf.server.queue.store import Store
from monai_cxr_cf.server.settings import Limits, Settings
from monai_cxr_cf.server.worker import supervise


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path / "data", Limits(queue=20))
    yield found
    found.close()


def submit(store: Store, source: str, prompt: str, kind: str = "edit") -> str:
    folder = store.data / "incoming" / os.urandom(4).hex()
    folder.mkdir()
    (folder / "source").write_bytes(source.encode())
    asked = Submission(kind, {"prompt": prompt}, folder, {"source": source})
    return store.submit(asked)[0].id


def take(line: Line) -> dict:
    job = line.take()
    assert job is not None
    return job


def pair(store: Store) -> tuple[Line, Line]:
    return Line(store, "a", slot=0, slots=2), Line(store, "b", slot=1, slots=2)


def test_a_radiograph_that_another_worker_is_at_goes_behind_its_equals(store: Store) -> None:
    first, second = pair(store)
    wanted = [submit(store, source, prompt) for source in "AB" for prompt in ("edema", "none")]
    one, other = take(first), take(second)
    assert [one["id"], other["id"]] == [wanted[0], wanted[2]]
    first.done(one["seq"], {"files": []})
    assert take(first)["id"] == wanted[1]
    assert take(second)["id"] == wanted[3]


def test_no_worker_idles_while_a_job_waits(store: Store) -> None:
    first, second = pair(store)
    jobs = [submit(store, "A", prompt) for prompt in ("edema", "cardiomegaly")]
    assert [take(first)["id"], take(second)["id"]] == jobs
    assert first.take() is None


def test_organs_go_first_even_where_another_worker_is_at_it(store: Store) -> None:
    first, second = pair(store)
    submit(store, "A", "edema")
    take(first)
    submit(store, "B", "edema")
    organs = submit(store, "A", "", kind="segment")
    assert take(second)["id"] == organs


def test_a_worker_recovers_the_jobs_of_its_own_slot_only(store: Store) -> None:
    first, second = pair(store)
    jobs = [submit(store, source, "edema") for source in "AB"]
    take(first), take(second)
    assert Line(store, "next", slot=1, slots=2).recover() == 1
    assert [store.get(job).state for job in jobs] == ["running", "queued"]


def test_slot_0_recovers_what_slots_left_that_are_no_more(store: Store) -> None:
    submit(store, "A", "edema")
    take(Line(store, "old", slot=3, slots=4))
    assert Line(store, "b", slot=1, slots=2).recover() == 0
    assert Line(store, "a", slot=0, slots=2).recover() == 1


def test_the_server_is_ready_while_one_worker_is(store: Store) -> None:
    first, second = pair(store)
    first.beat(ready=False, facts={})
    assert store.worker() is None
    second.beat(ready=True, facts={"device": "cpu"})
    assert store.worker() == {"device": "cpu"}
    store.no_worker(1)
    assert store.worker() is None
    first.beat(ready=True, facts={"device": "cpu"})
    assert store.worker() == {"device": "cpu"}
    store.no_worker()
    assert store.worker() is None


def test_a_queue_of_an_earlier_version_gains_its_column(tmp_path: Path) -> None:
    earlier = sql.MetaData()
    columns = [column.copy() for column in tables.jobs.c if column.name != "source"]
    sql.Table("jobs", earlier, *columns)
    (tmp_path / "data").mkdir()
    engine = tables.writer(tmp_path / "data" / "jobs.sqlite")
    earlier.create_all(engine)
    engine.dispose()
    store = Store(tmp_path / "data", Limits())
    try:
        job = submit(store, "A", "edema")
        assert take(Line(store, "a"))["id"] == job
    finally:
        store.close()


@pytest.mark.parametrize("workers", [0, -1, 65])
def test_a_number_of_workers_that_makes_no_sense_is_refused(tmp_path: Path, workers: int) -> None:
    with pytest.raises(BadRequest, match=f"number of workers is {workers}; expected 1 to 64"):
        Settings(data=tmp_path, workers=workers)


@pytest.mark.parametrize(
    ("workers", "given", "found"),
    [(1, None, None), (2, None, "2"), (8, None, "1"), (2, "3", "3")],
)
def test_workers_share_the_cores(monkeypatch, workers, given, found) -> None:
    monkeypatch.setattr(supervise.threads, "allowed", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert supervise._environment(workers).get("OMP_NUM_THREADS") == found
