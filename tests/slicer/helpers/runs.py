# SPDX-License-Identifier: Apache-2.0
"""Finished runs of the product for the tests: made once a session by the product's own Python."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.slicer.environment import Runner

PATIENCE = 600  # seconds for five runs and the weights


@dataclass(frozen=True)
class Case:
    """One finished run: where its source and its output lie, and the event it ended with."""

    source: Path
    out: Path
    result: Any  # events.Result


@pytest.fixture(scope="session")
def runs(runner: Runner, root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Kind -> finished run: plain, sweep (2 seeds x 2 levels), mono1, calibrated, same, example."""
    folder = tmp_path_factory.mktemp("runs")
    script = str(root / "tests" / "slicer" / "helpers" / "product_runs.py")
    done = subprocess.run(
        [runner.python, script, str(folder)], check=False, capture_output=True, text=True,
        cwd=root, env=runner.environment(), timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return {each.name: _case(each) for each in sorted(folder.iterdir())}


def _case(folder: Path) -> Case:
    """The event goes through the extension's own decoder, as it does in a run."""
    from CXRCounterfactualLib.contract.decoder import LineDecoder

    told = (folder / "events.ndjson").read_bytes()
    *_, result = LineDecoder(folder / "out").feed(told)
    return Case(folder / "source.dcm", folder / "out", result)
