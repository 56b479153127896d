# SPDX-License-Identifier: Apache-2.0
"""The doctor's rows and the facts: from answers good, bad and absent to what the screen shows."""

import json
from pathlib import Path

import pytest
from CXRCounterfactualLib.contract.events import End
from CXRCounterfactualLib.contract.facts import Facts, read_facts
from CXRCounterfactualLib.process import doctor
from CXRCounterfactualLib.process.backend import Backend
from CXRCounterfactualLib.process.commands import doctor_command, info_command
from CXRCounterfactualLib.process.environment import Runner as Found

from tests.slicer.environment import Runner
from tests.slicer.helpers.driving import drive

GOOD = {"ok": True, "checks": [{"name": "numpy", "ok": True, "found": "2.4", "hint": ""}]}
BAD = {"ok": False, "checks": [*GOOD["checks"], {"name": "weights", "ok": False,
       "found": "missing: cxr-mini", "hint": "Reinstall it."}]}  # fmt: skip


def test_the_runners_checks_become_rows_and_failed_ones_problems() -> None:
    rows = doctor.runner_rows(End(3, document=BAD))
    found = doctor.diagnose([doctor.runner_row(Found("/bin/sh", "setting")), rows])
    assert [(row.name, row.ok) for row in found.rows] == [
        ("environment", True),
        ("numpy", True),
        ("weights", False),
    ]
    assert found.problems == ("weights: missing: cxr-mini. Reinstall it.",)
    assert not found.ok
    assert doctor.diagnose([doctor.runner_rows(End(0, document=GOOD))]).ok


def test_no_environment_and_one_that_is_gone_say_what_to_do() -> None:
    for runner, words in ((None, "none was found"), (Found("/gone", "variable"), "does not exist")):
        row = doctor.runner_row(runner)
        assert not row.ok
        assert words in row.found
        assert "environment" in row.hint or "Python" in row.hint
    assert "MONAI_CXR_CF_PYTHON" in doctor.runner_row(Found("/gone", "variable")).found


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (End(3, stderr_tail="The Python package 'monai_cxr_cf' is missing."), "not installed"),
        (End(None, error="It could not be started."), "could not be started"),
        (End(11, crashed=True), "crashed"),
        (End(0, document={"other": 1}), "no answer"),
        (End(1, document={"checks": ["x", 3]}), "no answer"),
    ],
)
def test_an_answer_that_is_none_is_one_failed_row(end: End, words: str) -> None:
    (row,) = doctor.runner_rows(end)
    assert not row.ok
    assert words in row.found
    assert row.hint


def test_a_silent_server_is_one_failed_row() -> None:
    (row,) = doctor.server_rows(End(5))
    assert (row.name, row.ok) == ("server", False)
    assert doctor.server_rows(End(0, document=GOOD))[0].ok


def test_room_for_results_is_looked_at(tmp_path: Path) -> None:
    row = doctor.disk_row(tmp_path)
    assert "GB free" in row.found


FACTS = {
    "versions": {"monai-cxr-cf": "0.1.0"},
    "findings": {
        "pleural effusion": {"region": [["pleural_base", "named"]]},
        "cardiomegaly": {"region": [["cardiac_silhouette", None]]},
    },
    "zones": ["upper", "lower"],
    "unproven_findings": ["cardiomegaly"],
    "presets": {"default": {}, "fast": {}},
    "weights": [
        {"file": "cxr-mini/a.safetensors", "sha256": "a", "licence": "Apache License"},
        {"file": "cxr-mini/b.safetensors", "sha256": "b", "licence": "Apache License"},
        {"file": "model.pt", "sha256": "c", "licence": "Research only"},
    ],
    "intended_use": "Research only.",
}


def test_facts_name_licences_once_and_mark_what_is_unproven() -> None:
    facts = read_facts(FACTS)
    assert facts.licences == (("cxr-mini", "Apache License"), ("model.pt", "Research only"))
    assert facts.label("cardiomegaly") == "cardiomegaly (unproven)"
    assert "unproven" in facts.note("cardiomegaly")
    assert (facts.label("pleural effusion"), facts.note("pleural effusion")) == (
        "pleural effusion", "",
    )  # fmt: skip
    assert facts.sided == {"pleural effusion"}
    assert facts.presets == ("default", "fast")


@pytest.mark.parametrize("broken", [{}, {**FACTS, "weights": [1]}, {**FACTS, "findings": []}])
def test_facts_of_another_program_are_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="update it"):
        read_facts(broken)


@pytest.mark.usefixtures("application")
def test_the_real_runner_answers_doctor_and_info(runner: Runner) -> None:
    environment = runner.environment()
    told = drive(Backend(), info_command(runner.python, environment=environment))
    assert told.end.document is not None, told.end.stderr_tail
    facts = read_facts(told.end.document)
    assert isinstance(facts, Facts)
    assert "pleural effusion" in facts.sided
    assert {part for part, _ in facts.licences} >= {"cxr-mini", "segmenter"}
    assert facts.unproven <= set(facts.findings)
    assert any("Research" in licence for _, licence in facts.licences)

    told = drive(Backend(), doctor_command(runner.python, environment=environment))
    rows = doctor.runner_rows(told.end)
    assert {"python", "codecs", "weights", "device", "disk"} <= {row.name for row in rows}
    assert all(row.ok for row in rows), json.dumps([row.found for row in rows if not row.ok])
    assert max(told.gaps) < 0.1
