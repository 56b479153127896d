# SPDX-License-Identifier: Apache-2.0
"""Parquet in and out, by pyarrow."""

import csv
import json
import sys

import pyarrow
import pytest
from pyarrow import parquet

from monai_cxr_cf.batch.begin import Plan, lay_out
from monai_cxr_cf.batch.compact import COLUMNS, compact
from monai_cxr_cf.batch.rows.table import read_table
from monai_cxr_cf.batch.store.results import Results
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.errors import ComponentMissing, UnreadableInput
from tests.batch.folders import write_manifest


def test_a_manifest_in_parquet_gives_the_plan_of_its_csv(tmp_path):
    path = write_manifest(tmp_path / "in", 5, {1: "refuse"})
    with path.open() as stream:
        rows = [{**row, "seeds": [int(row["seeds"])], "do": row["do"] or None}
                for row in csv.DictReader(stream)]  # fmt: skip
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "in" / "m.parquet")
    for name in ("manifest.csv", "m.parquet"):
        lay_out(RunFolder(tmp_path / name), Plan(tmp_path / "in" / name))
    plans = [(tmp_path / name / "plan/00000.jsonl").read_bytes()
             for name in ("manifest.csv", "m.parquet")]  # fmt: skip
    assert plans[0] == plans[1]


def test_results_in_parquet(tmp_path):
    path = write_manifest(tmp_path / "in", 3, {1: "refuse"})
    folder = RunFolder(tmp_path / "run")
    lay_out(folder, Plan(path))
    results = Results(folder.results(0))
    results.append(
        [
            {"state": "done", "n": 1, "id": "r0", "key": "ab" * 32, "verdict": "passed",
             "outside_max_diff": 0, "t": 1.0},
            {"state": "refused", "n": 2, "id": "r1", "code": "raster", "message": "No.", "t": 2.0},
        ]
    )  # fmt: skip
    results.close()
    first = compact(folder).read_bytes()
    assert compact(folder).read_bytes() == first
    table = parquet.read_table(folder.path / "results.parquet")
    assert table.column_names == [*COLUMNS, "do"]
    found = table.to_pylist()
    assert [row["state"] for row in found] == ["done", "refused", "left"]
    assert (found[0]["folder"], found[0]["outside_max_diff"]) == (f"rows/ab/ab/{'ab' * 32}", 0)
    assert json.loads(found[2]["request"]) == {"prompt": "cardiomegaly", "seeds": [2]}
    assert (found[1]["message"], found[1]["do"], found[1]["outside_max_diff"]) == (
        "No.", "refuse", None,
    )  # fmt: skip


def test_what_is_no_parquet_is_told(tmp_path):
    (tmp_path / "m.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UnreadableInput, match=r"m\.parquet is no Parquet file"):
        list(read_table(tmp_path / "m.parquet"))


def test_without_pyarrow_the_command_that_helps_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = write_manifest(tmp_path / "in", 1)
    folder = RunFolder(tmp_path / "run")
    lay_out(folder, Plan(path))
    with pytest.raises(ComponentMissing, match="pyarrow; --to csv and --to jsonl do not"):
        compact(folder)
    assert not list(folder.path.glob("*results.parquet*"))
    (tmp_path / "m.parquet").write_bytes(b"PAR1")
    with pytest.raises(ComponentMissing, match="Parquet needs the package pyarrow"):
        list(read_table(tmp_path / "m.parquet"))
