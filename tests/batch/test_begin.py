# SPDX-License-Identifier: Apache-2.0
"""A folder is gone on with only as it was begun: same settings, same rows, perhaps more of them."""

import gzip
import json
from dataclasses import replace

import pytest

from monai_cxr_cf.batch.begin import BadRows, Plan, lay_out
from monai_cxr_cf.batch.store.run_folder import RunFolder, with_weights
from monai_cxr_cf.errors import BadRequest, UnreadableInput
from tests.batch.folders import batch, keys, write_manifest
from tests.posix import posix


def planned(folder, path, **more):
    """Lay out a manifest; the rows of every shard."""
    place = RunFolder(folder)
    run, _ = lay_out(place, Plan(path, **{"shard": 4, **more}))
    return [[row.id for row in place.read_plan(n)] for n in range(run.shards)]


def test_rows_are_ordered_by_patient_and_radiograph_and_not_parted(tmp_path):
    path = tmp_path / "m.csv"
    for name in "abc":
        (tmp_path / name).write_text(name)
    rows = ["1,a,p", "2,b,q", "3,a,p", "4,c,p", "5,b,q", "6,a,p", "7,c,p"]
    path.write_text("id,path,patient,prompt\n" + "".join(f"{row},cardiomegaly\n" for row in rows))
    assert planned(tmp_path / "run", path, shard=2) == [["1", "3", "6"], ["4", "7"], ["2", "5"]]


def test_a_radiograph_with_very_many_rows_is_parted(tmp_path):
    path = write_manifest(tmp_path / "in", 10, each=10)
    assert [len(shard) for shard in planned(tmp_path / "run", path)] == [7, 3]


def test_a_longer_manifest_adds_shards_and_changes_none(tmp_path):
    path = write_manifest(tmp_path / "in", 6)
    before = planned(tmp_path / "run", path)
    write_manifest(tmp_path / "in", 9)
    after = planned(tmp_path / "run", path)
    assert after[: len(before)] == before
    assert [row for shard in after[len(before) :] for row in shard] == ["r6", "r7", "r8"]
    assert RunFolder(tmp_path / "run").read().rows == 9


@posix
def test_a_run_goes_on_with_what_was_added(tmp_path):
    path = write_manifest(tmp_path / "in", 6)
    assert batch(tmp_path / "run", path)[0] == 0
    first = keys(tmp_path / "run")
    write_manifest(tmp_path / "in", 9)
    code, counts = batch(tmp_path / "run", path)
    assert (code, counts["done"]) == (0, 9)
    assert first.items() < keys(tmp_path / "run").items()


def test_a_shorter_manifest_is_refused_with_what_it_lacks(tmp_path):
    path = write_manifest(tmp_path / "in", 6)
    planned(tmp_path / "run", path)
    write_manifest(tmp_path / "in", 4)
    with pytest.raises(BadRequest, match="lacks 2 rows that this folder was planned with"):
        planned(tmp_path / "run", path)


def test_a_changed_row_is_refused_by_its_number(tmp_path):
    path = write_manifest(tmp_path / "in", 6)
    planned(tmp_path / "run", path)
    path.write_text(path.read_text().replace("r3,source1,cardiomegaly", "r3,source1,edema"))
    with pytest.raises(BadRows) as caught:
        planned(tmp_path / "run", path)
    (bad,) = caught.value.bad
    assert (bad.number, bad.message[:33]) == (4, "It was planned with other cells; ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": {"device": "cuda"}}, 'another device: "cpu", now "cuda"'),
        ({"settings": {"device": "cpu", "arrays": True}}, "another arrays: null, now true"),
        ({"common": {"preset": "fast"}}, 'another fields: {}, now {"preset": "fast"}'),
    ],
)
def test_other_settings_are_refused_with_the_field_that_differs(change, said, tmp_path):
    path = write_manifest(tmp_path / "in", 6)
    planned(tmp_path / "run", path, settings={"device": "cpu"})
    with pytest.raises(BadRequest) as caught:
        planned(tmp_path / "run", path, **{"settings": {"device": "cpu"}, **change})
    assert said in caught.value.message
    assert caught.value.code == "other_settings"


