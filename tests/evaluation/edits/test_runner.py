# SPDX-License-Identifier: Apache-2.0
"""A run on a tiny real model: complete, repeatable, resumable, and never mixed with another."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.cli import main
from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.errors import BadRequest, Cancelled
from monai_cxr_cf.evaluation.edits.inputs import Chooser, candidates, choose
from monai_cxr_cf.evaluation.edits.measure import Bench
from monai_cxr_cf.evaluation.edits.protocol import ADDITIONS, EDITS, REMOVALS, Settings, select
from monai_cxr_cf.evaluation.edits.runner import Tools, run_cells
from monai_cxr_cf.evaluation.edits.store import ROWS, read_rows
from monai_cxr_cf.runs.networks import Networks

COLUMNS = (
    "id", "source", "patient", "view", "age", "sex", "labels", "text", "split", "organ_mask",
    "retrocardiac_mask", "landmarks", "licence", "weights_may_ship",
)  # fmt: skip
FINDINGS = [
    ("a", "PA", "No Finding"), ("b", "PA", "No Finding"), ("c", "AP", "No Finding"),
    ("d", "PA", "Effusion"), ("e", "PA", "Cardiomegaly|Effusion"),
]  # fmt: skip
QUICK = {"sampling": {"steps": 2}}


class Brightness:
    """A judge that anyone can follow: the mean of the image's lower half."""

    name, sha256, findings = "brightness", "0" * 64, ("pleural effusion", "nodule")
    auc = {"pleural effusion": {"auc": 0.9}, "nodule": {"auc": 0.5}}  # noqa: RUF012

    def counts(self, finding, view=""):
        return self.auc[finding]["auc"] >= 0.8

    def predict(self, images):
        means = [float(image[image.shape[0] // 2 :].mean()) for image in images]
        return np.array([[mean, 1 - mean] for mean in means])


@pytest.fixture(scope="module")
def data(root, tmp_path_factory) -> Path:
    """A data folder of five patients: one real radiograph in five contrasts."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    pixels = read_source(str(root / "docs" / "example.dcm")).pixels
    with (folder / "index.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        for number, (name, view, labels) in enumerate(FINDINGS):
            grey = np.rint(255 * np.clip(pixels, 0, 1) ** (0.9 + 0.05 * number)).astype(np.uint8)
            picture = Image.fromarray(grey)
            picture.thumbnail((256, 256))
            picture.save(folder / "images" / f"{name}.jpg", quality=95)
            writer.writerow({"id": name, "source": "nih", "patient": f"p{number}", "view": view,
                             "labels": labels, "split": "test"})  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def bench():
    return Bench(Networks(), {"j1": Brightness(), "j2": Brightness()})


def trials_of(data, bench, tiny_folder, *, edits=ADDITIONS[1:2], count=2, shams=True):
    settings = Settings(overrides=QUICK, backbone=str(tiny_folder))
    chooser = Chooser(data, read_index(data), bench.networks.segmenter("hybridgnet"))
    return choose(chooser, edits, count=count, seeds=(0, 1), settings=settings, shams=shams).trials


def timeless(rows):
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]


@pytest.fixture(scope="module")
def whole(data, bench, tiny_folder, tmp_path_factory):
    """An uninterrupted run: (folder, rows)."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    pictured = replace(bench, pictures=folder / "pictures")
    trials = trials_of(data, bench, tiny_folder)
    return folder, run_cells(trials, folder, Tools(), bench=pictured)


def test_a_run_has_a_row_per_seed_of_every_edit_and_sham(whole) -> None:
    folder, rows = whole
    assert len(rows) == 3 * 2 * 2  # PA: two inputs, AP: one; edit and sham; two seeds
    assert len({row["key"] for row in rows}) == len(rows)
    assert {row["cell"] for row in rows} == {"add left effusion, PA", "add left effusion, AP"}
    assert [row["kind"] for row in rows[:4]] == ["edit", "edit", "sham", "sham"]
    for row in rows:
        assert row["outside_max_diff"] == 0
        assert row["ssim_outside"] > row["ssim_inside"]
        assert set(row["dice"]) == {"right_lung", "left_lung", "heart"}
        assert set(row["j2_after"]) == {"pleural effusion", "nodule"}
        assert row["j1_after"] == row["j2_after"]
        gain = row["j1_after"]["pleural effusion"] - row["j1_before"]["pleural effusion"]
        assert ("gain:pleural effusion" in row["verdict_failed"]) == (gain < 0.15)
        assert row["strength"] == 0.5  # of two steps, one runs
        assert row["geometry_gain"] is not None
        with Image.open(folder / "pictures" / row["picture"]) as picture:
            assert picture.width > 3 * picture.height / 1.5


def test_a_run_stopped_half_way_goes_on_to_the_same_rows(
    whole, data, bench, tiny_folder, tmp_path
) -> None:
    trials = trials_of(data, bench, tiny_folder)
    pictured = replace(bench, pictures=tmp_path / "run" / "pictures")

    def stop(event):
        if event["step"] == 2:
            raise Cancelled(interrupted=True)

    with pytest.raises(Cancelled):
        run_cells(trials, tmp_path / "run", Tools(), bench=pictured, progress=stop)
    path = tmp_path / "run" / ROWS
    assert len(read_rows(tmp_path / "run")) == 4
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]) + lines[3][:40])  # the machine went down while writing
    steps = []
    rows = run_cells(trials, tmp_path / "run", Tools(), bench=pictured, progress=steps.append)
    assert [event["step"] for event in steps] == [1, 2, 3, 4, 5, 6]
    assert "eta_s" in steps[-1]
    assert timeless(rows) == timeless(whole[1])


