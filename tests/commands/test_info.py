# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf info``: what it lists is what is in force, and listing it loads nothing heavy."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from monai_cxr_cf.cli import main
from monai_cxr_cf.commands.info import SOLVERS, STARTS
from monai_cxr_cf.presets import PRESETS, EditConfig
from monai_cxr_cf.runs.facts import GROUNDS
from monai_cxr_cf.runs.networks import Networks


def test_info_lists_findings_presets_and_what_is_unproven(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert set(info["presets"]) == set(PRESETS)
    assert info["grounds"] == GROUNDS
    assert "pleural effusion" in info["findings"]
    assert set(info["unproven_findings"]) <= set(info["findings"])
    assert all(len(item["sha256"]) == 64 and item["licence"] for item in info["weights"])


def test_info_says_what_the_shipped_weights_make_of_a_preset(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    in_force = Networks().calibration("cxr-mini").config("default").as_dict()
    assert info["presets_calibrated"]["cxr-mini"]["default"] == in_force
    assert in_force != info["presets"]["default"]
    assert main(["info"]) == 0
    listed = capsys.readouterr().out
    assert STARTS[in_force["start"]["kind"]].format(in_force["start"]["strength"]) in listed
    published = info["presets"]["default"]["start"]["strength"]
    assert f"from the source noised to {published} of the schedule" in listed


def test_every_solver_and_start_has_words() -> None:
    config = EditConfig()
    choices = {field.name: field.metadata["choices"] for part in (config.sampling, config.start)
               for field in fields(part) if field.name in ("solver", "kind")}  # fmt: skip
    assert set(SOLVERS) == set(choices["solver"])
    assert set(STARTS) == set(choices["kind"])


def test_info_loads_nothing_heavy(root: Path) -> None:
    probe = (
        "import sys; from monai_cxr_cf.cli import main; main(['info', '--json']);"
        "sys.exit(bool({'torch', 'numpy', 'pydicom', 'monai'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", probe], cwd=root, capture_output=True, check=False
    )
    assert answer.returncode == 0
