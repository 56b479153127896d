# SPDX-License-Identifier: Apache-2.0
"""A few mutated headers in every run; ``python tests/fuzz.py headers`` tries thousands."""

from pathlib import Path

import pytest

from tests.dicom.mutate import attempt, mutated, run
from tests.fuzz import examples

# Found by long runs: identifiers of one part, legal to the reader and dropped by the writer; a
# date whose bytes claim to be a sequence.
FOUND = (1058, 1145, 1193, 1450)


@pytest.mark.parametrize("seed", FOUND)
def test_what_a_long_run_found_is_read_and_written(seed: int, tmp_path: Path) -> None:
    assert attempt(mutated(seed), tmp_path) == ""


def test_mutated_headers_are_read_and_written_or_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.dicom.mutate.install_privacy_filter", lambda: None)
    count = examples(24)
    assert run(count, seed=0) == 0
    told = capsys.readouterr().out
    assert f"{count} headers from seed 0: 0 failed" in told
    assert "accepted" in told


def test_a_seed_makes_the_same_file_again() -> None:
    assert mutated(7) == mutated(7)
    assert mutated(7) != mutated(8)
