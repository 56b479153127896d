# SPDX-License-Identifier: Apache-2.0
"""Published collections as they lie on disks become data folders of links, for evaluations."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.cli import main
from monai_cxr_cf.data.counts import LAYOUTS
from monai_cxr_cf.data.folder import load_image, read_index
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.cohort import findings, held_out
from monai_cxr_cf.evaluation.collection import Source, as_folder
from monai_cxr_cf.weights import models_folder
from tests.data.made import Mimic, Plus

MAKERS = {"mimic-cxr-jpg": Mimic, "chexpert-plus": Plus}


@pytest.fixture(params=MAKERS)
def collection(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A made collection: its layout and folder."""
    made = MAKERS[request.param](tmp_path / "disk")
    made.write()
    return request.param, tmp_path / "disk"


def test_a_folder_of_links_stands_for_the_collection(
    collection: tuple[str, Path], tmp_path: Path
) -> None:
    layout, data = collection
    before = sorted(data.rglob("*"))
    for _ in range(2):  # a second start makes the same
        folder = as_folder(Source(data, layout, ("train",)), tmp_path / "out")
    assert folder == tmp_path / "out" / "collection"
    rows = held_out(folder, "train", ("id", "patient", "view", "labels"))
    assert rows == read_index(folder)
    assert {row.view for row in rows} <= {"PA", "AP"}
    assert "pleural effusion" in set().union(*map(findings, rows))
    for row in rows:
        assert load_image(folder, row).dtype == np.float32
    assert all(path.is_symlink() for path in (folder / "images").iterdir())
    assert sorted(data.rglob("*")) == before


def test_a_split_that_is_not_there_is_refused_with_those_that_are(
    collection: tuple[str, Path], tmp_path: Path
) -> None:
    layout, data = collection
    with pytest.raises(BadRequest, match="no split 'test'") as caught:
        as_folder(Source(data, layout), tmp_path / "out")
    assert "train" in caught.value.hint
    assert not (tmp_path / "out").exists()
    (data / "index.csv").write_text("id\n")
    assert as_folder(Source(data), tmp_path / "out") == data
    assert set(MAKERS) < set(LAYOUTS)


def test_the_command_line_measures_a_judge_on_it(
    collection: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout, data = collection
    judge = tmp_path / "judge"
    judge.mkdir()
    for path in (models_folder() / "judges" / "j1").iterdir():
        (judge / path.name).write_bytes(path.read_bytes())
    words = ["evaluate", "classifier", "--judge", str(judge), "--data", str(data)]
    assert main([*words, "--layout", layout, "--split", "train"]) == 0
    assert "pleural effusion" in capsys.readouterr().out
    assert main([*words, "--layout", layout, "--split", "nowhere"]) == 2


@pytest.fixture(params=MAKERS)
def chests(request: pytest.FixtureRequest, tmp_path: Path, root: Path) -> tuple[str, Path]:
    """A made collection of normal chests, held out as its publishers hold out."""
    made = MAKERS[request.param](tmp_path / "disk")
    pixels = read_source(str(root / "docs" / "example.dcm")).pixels
    grey = Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).resize((482, 512))
    for path in made.folder.rglob("*.jpg"):
        grey.save(path)
    if isinstance(made, Mimic):
        made.without_reports()
        for n in range(4):
            made.cells("split", n, split="test")
            made.cells("chexpert", n, Edema="", **{"No Finding": "1.0"})
    else:
        for n in range(3):
            made.cells(n, split="valid", section_impression="No acute process.")
    return request.param, made.folder


def test_the_command_line_edits_and_ablates_what_it_holds(
    chests: tuple[str, Path], tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout, data = chests
    where = ["--data", str(data), "--layout", layout, "--backbone", str(tiny_folder)]
    edits = ["evaluate", "edits", *where, "--out", str(tmp_path / "edits"), "--inputs", "1"]
    edits += ["--seeds", "1", "--cells", "edema", "--preset", "fast"]
    for _ in range(2):  # a second start goes on in the folder that the first one made
        assert main(edits) in (0, 1)
        said = capsys.readouterr()
        assert f"{layout}: " in said.err
        assert "left out: 1 of another view" in said.err
    rows = (tmp_path / "edits" / "rows.jsonl").read_text().splitlines()
    assert {json.loads(row)["kind"] for row in rows} == {"edit", "sham"}
    assert not any("refused" in json.loads(row) for row in rows)
    laws = ["evaluate", "ablation", *where, "--out", str(tmp_path / "laws"), "--edits", "1"]
    assert main([*laws, "--seeds", "1", "--presets", "default", "--judge", "none"]) == 0
    assert "w/o regional prompt" in (tmp_path / "laws" / "table.md").read_text()
    methods = ["evaluate", "methods", *where, "--out", str(tmp_path / "m"), "--methods", "sdedit"]
    assert main([*methods, "--quick", "--no-table2", "--cells", "edema"]) == 0
    said = capsys.readouterr()
    assert f"{layout}: " in said.err
    assert "All edits take about 0 min" in said.err
    assert "| `sdedit` |" in (tmp_path / "m" / "table1.md").read_text()


def test_the_generator_s_evaluation_takes_it_too(
    chests: tuple[str, Path], tiny_folder: Path, tmp_path: Path
) -> None:
    layout, data = chests
    words = ["evaluate", "samples", "--data", str(data), "--layout", layout, "--out"]
    words += [str(tmp_path / "out"), "--backbone", str(tiny_folder), "--parts", "autoencoder"]
    assert main([*words, "--limit", "1"]) in (0, 1)
    assert "autoencoder" in (tmp_path / "out" / "table.md").read_text()


def test_the_census_of_tokens_takes_it_too(
    chests: tuple[str, Path], tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout, data = chests
    words = ["evaluate", "attention", "--data", str(data), "--layout", layout, "--out"]
    words += [str(tmp_path / "out"), "--backbone", str(tiny_folder), "--images", "1"]
    words += ["--findings", "effusion", "--timesteps", "500", "--device", "cpu"]
    for _ in range(2):  # a second start goes on in the folder that the first one made
        assert main(words) == 0
        assert f"{layout}: " in capsys.readouterr().err
    held = read_index(tmp_path / "out" / "collection")
    told = json.loads((tmp_path / "out" / "table.json").read_text())
    assert set(told["radiographs"]) < {row.id for row in held}
    assert len((tmp_path / "out" / "rows.jsonl").read_text().splitlines()) == 2
    assert main([*words, "--split", "nowhere"]) == 2
    assert "no split 'nowhere'" in capsys.readouterr().err


def test_a_collection_without_its_layout_is_told_of_it(
    collection: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for what in ("edits", "attention"):
        assert main(["evaluate", what, "--data", str(collection[1]), "--out", str(out)]) == 2
        assert "name its --layout" in capsys.readouterr().err
        assert not out.exists()


def test_a_folder_of_others_is_refused_before_anything_is_made(
    collection: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout, data = collection
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    words = ["evaluate", "edits", "--data", str(data), "--layout", layout, "--split", "train"]
    assert main([*words, "--out", str(tmp_path / "mine")]) == 2
    assert "no run of this evaluation" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_collection_without_drawn_organs_is_refused_by_that(
    collection: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    layout, data = collection
    assert main(["evaluate", "segmentation", "--data", str(data), "--layout", layout]) == 2
    assert "no drawn organs" in capsys.readouterr().err


def test_settings_need_the_radiographs_that_are_reserved_for_tuning(
    collection: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout, data = collection
    words = ["evaluate", "calibrate", "--data", str(data), "--layout", layout, "--modes", "edit"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "no split 'judge'" in capsys.readouterr().err
