# SPDX-License-Identifier: Apache-2.0
"""What is refused stays refused, unless organs and region are the user's own: then it is told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.pipeline import run
from monai_cxr_cf.request import EditRequest, OrganRequest
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.organs import Found, find_organs
from tests.dicom.factory import Spec, phantom_masks, save

pytestmark = pytest.mark.weights
MASKS = dict(
    zip(("right_lung", "left_lung", "heart"), phantom_masks(120, 96).values(), strict=True)
)
BOX = np.zeros((120, 96), bool)
BOX[60:90, 60:80] = True


@pytest.fixture(scope="module")
def networks() -> Networks:
    """Loaded once."""
    return Networks()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom, which the network takes for a chest."""
    return save(tmp_path_factory.mktemp("source") / "a.dcm", Spec(sop="CR"))


def drawn(path: Path, mask: np.ndarray) -> str:
    """A mask as a picture."""
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    return str(path)


def found(source: Path, networks: Networks, **given: str) -> Found:
    """The organs of the phantom with what is given."""
    radiograph: Radiograph = read_source(source)
    return find_organs(OrganRequest(str(source), **given), radiograph, networks)  # type: ignore[arg-type]


def codes(found: Found) -> list[str]:
    """Codes of the notes."""
    return [code for code, _ in found.scene.notes]


def test_masks_with_a_region_are_enough_to_go_on(
    source: Path, networks: Networks, tmp_path: Path
) -> None:
    heart = drawn(tmp_path / "heart.png", np.roll(MASKS["heart"], -35, axis=0))  # far too high
    region = drawn(tmp_path / "roi.png", BOX)
    refused = found(source, networks, masks=heart).refusal
    assert refused is not None
    assert refused.code == "implausible_anatomy"
    assert "This does not look like a frontal chest" in refused.message
    assert "depth of the heart below the middle of the lungs" in refused.message
    enough = found(source, networks, masks=heart, roi=region)
    assert enough.refusal is None
    assert codes(enough) == ["anatomy_unchecked"]
    assert "Gone on with your masks and region" in enough.scene.notes[0][1]
    assert np.array_equal(enough.scene.drawn, BOX)


def test_an_edit_goes_on_with_them_and_its_report_says_so(
    source: Path, networks: Networks, tiny_folder: Path, tmp_path: Path
) -> None:
    request = EditRequest(
        source=str(source), prompt="moderate left pleural effusion", backbone=str(tiny_folder),
        masks=drawn(tmp_path / "heart.png", np.roll(MASKS["heart"], -35, axis=0)),
        roi=drawn(tmp_path / "roi.png", BOX), seeds=(1,), overrides={"sampling": {"steps": 3}},
    )  # fmt: skip
    outcome = run(request, tmp_path / "out", networks=networks)
    assert "anatomy_unchecked" in [code for code, _ in outcome.warnings]
    assert outcome.metrics["outside_max_diff"] == 0
    assert outcome.seconds["write"] > 0


def test_an_edit_goes_on_even_where_an_organ_is_missing(
    source: Path, networks: Networks, tiny_folder: Path, tmp_path: Path
) -> None:
    request = EditRequest(
        source=str(source), prompt="moderate left pleural effusion", backbone=str(tiny_folder),
        masks=drawn(tmp_path / "heart.png", np.ones((120, 96), bool)),  # no pixel left for lungs
        roi=drawn(tmp_path / "roi.png", BOX), seeds=(1,), overrides={"sampling": {"steps": 3}},
    )  # fmt: skip
    outcome = run(request, tmp_path / "out", networks=networks)
    told = dict(outcome.warnings)["anatomy_unchecked"]
    assert "No right lung and no left lung was found" in told
    assert outcome.metrics["outside_max_diff"] == 0


SHARES = {"a corner": (0.2, False), "half": (0.5, False), "three quarters": (0.74, False),
          "nearly all": (0.8, True), "all": (1.0, True)}  # fmt: skip


@pytest.mark.parametrize("name", SHARES)
def test_a_region_of_nearly_the_whole_picture_is_told(
    name: str, source: Path, networks: Networks, tmp_path: Path
) -> None:
    share, told = SHARES[name]
    region = np.zeros((120, 96), bool)
    region[: round(120 * share)] = True
    labels = np.zeros((120, 96), np.uint8)
    for value, mask in enumerate(MASKS.values(), 1):
        labels[mask] = value
    Image.fromarray(labels).save(tmp_path / "labels.png")
    result = found(source, networks, masks=str(tmp_path / "labels.png"),
                   roi=drawn(tmp_path / "roi.png", region))  # fmt: skip
    assert result.refusal is None
    assert ("region_large" in codes(result)) == told


def test_sides_are_told_by_the_masks(source: Path, networks: Networks, tmp_path: Path) -> None:
    def told(right: np.ndarray, left: np.ndarray, heart: np.ndarray) -> list[str]:
        labels = np.zeros((120, 96), np.uint8)
        for value, mask in enumerate((right, left, heart), 1):
            labels[mask] = value
        Image.fromarray(labels).save(tmp_path / "labels.png")
        return codes(found(source, networks, masks=str(tmp_path / "labels.png")))

    right, left, heart = MASKS.values()
    assert told(right, left, heart) == []
    assert told(left, right, heart) == ["sides"]
    assert told(left[:, ::-1], right[:, ::-1], heart[:, ::-1]) == ["mirrored"]