def test_another_version_is_refused(tmp_path):
    path = write_manifest(tmp_path / "in", 6)
    planned(tmp_path / "run", path)
    place = RunFolder(tmp_path / "run")
    run = place.read()
    place.save(replace(run, fingerprint={**run.fingerprint, "version": "0.0.1"}))
    with pytest.raises(BadRequest, match=r'another version: "0\.0\.1", now'):
        planned(tmp_path / "run", path)


@posix
def test_other_weights_are_refused(tmp_path):
    path = write_manifest(tmp_path / "in", 6)
    batch(tmp_path / "run", path)
    write_manifest(tmp_path / "in", 8)
    code, counts = batch(tmp_path / "run", path, work={"model": "others"})
    assert code == 1
    assert 'another weights of stub: "weights", now "others"' in counts["stderr"]
    assert len(keys(tmp_path / "run")) == 6


def test_a_lost_column_is_refused(tmp_path):
    path = write_manifest(tmp_path / "in", 6)
    planned(tmp_path / "run", path)
    rows = [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(BadRequest, match="another set of columns"):
        planned(tmp_path / "run", path)


def test_bad_rows_are_all_listed_and_nothing_is_begun(tmp_path):
    path = write_manifest(tmp_path / "in", 8)
    text = path.read_text().replace("r1,source0,cardiomegaly", "r1,source0,a chest with zebras")
    text = text.replace("r2,source1", "r2,nowhere").replace("r5,", "r4,")
    path.write_text(text.replace("r7,source3,cardiomegaly,7", "r7,source3,cardiomegaly,seven"))
    with pytest.raises(BadRows) as caught:
        planned(tmp_path / "run", path)
    assert [bad.number for bad in caught.value.bad] == [2, 3, 6, 8]
    said = [bad.message for bad in caught.value.bad]
    assert said[1:] == [
        "The file of 'path' is not there.",
        "Its 'id' stands in an earlier row; expected one row an id.",
        "seeds is 'seven'; expected a JSON array.",
    ]
    assert caught.value.message == "4 of 8 rows cannot be run, so nothing was begun."
    assert not (tmp_path / "run").exists()


def test_bad_rows_may_be_left_out(tmp_path):
    path = write_manifest(tmp_path / "in", 4)
    path.write_text(path.read_text().replace("r2,source1", "r2,nowhere"))
    _, bad = lay_out(RunFolder(tmp_path / "run"), Plan(path, skip_bad=True))
    assert [each.number for each in bad] == [3]
    assert RunFolder(tmp_path / "run").read().rows == 3
    (tmp_path / "in" / "nowhere").write_text("there now")
    lay_out(RunFolder(tmp_path / "run"), Plan(path, skip_bad=True))
    assert RunFolder(tmp_path / "run").read().rows == 4


def test_a_folder_of_others_is_not_touched(tmp_path):
    path = write_manifest(tmp_path / "in", 2)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadRequest, match="holds 1 entries; expected a new or an empty one"):
        planned(tmp_path / "run", path)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_a_folder_without_a_batch_is_told(tmp_path):
    with pytest.raises(UnreadableInput, match=r"holds no batch; expected one with run\.json"):
        RunFolder(tmp_path).read()


def test_a_model_that_was_not_known_is_added(tmp_path):
    path = write_manifest(tmp_path / "in", 2)
    planned(tmp_path / "run", path)
    run = with_weights(with_weights(RunFolder(tmp_path / "run").read(), {"a": "1"}), {"b": "2"})
    assert run.weights == {"a": "1", "b": "2"}
    with pytest.raises(BadRequest, match='another weights of a: "1", now "3"'):
        with_weights(run, {"a": "3"})


def test_the_same_rows_as_json_lines_or_packed_give_the_same_plan(tmp_path):
    path = write_manifest(tmp_path / "in", 6)
    head, *rows = [line.split(",") for line in path.read_text().splitlines()]
    (tmp_path / "in" / "m.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    (tmp_path / "in" / "m.jsonl").write_text(
        "".join(
            json.dumps({**dict(zip(head, row, strict=True)), "seeds": [int(row[3])]}) + "\n"
            for row in rows
        )
    )
    found = []
    for name in ("manifest.csv", "m.csv.gz", "m.jsonl"):
        planned(tmp_path / f"run {name}", tmp_path / "in" / name)
        found.append((tmp_path / f"run {name}" / "plan" / "00000.jsonl").read_bytes())
    assert found[0] == found[1] == found[2]
