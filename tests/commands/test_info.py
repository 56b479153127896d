# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf info``: what it lists is what is in force, and listing it loads nothing heavy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from monai_cxr_cf.cli import main
from monai_cxr_cf.presets import PRESETS
from monai_cxr_cf.runs.networks import Networks


def test_info_lists_findings_presets_and_what_is_unproven(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert set(info["presets"]) == set(PRESETS)
    assert "pleural effusion" in info["findings"]
    assert set(info["unproven_findings"]) <= set(info["findings"])
    assert all(len(item["sha256"]) == 64 and item["licence"] for item in info["weights"])


def test_info_says_what_the_shipped_weights_make_of_a_preset(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    in_force = Networks().calibrated("cxr-mini", "default").as_dict()
    assert info["presets_calibrated"]["cxr-mini"]["default"] == in_force
    assert in_force != info["presets"]["default"]
    assert main(["info"]) == 0
    listed = capsys.readouterr().out
    assert f"start {in_force['start']['kind']} {in_force['start']['strength']}" in listed
    assert f"start strength {info['presets']['default']['start']['strength']}" in listed


def test_info_loads_nothing_heavy(root: Path) -> None:
    probe = (
        "import sys; from monai_cxr_cf.cli import main; main(['info', '--json']);"
        "sys.exit(bool({'torch', 'numpy', 'pydicom', 'monai'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", probe], cwd=root, capture_output=True, check=False
    )
    assert answer.returncode == 0
