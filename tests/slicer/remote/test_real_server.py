# SPDX-License-Identifier: Apache-2.0
"""The client and the real server on loopback: a run, the same again, cancel, refusals, death."""

import os
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from CXRCounterfactualLib.contract import jobs
from CXRCounterfactualLib.contract.address import parse_address
from CXRCounterfactualLib.contract.events import STAGES, Progressed, Result
from CXRCounterfactualLib.contract.facts import read_facts
from CXRCounterfactualLib.contract.params import Choice
from CXRCounterfactualLib.presenter.words import verdict_words
from CXRCounterfactualLib.process.backend import Backend
from CXRCounterfactualLib.process.commands import remote_command
from CXRCounterfactualLib.remote.server import Server
from CXRCounterfactualLib.scene.mask_files import masks_of_seg

from tests.slicer.environment import Runner
from tests.slicer.helpers.driving import drive
from tests.slicer.helpers.fake_server import KEY
from tests.slicer.helpers.product_server import ProductServer
from tests.slicer.helpers.remote import Client, start

pytestmark = pytest.mark.timeout(600)
STEPS = {"sampling": {"steps": 4}}
LONG = {"sampling": {"steps": 1000}, "start": {"strength": 1.0}}
LIMIT, LONGEST = 1.0, 0.1  # seconds: until killed after a cancel; a blocked window


@pytest.fixture(scope="module")
def server(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProductServer]:
    """One server for the module; its worker may still load."""
    found = ProductServer(runner, tmp_path_factory.mktemp("serve") / "data")
    yield found
    found.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job folder."""
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


@pytest.fixture
def source(root: Path) -> Path:
    """A real radiograph."""
    return root / "docs" / "example.dcm"


def write(folder: Path, source: Path, **fields: Any) -> Path:
    """The job file of a quick run."""
    base = {"finding": "pleural effusion", "side": "left", "preset": "fast", "seeds": (1,)}
    choice = Choice(**{**base, "overrides": STEPS, **fields})
    return jobs.write_job(jobs.make_request(choice, source=source), folder)


def states(server: ProductServer) -> list[str]:
    """State of each job, the newest first."""
    listed = Server(parse_address(server.url), KEY).get("/v1/jobs")["jobs"]
    return [job["state"] for job in listed]


def succeeded(client: Client) -> tuple[list[Any], Result]:
    """Events and result of a client that ended well."""
    events = client.events()
    assert isinstance(events[-1], Result), (events[-1], client.process.stderr)
    assert client.wait() == 0
    return events, events[-1]


def test_a_run_on_the_server_brings_the_same_files_as_a_local_one(
    server: ProductServer, folder: Path, source: Path
) -> None:
    write(folder, source)
    client = start(server.url, folder, key=KEY)
    client.wait(400)
    events, result = succeeded(client)
    stages = {e.stage for e in events if isinstance(e, Progressed)}
    assert stages > set(STAGES) | {"upload", "download"}
    assert {f.role for f in result.files} >= {"cf", "diff", "seg", "sr", "report", "preview"}
    for file in result.files:
        if file.sha256:
            assert sha256(file.path.read_bytes()).hexdigest() == file.sha256, file.role
    assert result.metrics["outside_max_diff"] == 0
    assert verdict_words(result)[0].startswith("Nothing outside the region")
    assert masks_of_seg(result.of("seg")[0].path)["edit_region"].any()
    assert {p.name for p in folder.iterdir()} == {"job.json", "out"}

    again = folder / "again"
    again.mkdir()
    write(again, source)
    _, same = succeeded(start(server.url, again, key=KEY))
    assert [f.sop_uid for f in same.of("cf")] == [f.sop_uid for f in result.of("cf")]
    assert len(states(server)) == 1


@pytest.mark.parametrize("how", ["signal", "cancel", "eof"])
def test_cancel_in_mid_step_stops_the_job_on_the_server(
    server: ProductServer, folder: Path, source: Path, how: str
) -> None:
    write(folder, source, overrides=LONG, seeds=(("signal", "cancel", "eof").index(how),))
    client = start(server.url, folder, key=KEY)
    client.until('"step": 2, "total": 1')
    assert client.stop(how) < LIMIT
    assert client.wait() == 143
    assert [p.name for p in folder.iterdir()] == ["job.json"]
    assert Server(parse_address(server.url), KEY).get("/v1/jobs")["jobs"][0]["cancel_asked"]


def test_the_window_stays_alive_over_the_back_end(
    server: ProductServer, application: object, folder: Path, source: Path
) -> None:
    path = write(folder, source, side="right")
    command = remote_command(
        sys.executable, server.url, path, folder / "out", key=KEY, environment=dict(os.environ)
    )
    told = drive(Backend(), command, patience=400)
    assert told.end.exit_code == 0, told.end.stderr_tail
    assert told.of(Result)
    assert max(told.gaps) < LONGEST


def test_the_servers_refusal_arrives_in_its_own_words(
    server: ProductServer, folder: Path, source: Path
) -> None:
    write(folder, source, prompt="a broken heart")
    client = start(server.url, folder, key=KEY)
    *_, failed = client.events()
    assert client.wait() == 2
    assert failed.code == "unknown_finding"
    assert "nearest" in failed.message


def test_a_wrong_key_says_so_and_sends_nothing(
    server: ProductServer, folder: Path, source: Path
) -> None:
    write(folder, source)
    before = len(states(server))
    client = start(server.url, folder, key="another-key-of-16")
    *_, failed = client.events()
    assert (failed.code, client.wait()) == ("unauthorised", 2)
    assert "key" in failed.hint
    assert len(states(server)) == before


def test_organs_and_region_come_before_the_run(
    server: ProductServer, folder: Path, source: Path
) -> None:
    job, out = write(folder, source), folder / "out"
    words = ("--request", str(job), "--out", str(out), "--region")
    client = start(server.url, folder, *words, key=KEY)
    client.wait(300)
    document = client.document()
    assert client.wait() == 0, document
    masks = masks_of_seg(out / "seg.dcm")
    assert int(masks["edit_region"].sum()) == document["pixels"]["edit_region"] > 0


def test_check_and_info_say_what_the_screens_need(server: ProductServer, folder: Path) -> None:
    link = Server(parse_address(server.url), KEY)
    while link.get("/v1/capabilities")["worker"] is None:
        time.sleep(0.2)
    document = start(server.url, folder, "--check", key=KEY).document()
    assert document["ok"] is True
    assert [row["name"] for row in document["checks"]] == ["server", "version", "device", "weights"]
    assert read_facts(document) == read_facts(
        start(server.url, folder, "--info", key=KEY).document()
    )
    facts = read_facts(document)
    assert "pleural effusion" in facts.findings
    assert facts.licences


def test_a_server_that_dies_is_told_with_what_to_do(
    runner: Runner, folder: Path, source: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own = ProductServer(runner, tmp_path_factory.mktemp("dies") / "data")
    write(folder, source)
    client = start(own.url, folder, key=KEY)
    client.until("queue")
    own.stop()
    *_, failed = client.events()
    assert (failed.code, client.wait()) == ("server_lost", 5)
    assert failed.hint
    assert [p.name for p in folder.iterdir()] == ["job.json"]
