# SPDX-License-Identifier: Apache-2.0
"""The commands: what is run, what is removed, and that a key never stands in words."""

from pathlib import Path

import pytest
from CXRCounterfactualLib.process import commands
from CXRCounterfactualLib.process.commands import Command

KEY = "top-secret"
HOME = {"HOME": "/home/me"}
JOB, OUT = Path("/j/job.json"), Path("/j/out")


def test_an_edit_speaks_the_protocol_and_owns_its_folder() -> None:
    command = commands.local_command("/env/python", JOB, OUT, environment=HOME)
    assert command.words == (
        *("-m", "monai_cxr_cf.cli", "edit", "--request", str(JOB), "--out", str(OUT)),
        *("--progress", "ndjson", "--arrays"),
    )
    assert (command.program, command.folder, command.document) == ("/env/python", OUT, False)
    assert command.arguments[0].endswith("spawn.py")


def test_questions_are_documents_and_own_nothing() -> None:
    for make in (commands.doctor_command, commands.info_command):
        command = make("/env/python", environment=HOME)
        assert command.document
        assert command.folder is None
        assert command.words[-1] == "--json"


@pytest.mark.parametrize("key", ["", KEY])
def test_a_key_travels_in_the_environment_only(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(commands.AUTHORITIES, raising=False)
    where = ("python", "https://cxr.example")
    made: list[Command] = [
        commands.remote_command(*where, JOB, OUT, key=key, environment=HOME),
        commands.remote_region_command(*where, JOB, OUT, key=key, environment=HOME),
        commands.server_command(*where, key=key, environment=HOME),
    ]
    for command in made:
        assert dict(command.environment) == HOME | ({commands.KEY: KEY} if key else {})
        assert KEY not in f"{command} {command.arguments} {command.group_file}"


def test_a_servers_client_knows_the_certificates_of_the_running_slicer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(commands.AUTHORITIES, "/slicer/Slicer.crt")
    named = commands.server_command("python", "https://a.example", key="", environment=HOME)
    assert named.environment[commands.AUTHORITIES] == "/slicer/Slicer.crt"
    own = {**HOME, commands.AUTHORITIES: "/hospital.pem"}
    kept = commands.server_command("python", "https://a.example", key="", environment=own)
    assert dict(kept.environment) == own


def test_every_process_tells_its_group_in_a_file_of_its_own() -> None:
    made = [commands.doctor_command("python", environment=HOME) for _ in range(3)]
    assert len({command.group_file for command in made}) == 3
    assert made[0].group_file == made[0].group_file
