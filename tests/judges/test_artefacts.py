# SPDX-License-Identifier: Apache-2.0
"""Every artefact that was drawn fails its own check, and no honest change or radiograph does."""

from dataclasses import replace

import numpy as np
import pytest

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.judges.artefacts import SIDE, artefacts, reduced
from monai_cxr_cf.judges.evidence import Limits
from monai_cxr_cf.judges.verdict import judge
from monai_cxr_cf.runs.networks import Networks
from tests.judges import drawn_artefacts as draw

CHECKS = ("glare", "flat_edge", "lung_border", "hole")
MADE = {  # check -> the evidence that must fail it
    "glare": lambda chest: draw.asked(chest, draw.glare(chest)),
    "flat_edge": lambda chest: draw.asked(chest, draw.level_top(chest)),
    "hole": lambda chest: draw.asked(chest, draw.hole(chest), "cardiomegaly"),
    "lung_border": lambda chest: draw.asked(chest, draw.wiped(chest), "pulmonary edema"),
}
WHITE = {"glare": {"00768"}}  # its mediastinum is white already: nothing can be brighter
HONEST = {
    "no change": lambda chest: draw.asked(chest, np.zeros_like(chest.image)),
    "fluid with a meniscus": lambda chest: draw.asked(chest, draw.fluid(chest)),
    "a veil over both lungs": lambda chest: draw.asked(chest, draw.veil(chest), "pulmonary edema"),
    "a denser lower zone": draw.eased,
}


def chest_of(path, segment) -> draw.Chest:
    """A radiograph and its organs on the small grid."""
    read = read_source(str(path), ReadOptions(allow_raster=True))
    grid = ModelGrid(read.shape, SIDE)
    organs = segment(read.pixels, read.valid, aspect=read.aspect).organs.as_dict()
    masks = {name: grid.mask_to_model(mask)[grid.window] > 0.5 for name, mask in organs.items()}
    return draw.Chest(grid.to_model(read.pixels)[grid.window], masks)


@pytest.fixture(scope="module")
def segment():
    return Networks().segmenter("hybridgnet")


@pytest.fixture(scope="module", params=["drawn", "example"])
def chest(request, root, segment):
    """A drawn chest, and the example radiograph."""
    if request.param == "drawn":
        return draw.drawn_chest()
    return chest_of(root / "docs" / "example.dcm", segment)


@pytest.fixture(scope="module")
def real(shared, segment):
    """Twenty radiographs with and without findings."""
    paths = sorted((shared / "data" / "nih1024").glob("*.png"))
    assert len(paths) == 20
    return {path.stem: chest_of(path, segment) for path in paths}


def failed(evidence) -> list[str]:
    return [check.name for check in artefacts(evidence, Limits()) if not check.passed]


@pytest.mark.parametrize("name", CHECKS)
def test_a_made_artefact_fails_its_own_check(chest, name):
    found = failed(MADE[name](chest))
    bright = ["glare", "flat_edge"]  # the example's lungs: forty grey levels on top are glare, too
    assert found == [name] or (name == "flat_edge" and found == bright)


@pytest.mark.parametrize("name", CHECKS)
def test_a_made_artefact_fails_no_other_check(name):
    assert failed(MADE[name](draw.drawn_chest())) == [name]


@pytest.mark.parametrize("kind", HONEST)
def test_an_honest_change_fails_none(chest, kind):
    found = artefacts(HONEST[kind](chest), Limits())
    assert [check.name for check in found] == list(CHECKS)
    assert all(check.passed for check in found)
    assert not [check.words for check in found if "expected" in check.words]


@pytest.mark.parametrize("name", CHECKS)
def test_every_real_radiograph_with_an_artefact_fails(real, name):
    told = {stem: failed(MADE[name](chest)) for stem, chest in real.items()}
    assert {stem for stem, found in told.items() if name not in found} == WHITE.get(name, set())


@pytest.mark.parametrize("kind", HONEST)
def test_no_real_radiograph_fails_by_itself_or_with_an_honest_change(real, kind):
    told = {stem: failed(HONEST[kind](chest)) for stem, chest in real.items()}
    assert {stem: found for stem, found in told.items() if found} == {}


def test_a_finding_that_may_hide_borders_is_not_blamed_for_it():
    chest = draw.drawn_chest()
    edema = MADE["lung_border"](chest)
    covering = replace(edema.expected[0], covers=True)
    assert failed(replace(edema, expected=(covering,))) == []


def test_what_the_source_shows_itself_is_no_artefact():
    chest = draw.drawn_chest()
    for name in ("glare", "hole"):
        bad = MADE[name](chest)
        source = np.asarray(bad.source + bad.change, np.float32)
        veil = draw.veil(chest, 0.2)
        assert failed(replace(bad, source=source, change=veil)) == []


def test_the_small_grid_holds_grey_levels_at_every_size():
    chest = draw.drawn_chest()
    evidence = MADE["flat_edge"](chest)
    large = {name: np.kron(mask, np.ones((4, 4), bool)) for name, mask in chest.organs.items()}
    whole = replace(
        evidence,
        source=np.kron(evidence.source, np.ones((4, 4), np.float32)),
        change=np.kron(evidence.change, np.ones((4, 4), np.float32)),
        expected=(replace(evidence.expected[0], region=np.kron(
            evidence.expected[0].region, np.ones((4, 4), bool))),),
        before=large,
        after=large,
    )  # fmt: skip
    assert reduced(whole).source == pytest.approx(evidence.source * 255, abs=1e-3)
    assert artefacts(whole, Limits()) == artefacts(evidence, Limits())


def test_a_check_without_its_organ_is_left_out():
    chest = draw.drawn_chest()
    evidence = MADE["hole"](chest)
    heart = {"heart": chest.organs["heart"]}
    found = artefacts(replace(evidence, before=heart, after={}), Limits())
    assert [check.name for check in found] == ["hole"]
    assert artefacts(replace(evidence, before={}, after={}), Limits()) == []


def test_the_verdict_says_in_words_what_is_wrong():
    chest = draw.drawn_chest()
    said = {name: judge(MADE[name](chest)) for name in CHECKS}
    assert {verdict["verdict"] for verdict in said.values()} == {"failed"}
    words = {
        name: next(c["words"] for c in verdict["checks"] if c["name"] == name)
        for name, verdict in said.items()
    }
    assert "of the added density is blobs brighter than the mediastinum" in words["glare"]
    assert words["flat_edge"].startswith("a straight level edge cuts ")
    assert words["hole"].startswith("the deepest dark spot made inside the heart is ")
    assert words["lung_border"].endswith("of the lung borders that the source shows are gone "
                                         "(at most 50% expected)")  # fmt: skip
