# SPDX-License-Identifier: Apache-2.0
"""Pictures of another program: found by their manifest, checked, and shown as they are."""

import csv
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.catalogue.table import choose
from monai_cxr_cf.diffusion.render import render
from monai_cxr_cf.diffusion.trace import schema
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.methods.external import COLUMNS, Wanted, finished
from monai_cxr_cf.methods.registry import run_method
from monai_cxr_cf.presets import DEFAULT
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.record import identity
from tests.methods.quick import backbone, task

GRID = ModelGrid((120, 100), 128)
WANTED = Wanted("chest.dcm", "pleural effusion", "add", (3,))
ROW = ("1", "chest.dcm", "effusion", "add", "left effusion", "3", "GAN", "a.png")


@pytest.fixture
def folder(tmp_path):
    """A function that writes a manifest of some rows; a.png has 8 bits, b.png 16."""
    grey = np.linspace(0, 1, 60 * 50).reshape(60, 50)
    Image.fromarray((grey * 255).astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray((grey * 65535).astype(np.uint16)).save(tmp_path / "b.png")
    Image.fromarray(np.zeros((60, 60), np.uint8)).save(tmp_path / "square.png")

    def write(*rows) -> str:
        with (tmp_path / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([COLUMNS, *rows])
        return str(tmp_path)

    return write


def row(**changes) -> tuple[str, ...]:
    """A good row with some cells changed."""
    return tuple({**dict(zip(COLUMNS, ROW, strict=True)), **changes}.values())


def test_pictures_are_found_by_image_finding_direction_and_seed(folder) -> None:
    place = folder(ROW, row(seed="4", file="b.png"), row(image="other.dcm"),
                   row(direction="remove"))  # fmt: skip
    found = finished(place, replace(WANTED, seeds=(4, 3)), GRID)
    assert found.images.shape == (2, 128, 128)
    assert np.allclose(found.images[0], found.images[1], atol=1 / 200)
    assert found.images[0][:, :10].max() == 0  # the pad of a narrow source
    assert found.made_by == "GAN"
    assert len(set(found.digests)) == 2


def test_a_file_s_ending_does_not_matter(folder) -> None:
    assert finished(folder(row(image="chest")), WANTED, GRID).images.shape[0] == 1


@pytest.mark.parametrize(
    ("rows", "seeds", "words"),
    [
        ([ROW], (5,), "no row for 'add pleural effusion' of chest.dcm, seed 5"),
        ([ROW], (), "1 rows for .*; expected one without a seed"),
        ([], (3,), "no row for"),
        ([ROW, ROW], (3,), "Row 3 of manifest.csv asks for the same picture as row 2"),
        ([row(finding="fracture of a wing")], (3,), "Row 2 .* 'fracture of a wing'"),
        ([row(direction="up")], (3,), "Row 2 .* direction 'up'"),
        ([row(seed="one")], (3,), "Row 2 .* seed 'one'"),
        ([row(file="c.png")], (3,), "Row 2 .* not there: c.png"),
        ([row(file="square.png")], (3,), "Row 2 .* 60 x 60; the source is 120 x 100"),
    ],
)
def test_a_wrong_row_is_named_by_its_number(folder, rows, seeds, words) -> None:
    with pytest.raises(BadRequest, match=words):
        finished(folder(*rows), replace(WANTED, seeds=seeds), GRID)


def test_without_a_folder_there_is_nothing_to_show(tmp_path) -> None:
    for name in ("", str(tmp_path)):
        with pytest.raises(ComponentMissing, match=r"needs a folder with manifest\.csv"):
            finished(name, WANTED, GRID)
    with pytest.raises(ComponentMissing, match="no pictures"):
        run_method("external", backbone(), task(), config=DEFAULT, seeds=[1])
    with pytest.raises(BadRequest, match="have no levels"):
        EditRequest("x.dcm", prompt="edema", method="external", levels=(0.5,))


def test_the_pictures_are_shown_as_they_are_and_compared_with_the_source(folder) -> None:
    given = replace(task(), finished=finished(folder(ROW), WANTED, GRID))
    found = run_method("external", backbone(), given, config=DEFAULT, seeds=[3])
    jsonschema.Draft202012Validator(schema()).validate(found.trace)
    assert found.trace["notes"][0] == "made by GAN; the backbone named here drew nothing"
    assert "unet" not in found.trace["cost"]["calls"]
    shown = render(backbone(), found, given.image)
    assert np.array_equal(shown.edited, given.finished.images)
    assert np.array_equal(shown.reference, given.image)
    with pytest.raises(BadRequest, match="1 pictures for 2 seeds"):
        run_method("external", backbone(), given, config=DEFAULT, seeds=[3, 4])


def test_a_folder_counts_by_its_pictures_and_its_path_is_written_nowhere(folder) -> None:
    place = folder(ROW)
    asked = {"source": "chest.dcm", "prompt": "left effusion", "method": "external"}
    request = EditRequest(**asked, seeds=(3,), method_settings={"folder": place})
    assert place not in request.canonical_json()
    told = identity(request)
    assert place not in told
    assert "pictures_sha256" in told
    (Path(place) / "a.png").write_bytes((Path(place) / "b.png").read_bytes())
    assert identity(request) != told
    given = replace(task(), finished=finished(place, WANTED, GRID))
    choice = choose("external", {"folder": place})
    found = run_method(choice, backbone(), given, config=DEFAULT, seeds=[3])
    assert place not in repr(found.trace)