def test_a_finished_run_is_not_run_again(whole, data, bench, tiny_folder) -> None:
    before = (whole[0] / ROWS).read_bytes()
    rows = run_cells(trials_of(data, bench, tiny_folder), whole[0], Tools(), bench=bench)
    assert rows == whole[1]
    assert (whole[0] / ROWS).read_bytes() == before


def test_rows_of_other_judges_or_protocols_are_refused(whole, data, bench, tiny_folder) -> None:
    trials = trials_of(data, bench, tiny_folder)
    with pytest.raises(BadRequest, match="other weights: j1, j2"):
        run_cells(trials, whole[0], Tools(), bench=replace(bench, judges={}))
    header = whole[0] / "run.json"
    old = header.read_text()
    header.write_text(json.dumps({**json.loads(old), "protocol": 0}))
    with pytest.raises(BadRequest, match="protocol 0"):
        run_cells(trials, whole[0], Tools(), bench=bench)
    header.write_text(old)


def test_rows_made_under_another_calibration_are_refused(
    data, bench, tiny_folder, tmp_path
) -> None:
    trials = trials_of(data, bench, tiny_folder, count=1, shams=False)[:1]
    rows = run_cells(trials, tmp_path / "run", Tools(), bench=bench)
    stale = [{**row, "config": "0" * 64} for row in rows]
    (tmp_path / "run" / ROWS).write_text("".join(json.dumps(row) + "\n" for row in stale))
    with pytest.raises(BadRequest, match="other settings"):
        run_cells(trials, tmp_path / "run", Tools(), bench=bench)


