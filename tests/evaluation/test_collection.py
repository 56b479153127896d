# SPDX-License-Identifier: Apache-2.0
"""Published collections as they lie on disks become data folders of links, for evaluations."""

from pathlib import Path

import numpy as np
import pytest

from monai_cxr_cf.cli import main
from monai_cxr_cf.data.counts import LAYOUTS
from monai_cxr_cf.data.folder import load_image, read_index
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.cohort import findings, held_out
from monai_cxr_cf.evaluation.collection import as_folder
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
        folder = as_folder(data, layout, tmp_path / "out", split="train")
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
        as_folder(data, layout, tmp_path / "out")
    assert "train" in caught.value.hint
    assert not (tmp_path / "out").exists()
    assert as_folder(data, "folder", tmp_path / "out") == data
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
