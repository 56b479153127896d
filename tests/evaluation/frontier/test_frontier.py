# SPDX-License-Identifier: Apache-2.0
"""The whole frontier on a tiny real model: complete, resumable, the same in two processes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from monai_cxr_cf.cli import main
from monai_cxr_cf.errors import Cancelled
from monai_cxr_cf.evaluation.frontier.curves import OFF, UNDECIDED
from monai_cxr_cf.evaluation.frontier.lines import MORE, SWEEP
from monai_cxr_cf.evaluation.frontier.run import Plan, evaluate_frontier


def quiet(event: dict) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def plan(tiny_folder: Path) -> Plan:
    return Plan(
        cells=("cardiomegaly",),
        rows=("Eq. 5 alone", "nothing new"),
        more={**MORE, "nothing new": {}},
        sweep=(3.0, 9.0),
        inputs=1,
        overrides={"sampling": {"steps": 4}},
        backbone=str(tiny_folder),
    )


@pytest.fixture(scope="module")
def finished(films: Path, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two additions and a removal, each under four lines of three settings."""
    out = tmp_path_factory.mktemp("frontier")
    said: list[str] = []
    evaluate_frontier(films, out, plan, progress=quiet, announce=said.append)
    # Of 36 settings a quarter is the same as another. Guidance by region leaves a sham alone: one a
    # radiograph; where the whole picture is guided, one for each of two lines and three scales.
    assert said[0].startswith("36 settings of edits; missing: 27 edits and 21 shams, about ")
    return out


def rows_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]


def timeless(rows: list[dict]) -> list[dict]:
    found = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    return sorted(found, key=lambda row: row["key"])


def test_every_setting_of_every_edit_has_a_row(finished: Path) -> None:
    rows = rows_of(finished)
    assert len(rows) == 27
    assert {(r["direction"], r["patient"]) for r in rows} == {
        ("add", "p0"), ("add", "p1"), ("remove", "p2"),
    }  # fmt: skip
    result = json.loads((finished / "frontier.json").read_text())
    assert [(s["mode"], s["finding"], s["edits"]) for s in result["sections"]] == [
        ("additions", "cardiomegaly", 2), ("removals", "cardiomegaly", 1),
    ]  # fmt: skip
    section = result["sections"][0]
    assert [(r["line"], r["guidance"]) for r in section["rows"]] == [
        (line, g) for line in ("all laws", "no law", "Eq. 5 alone", "nothing new")
        for g in (None, 3.0, 9.0)
    ]  # fmt: skip
    verdicts = {law["law"]: law["verdict"] for law in section["laws"]}
    assert verdicts == {"all laws": UNDECIDED, "Eq. 5 alone": UNDECIDED, "nothing new": OFF}
    assert (finished / "frontier.png").stat().st_size > 20_000
    assert (
        "## removals: cardiomegaly, 1 edits of 1 patients" in (finished / "frontier.md").read_text()
    )


def test_a_second_start_makes_nothing_again(films: Path, plan: Plan, finished: Path) -> None:
    lines, page = ((finished / name).read_bytes() for name in ("rows.jsonl", "frontier.md"))
    evaluate_frontier(films, finished, plan, progress=quiet)
    assert (finished / "rows.jsonl").read_bytes() == lines
    assert (finished / "frontier.md").read_bytes() == page


def test_a_run_that_was_killed_goes_on_where_it_was(
    films: Path, plan: Plan, finished: Path, tmp_path: Path
) -> None:
    def kill(event: dict) -> None:
        if event["step"] == 10:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        evaluate_frontier(films, tmp_path, plan, progress=kill)
    assert len(rows_of(tmp_path)) == 10
    assert not (tmp_path / "frontier.json").exists()
    with (tmp_path / "rows.jsonl").open("a") as stream:
        stream.write('{"key": "torn')  # the process died while it wrote
    said: list[str] = []
    evaluate_frontier(films, tmp_path, plan, progress=quiet, announce=said.append)
    assert "missing: 17 edits" in said[0]
    assert timeless(rows_of(tmp_path)) == timeless(rows_of(finished))
    known, found = (json.loads((p / "frontier.json").read_text()) for p in (finished, tmp_path))
    for result in (known, found):
        for section in result["sections"]:
            for row in section["rows"]:
                del row["seconds"]
    assert found == known


def test_two_processes_give_the_same_rows(
    films: Path, plan: Plan, finished: Path, tmp_path: Path
) -> None:
    few = replace(plan, rows=("all laws",), modes=("additions",), workers=2)
    evaluate_frontier(films, tmp_path, few, progress=quiet)
    known = {row["key"]: row for row in timeless(rows_of(finished))}
    for row in timeless(rows_of(tmp_path)):
        same = known[row["key"]]
        assert row.keys() == same.keys()
        assert row["in"] == pytest.approx(same["in"], abs=0.01)
    assert len(rows_of(tmp_path)) == 6


def test_the_command_says_what_it_found(
    films: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "frontier", "--data", str(films), "--out", str(tmp_path / "out")]
    words += ["--backbone", str(tiny_folder), "--mode", "removals", "--inputs", "1"]
    words += ["--rows", "Eq. 6 alone", "--guidance", "3", "9", "--set", "sampling.steps=2"]
    assert main([*words, "--progress", "none"]) == 0
    said = capsys.readouterr()
    assert "## removals: cardiomegaly, 1 edits of 1 patients" in said.out
    assert "| Eq. 6 alone |" in said.out
    assert said.err == ""
    assert main([*words, "--json", "--progress", "none"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["plan"]["sweep"] == [3.0, 9.0]
    assert result["plan"]["overrides"] == {"sampling": {"steps": 2}}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--guidance", "0.5"], "--guidance is 0.5"),
        (["--band", "65"], "--band is 65"),
        (["--inputs", "0"], "no whole number"),
        (["--split", "nowhere"], "There is no split 'nowhere'"),
        (["--cells", "gout"], "No cell of the protocol is called 'gout'"),
        (["--cells", "edema", "--mode", "removals"], "is among the removals"),
        (["--rows", "Eq. 77"], "No line of the frontier is called 'Eq. 77'"),
        (["--more", "nowhere.json"], "holds no lines"),
        (["--set", "boost.magic=1"], "boost.magic"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    words: list[str], said: str, films: Path, tiny_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    base = ["evaluate", "frontier", "--data", str(films), "--out", str(tmp_path / "out")]
    assert main([*base, "--backbone", str(tiny_folder), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_names_the_sweep_that_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "frontier", "--help"])
    assert f"({' '.join(f'{s:g}' for s in SWEEP)})" in capsys.readouterr().out
