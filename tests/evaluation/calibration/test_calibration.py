# SPDX-License-Identifier: Apache-2.0
"""A search writes what edits then use, from radiographs reserved for tuning."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from monai_cxr_cf.calibration import FILE
from monai_cxr_cf.cli import main
from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.calibration.run import Plan, calibrate, inputs_for, sham_is_source
from monai_cxr_cf.evaluation.calibration.search import Space
from monai_cxr_cf.evaluation.edits.runner import Tools
from monai_cxr_cf.judges.split import role
from monai_cxr_cf.request import FindingEdit
from monai_cxr_cf.runs.networks import Networks


def test_a_sham_is_left_out_only_where_it_is_the_source() -> None:
    inverted = {"start": {"kind": "edit_friendly"}}
    assert not sham_is_source(Plan())
    assert sham_is_source(Plan(fixed=inverted))
    assert not sham_is_source(Plan(fixed=inverted | {"sampling": {"guidance_map": "uniform"}}))
    assert not sham_is_source(Plan(fixed={"start": {"kind": "ddim"}}))
    assert not sham_is_source(Plan(preset="paper", fixed=inverted))


def test_nothing_of_the_test_split_is_tuned_on(shared: Path) -> None:
    rows = read_index(shared / "data" / "cxr")
    for mode in ("edit", "removal"):
        splits = {row.split for row in inputs_for(rows, mode)}
        assert splits == ({"judge"} if mode == "edit" else {"judge", "train"})
    assert all(role(row) == "tuning" for row in inputs_for(rows, "edit"))


@pytest.fixture(scope="module")
def data(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tuning radiographs without findings."""
    folder = tmp_path_factory.mktemp("data")
    source = shared / "data" / "cxr"
    (folder / "images").symlink_to(source / "images")
    wanted = [r.id for r in inputs_for(read_index(source), "edit") if r.labels == ("No Finding",)]
    with (source / "index.csv").open(newline="") as stream:
        reader = csv.DictReader(stream)
        rows = [row for row in reader if row["id"] in wanted[:4]]
    with (folder / "index.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, reader.fieldnames or ())
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_the_result_is_what_edits_then_use_and_a_second_start_makes_nothing(
    data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    plan = Plan(
        modes=("edit",),
        inputs=1,
        cells=("left effusion",),
        backbone=str(tiny_folder),
        spaces={"edit": Space((0.1, 0.2), rms=(2.0,))},
    )
    said: list[str] = []
    result = calibrate(data, tmp_path, plan, progress=lambda e: None, announce=said.append)
    assert "edit: about" in said[0]
    made = json.loads((tmp_path / "calibration.json").read_text())
    best = result["modes"]["edit"]["best"]
    assert made["presets"]["fast"]["start"]["strength"] == best["strength"]
    (first, second) = made["made"]["frontier"]["edit"]
    assert {one["strength"] for one in (first, second)} == {0.1, 0.2}
    assert (first["strength"], first["worth"]) == (best["strength"], best["worth"])
    assert first["beyond"] > 0
    assert "keep" not in made["presets"]["fast"]  # the paste rests while it is measured only
    folder = tmp_path / "backbone"
    folder.mkdir()
    (folder / "calibration.json").write_text((tmp_path / "calibration.json").read_text())
    used = Networks(models=tmp_path).calibration("backbone").config("default")
    assert used.sampling.guidance_rms == best["rms"]
    assert "| 0.1 |  | 2 |" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "search.png").stat().st_size > 3000
    lines = (tmp_path / "rows" / "rows.jsonl").read_text()
    pictures = {path.name for path in (tmp_path / "rows" / "pictures").iterdir()}
    assert pictures == {json.loads(line)["picture"] for line in lines.splitlines()}
    again = calibrate(data, tmp_path, replace(plan), progress=lambda e: None)
    assert (tmp_path / "rows" / "rows.jsonl").read_text() == lines
    assert again == result


def test_each_finding_is_also_searched_apart_and_a_held_dial_is_written(
    data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    plan = Plan(
        modes=("edit",),
        inputs=1,
        cells=("left effusion", "right effusion", "edema"),
        backbone=str(tiny_folder),
        tools=Tools(pictures=False),
        fixed={"keep": {"band_px": 24}, "sampling": {"steps": 10}},
        spaces={"edit": Space((0.1, 0.2), rms=(2.0,))},
    )
    result = calibrate(data, tmp_path, plan, progress=lambda e: None)
    made = json.loads((tmp_path / "calibration.json").read_text())
    assert made["presets"]["default"]["keep"] == {"band_px": 24}
    assert made["presets"]["default"]["sampling"] == {"steps": 10, "guidance_rms": 2.0}
    assert set(made["findings"]) == {"pleural effusion", "pulmonary edema"}
    assert set(made["findings"]["pleural effusion"]["sides"]) == {"left", "right"}
    assert "sides" not in made["findings"]["pulmonary edema"]
    (path := tmp_path / "backbone").mkdir()
    (path / FILE).write_text((tmp_path / FILE).read_text())
    used = Networks(models=tmp_path).calibration("backbone")
    for side in ("left", "right"):
        best = result["modes"][f"edit, pleural effusion, {side}"]["best"]
        asked = used.config("default", "edit", [FindingEdit("pleural effusion", side=side)])
        assert asked.start.strength == best["strength"]
    own = made["findings"]["pulmonary edema"]["presets"]["fast"]
    best = result["modes"]["edit, pulmonary edema"]["best"]
    assert own == {"start": {"strength": best["strength"]}, "sampling": {"guidance_rms": 2.0}}
    assert "## edit, pleural effusion" in (tmp_path / "table.md").read_text()
    rows = [json.loads(line) for line in (tmp_path / "rows" / "rows.jsonl").open()]
    assert len(rows) == len({(r["trial"], r["seed"]) for r in rows})


def test_another_searchs_modes_are_kept(data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    kept = {"removals": {"fast": {"boost": {"eta": 0.5}}}, "made": {"backbone": "another"}}
    earlier.write_text(json.dumps(kept))
    plan = Plan(
        modes=("edit",),
        inputs=1,
        cells=("edema",),
        backbone=str(tiny_folder),
        tools=Tools(pictures=False),
        onto=earlier,
        spaces={"edit": Space((0.1,), (2.0,))},
    )
    calibrate(data, tmp_path / "out", plan, progress=lambda e: None)
    made = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert made["removals"] == kept["removals"]
    assert made["presets"]["fast"]["start"] == {"strength": 0.1}
    assert made["made"]["backbone"] == tiny_folder.name


@pytest.mark.parametrize("text", ["[]", "{}", "3", "{", '{"findings": {}}'])
def test_a_search_goes_onto_a_calibration_only(text: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "earlier.json").write_text(text)
    plan = Plan(modes=("edit",), onto=tmp_path / "earlier.json")
    with pytest.raises(BadRequest, match="is no calibration"):
        calibrate(data, tmp_path / "out", plan, progress=lambda e: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--onto", "nowhere.json"], "no calibration"),
        (["--set", "keep.width=3"], "width"),
        (["--set", "band"], "PART.FIELD=VALUE"),
        (["--modes", "repair"], "invalid choice"),
        (["--inputs", "none"], "no whole number"),
        (["--modes", "removal", "--cells", "edema"], "No edit of mode 'removal'"),
        (["--cells", "soup"], "No cell of the protocol"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["evaluate", "calibrate", "--data", str(data), "--out", str(tmp_path / "out")]
    assert main([*base, "--judge", "none", *words]) == 2
    assert said in capsys.readouterr().err
