# SPDX-License-Identifier: Apache-2.0
"""Many rows take no more memory than few, and are planned and counted in well under 1 ms each.

``benchmarks/batch.py`` does the same with a hundred thousand, and runs them.
"""

import time
import tracemalloc

import pytest

from monai_cxr_cf.batch.begin import Plan, lay_out
from monai_cxr_cf.batch.count import count
from monai_cxr_cf.batch.store.results import Results
from monai_cxr_cf.batch.store.run_folder import RunFolder

ROWS = 6000


def manifest(folder, rows):
    """Rows of one radiograph, three a patient, with a long column of their own."""
    (folder / "a.dcm").touch()
    path = folder / f"{rows}.csv"
    with path.open("w") as stream:
        stream.write("id,path,prompt,seeds,patient,report\n")
        report = "A long text that passes through. " * 20
        stream.writelines(f"r{i},a.dcm,edema,{i},p{i // 3},{report}\n" for i in range(rows))
    return path


def most(action):
    """Bytes that an action holds at most."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_planning_holds_some_hundred_bytes_a_row(tmp_path):
    def held(rows):
        path = manifest(tmp_path, rows)
        return most(lambda: lay_out(RunFolder(tmp_path / str(rows)), Plan(path)))

    few, many = held(ROWS // 10), held(ROWS)
    assert (many - few) / (ROWS - ROWS // 10) < 400  # 40 MB for a hundred thousand
    run = RunFolder(tmp_path / str(ROWS)).read()
    assert (run.rows, run.shards) == (ROWS, 48)


@pytest.mark.parametrize("failed", [False, True])
def test_counting_takes_ten_microseconds_a_row(failed, tmp_path):
    folder = RunFolder(tmp_path / "run")
    lay_out(folder, Plan(manifest(tmp_path, ROWS), shard=64))
    for number in range(folder.read().shards):
        lines = [
            {"state": "done", "n": row.number, "id": row.id, "key": "0" * 64, "bytes": 7,
             "verdict": "passed", "weights": {"m": "0" * 64}, "seconds": 1.0, "t": 1.0}
            for row in folder.read_plan(number)
        ]  # fmt: skip
        if failed and number == 0:
            lines.insert(0, {**lines[0], "state": "failed", "final": False})
        results = Results(folder.results(number))
        results.append(lines)
        results.close()
    began = time.process_time()
    counts = count(folder)
    seconds = time.process_time() - began
    assert (counts.done, counts.left, counts.bytes) == (ROWS, 0, 7 * ROWS)
    assert seconds / ROWS < 3e-5
