# SPDX-License-Identifier: Apache-2.0
"""More than one source, or words beside it: one sentence that tells how."""

from pathlib import Path

import pytest

from monai_cxr_cf.cli import main

EDIT = ["edit", "x.dcm", "--out", "out"]


@pytest.mark.parametrize(
    ("words", "told", "hint"),
    [
        (
            [*EDIT, "y.dcm", "--prompt", "mass"],
            "2 sources are named; expected one.",
            "cxr-cf batch plan",
        ),
        (
            [*EDIT, "--prompt", "mass", "y", "z"],
            "3 sources are named; expected one.",
            "cxr-cf batch run",
        ),
        (["read", "a.dcm", "b.dcm"], "2 sources are named; expected one.", "One file an edit"),
        (
            ["segment", "y", "z", "--out", "o"],
            "2 sources are named; expected one.",
            "cxr-cf batch plan",
        ),
        ([*EDIT, "--prompt", "left", "effusion"], "2 words stand apart", "quotation marks"),
        (["edit", "--prompt", "left", "mass", "y", "--out", "o"], "2 words stand", "quotation"),
        ([*EDIT, "--prompt", "mass", "--cook", "y"], "unrecognized arguments: --cook y.", "--help"),
        (["doctor", "x.dcm"], "unrecognized arguments: x.dcm.", "--help"),
    ],
)
def test_more_than_one_source_is_told_how(
    words: list[str], told: str, hint: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in "yz":  # files without an ending, as on a disc
        (tmp_path / name).write_bytes(b"DICM")
    assert main(words) == 2
    first, second = capsys.readouterr().err.strip().splitlines()
    assert first.startswith(f"cxr-cf: {told}")
    assert hint in second


def test_a_list_of_numbers_that_is_none_is_told_what_one_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["edit", "a.dcm", "--prompt", "edema", "--out", "o", "--seeds", "1,b"]) == 2
    assert "'1,b' is no list such as 1,2,3" in capsys.readouterr().err
