# SPDX-License-Identifier: Apache-2.0
"""*In*, *out* and *signed* against the plainest computation, and which shams are one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from monai_cxr_cf import pipeline
from monai_cxr_cf.case import words
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.errors import UnsupportedImage
from monai_cxr_cf.evaluation.edits.protocol import ADDITIONS, Input, Settings, Trial
from monai_cxr_cf.evaluation.frontier.cells import (
    IDLE,
    Cell,
    Maker,
    areas,
    figures,
    idle_dials,
    sham_config,
)
from monai_cxr_cf.evaluation.frontier.lines import BARE, all_lines
from monai_cxr_cf.presets import EditConfig
from monai_cxr_cf.runs.networks import Networks

QUICK = {"sampling": {"steps": 5, "solver": "ddim"}, "start": {"kind": "edit_friendly"}}
# Another value of every dial that a sham is said not to feel.
OTHER = {
    "sampling": {"guidance_scale": 19.0, "cfg_until": 0.75},
    "boost": {"eta": 5.0, "mu": 0.9, "side": "late", "renorm": True},
    "anatomy": {"strength": 0.5},
    "tokens": {"regional_prompt": False, "carrier": "finding+eos", "removal": "negative"},
    "energy": {"levels": "0,1", "map": "boosted"},
    "correct": {"alpha_max": 3.0, "norm": "none", "scale": 2.0, "truncated": False,
                "stop_score": 1.0, "cap": 0.0},
    "keep": {"band_px": 3},
    "output": {"composite": "none", "tau1": 0.5, "tau2": 0.6, "detail": 0.1},
}  # fmt: skip


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks(None, "cpu", "fp32")


@pytest.fixture(scope="module")
def cell(films: Path, tiny_folder: Path) -> Cell:
    """All laws, two seeds, the left effusion."""
    base = Settings(overrides=QUICK, backbone=str(tiny_folder))
    film = Input("a", "p0", "PA", str(films / "images" / "a.png"))
    settings = all_lines()[0].settings(base, 9.0)
    return Cell(Trial(film, ADDITIONS[1], (0, 1), settings=settings), "all laws", 9.0, band=6)


def planes(cell: Cell, networks: Networks, *, sham: bool) -> tuple:
    """Decoded outputs on the model grid, made anew; the case; the radiograph."""
    request = replace(cell.trial.request(), sham=sham)
    radiograph = read_source(request.source, request.reading)
    scene, _ = pipeline.segment(request, radiograph, networks)
    case = pipeline.locate(request, words(request), scene, networks)
    samples = pipeline.sample(request, case, networks, seeds=request.seeds, progress=lambda e: None)
    return pipeline.decode(request, case, samples, networks)[1].edited, case, radiograph


def test_figures_are_those_of_a_loop_over_pixels(cell: Cell, networks: Networks) -> None:
    rows = Maker(networks).rows(cell)
    edits, case, radiograph = planes(cell, networks, sham=False)
    shams, _, _ = planes(cell, networks, sham=True)
    assert case.config.keep.paste is False
    assert case.config.output.composite == "none"
    assert case.config.sampling.guidance_scale == 9.0
    # A native pixel is outside if it is 6 model pixels or more away from every region pixel.
    away = ndimage.distance_transform_edt(~case.region) * case.grid.scale >= 6
    far = case.grid.mask_to_model(away & radiograph.valid)
    region = case.grid.mask_to_model(case.region)
    rows_, columns = case.grid.window
    for number, row in enumerate(rows):
        inside, outside = [], []
        for y in range(rows_.start, rows_.stop):
            for x in range(columns.start, columns.stop):
                step = 255 * (float(edits[number, y, x]) - float(shams[number, y, x]))
                if region[y, x] >= 0.5:
                    inside.append(step)
                elif far[y, x] == 1:
                    outside.append(step)
        assert row["in"] == pytest.approx(np.mean(np.abs(inside)), abs=1e-4)
        assert row["out"] == pytest.approx(np.mean(np.abs(outside)), abs=1e-4)
        assert row["signed"] == pytest.approx(np.mean(inside), abs=1e-4)
        assert row["in"] > abs(row["signed"]) > 0
    assert [row["seed"] for row in rows] == [0, 1]
    assert rows[0]["in"] != rows[1]["in"]
    assert {(row["band_px"], row["guidance"], row["sign"]) for row in rows} == {(6, 9.0, 1)}


def test_figures_of_made_planes() -> None:
    edit, sham = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
    edit[0, :2], sham[3] = [0.2, -0.4], 0.1
    where = type("Where", (), {})()
    where.inside, where.outside = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    where.inside[0, :2], where.outside[2:] = True, True
    found = figures(edit, sham, where)
    assert found == pytest.approx({"in": 255 * 0.3, "out": 255 * 0.05, "signed": -255 * 0.1})


def test_region_band_and_outside_do_not_overlap_and_a_band_that_takes_all_is_refused(
    cell: Cell, networks: Networks
) -> None:
    _, case, radiograph = planes(cell, networks, sham=True)
    narrow, wide = areas(case, radiograph, 0), areas(case, radiograph, 12)
    assert not (narrow.inside & narrow.outside).any()
    assert (wide.inside == narrow.inside).all()
    assert wide.outside.sum() < narrow.outside.sum()
    assert not (wide.outside & ~narrow.outside).any()
    with pytest.raises(UnsupportedImage, match="nothing beyond it and its band"):
        areas(case, radiograph, 64)


@pytest.fixture(scope="module")
def sham(cell: Cell, networks: Networks) -> np.ndarray:
    return planes(cell, networks, sham=True)[0]


@pytest.mark.parametrize("part", list(IDLE))
def test_a_sham_does_not_feel_a_dial_that_is_called_idle(
    part: str, cell: Cell, networks: Networks, sham: np.ndarray
) -> None:
    assert set(OTHER[part]) == set(idle_dials(part))
    for name, value in OTHER[part].items():
        usual = cell.trial.settings.overrides
        turned = {**usual, part: {**usual.get(part, {}), name: value}}
        other = replace(cell, trial=replace(
            cell.trial, settings=replace(cell.trial.settings, overrides=turned)
        ))  # fmt: skip
        assert np.array_equal(planes(other, networks, sham=True)[0], sham), name
        assert sham_config(other.config(networks)) == sham_config(cell.config(networks))


def test_settings_that_a_sham_feels_have_shams_of_their_own() -> None:
    usual = EditConfig()
    for overrides in ({"gate": {"mode": "off"}}, {"start": {"strength": 0.5}},
                      {"tokens": {"source": "empty"}}, {"sampling": {"guidance_map": "uniform"}},
                      {"sampling": {"steps": 10}}):  # fmt: skip
        assert sham_config(usual.with_overrides(overrides)) != sham_config(usual)
    alone = usual.with_overrides({"gate": {"branches": "cond"}})
    strong = alone.with_overrides({"sampling": {"guidance_scale": 20}})
    assert sham_config(alone) != sham_config(strong)
    uniform = usual.with_overrides({"sampling": {"guidance_map": "uniform"}})
    strong = uniform.with_overrides({"sampling": {"guidance_scale": 20}})
    assert sham_config(uniform) != sham_config(strong)


def test_one_sham_serves_all_settings_that_share_it_and_no_other_edit(
    cell: Cell, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = pipeline.sample

    def counted(request, case, networks_, *, seeds, progress):
        asked.append(request.sham)
        return real(request, case, networks_, seeds=seeds, progress=progress)

    monkeypatch.setattr(pipeline, "sample", counted)
    maker, settings = Maker(networks), cell.trial.settings
    base = replace(settings, overrides={**QUICK, **BARE})
    for switches in ((), ("no-boost",), ("no-regional-prompt",), ("no-gate",)):
        own = replace(base, switches=switches)
        maker.rows(replace(cell, trial=replace(cell.trial, settings=own)))
    assert asked.count(False) == 4
    assert asked.count(True) == 2  # one with the gate, one without
    maker.rows(replace(cell, trial=replace(cell.trial, edit=ADDITIONS[2])))
    assert asked.count(True) == 3


def test_keys_tell_settings_bands_and_seeds_apart_and_nothing_else(
    cell: Cell, networks: Networks
) -> None:
    keys = cell.keys(networks)
    assert len(set(keys)) == 2
    assert replace(cell, line="another name", guidance=None).keys(networks) == keys
    assert not set(replace(cell, band=7).keys(networks)) & set(keys)
    more = replace(cell, trial=replace(cell.trial, seeds=(0, 1, 2)))
    assert more.keys(networks)[:2] == keys
    off = replace(cell.trial, settings=replace(cell.trial.settings, switches=("no-gate",)))
    assert not set(replace(cell, trial=off).keys(networks)) & set(keys)