def test_a_folder_of_others_is_left_alone(data, bench, tiny_folder, tmp_path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(BadRequest, match="no run of this evaluation"):
        run_cells(trials_of(data, bench, tiny_folder), tmp_path, Tools(), bench=bench)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_removals_sham_runs_as_long_as_the_removal_and_steers_nowhere(
    data, bench, tiny_folder, tmp_path
) -> None:
    trials = trials_of(data, bench, tiny_folder, edits=REMOVALS[1:], count=1)
    rows = run_cells(trials, tmp_path / "run", Tools(pictures=False), bench=bench)
    assert {(row["kind"], row["strength"]) for row in rows} == {("edit", 0.5), ("sham", 0.5)}
    assert {row["prompt"] for row in rows} <= {
        "no pleural effusion", "no left pleural effusion", "no right pleural effusion",
    }  # fmt: skip


def test_inputs_are_one_a_patient_with_the_label_in_a_fixed_order(data) -> None:
    rows = read_index(data)
    twice = [*rows, replace(rows[0], id="z")]
    chosen = candidates(twice, ADDITIONS[0], "PA")
    assert sorted(row.patient for row in chosen) == ["p0", "p1"]
    assert candidates(twice[::-1], ADDITIONS[0], "PA") == chosen
    assert [row.id for row in candidates(rows, REMOVALS[0], "PA")] == ["e"]
    assert {row.id for row in candidates(rows, REMOVALS[1], "PA")} == {"d", "e"}


def test_the_first_images_of_all_cells_come_first(data, bench, tiny_folder) -> None:
    trials = trials_of(data, bench, tiny_folder, edits=EDITS, count=2, shams=False)
    cells = [trial.cell for trial in trials]
    first = len(set(cells))
    assert len(set(cells[:first])) == first == 18  # AP shows no finding that could be removed


def test_two_processes_give_the_same_rows(data, tiny_folder, tmp_path) -> None:
    bench = Bench(Networks(), {})
    trials = trials_of(data, bench, tiny_folder, count=1)[:2]
    alone = run_cells(trials, tmp_path / "one", Tools(pictures=False), bench=bench)
    pair = run_cells(trials, tmp_path / "two", Tools(workers=2, pictures=False), bench=bench)
    assert timeless(pair) == timeless(alone)


def test_unknown_cells_and_switches_are_named() -> None:
    assert [edit.group for edit in select(["edema"])] == ["add edema"]
    with pytest.raises(BadRequest, match="'gout'"):
        select(["gout"])
    with pytest.raises(BadRequest, match="no-magic"):
        Settings(switches=("no-magic",))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--data is missing"),
        (["--data", "DATA", "--inputs", "0"], "--inputs is 0"),
        (["--data", "DATA", "--split", "holdout"], "no split 'holdout'"),
        (["--data", "DATA", "--cells", "gout"], "No cell"),
        (["--data", "nowhere"], "no index.csv"),
        (["--data", "DATA", "--off", "sleep"], "invalid choice: 'sleep'"),
        (["--report"], "no run"),
    ],
)
def test_bad_words_get_one_sentence_and_exit_code_2(
    words, sentence, data, tmp_path, capsys
) -> None:
    given = [str(data) if word == "DATA" else word for word in words]
    assert main(["evaluate", "edits", "--out", str(tmp_path / "out"), *given]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) <= 2
    assert not (tmp_path / "out").exists()


def test_the_command_runs_the_protocol_and_draws_the_page(
    data, tiny_folder, tmp_path, capsys
) -> None:
    out = tmp_path / "out"
    words = ["evaluate", "edits", "--data", str(data), "--out", str(out), "--inputs", "1"]
    words += ["--seeds", "1", "--cells", "edema", "--preset", "fast", "--progress", "none"]
    words += ["--off", "bounds", "regional-guidance"]
    code = main([*words, "--backbone", str(tiny_folder), "--json"])
    table = json.loads(capsys.readouterr().out)
    assert code in (0, 1)
    assert {cell["name"] for cell in table["cells"]} == {"add edema, PA", "add edema, AP"}
    assert "add edema, PA" in (out / "index.html").read_text()
    assert json.loads((out / "evidence.json").read_text())["findings"] == []
    rested = {tuple(json.loads(line)["switches"]) for line in (out / "rows.jsonl").open()}
    assert rested == {("no-bounds", "no-regional-guidance")}
    before = (out / "index.html").read_bytes()
    main(["evaluate", "edits", "--report", "--out", str(out)])
    assert (out / "index.html").read_bytes() == before
