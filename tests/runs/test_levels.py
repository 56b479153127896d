# SPDX-License-Identifier: Apache-2.0
"""A series whose levels are sampled, end to end: order, names, files, warnings, cost."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pydicom
import pytest

from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.diffusion.trace import schema
from monai_cxr_cf.pipeline import run
from monai_cxr_cf.runs.networks import Networks
from tests.dicom.factory import Spec
from tests.test_pipeline import check_outside, made, request_on

LEVELS = (0.0, 0.5, 1.0)
DIALS = {"sampling": {"steps": 4, "guidance_scale": 7.0}, "start": {"kind": "edit_friendly"}}


@pytest.fixture(scope="module")
def series(tmp_path_factory, tiny_folder):
    """The series of two seeds and the plain edit with the same: (folder, outcome, plain, file)."""
    folder, networks = tmp_path_factory.mktemp("levels"), Networks()
    phantom = made(folder, Spec())
    plain = request_on(phantom, tiny_folder, seeds=(1, 2), overrides=DIALS)
    asked = replace(plain, levels=LEVELS, levels_by="guidance")
    outcome = run(asked, folder / "series", networks=networks)
    run(plain, folder / "plain", networks=networks)
    return folder, outcome, phantom[0]


def pixels(folder: Path) -> list[np.ndarray]:
    return [pydicom.dcmread(path).pixel_array for path in sorted((folder / "cf").iterdir())]


def test_it_runs_from_the_source_to_the_plain_edit_of_each_seed(series) -> None:
    folder, _, source = series
    found, plain = pixels(folder / "series"), pixels(folder / "plain")
    stored = read_source(source).stored
    for seed in (0, 1):
        none, half, whole = found[3 * seed : 3 * seed + 3]
        assert np.array_equal(none, stored)
        assert np.array_equal(whole, plain[seed])
        assert not np.array_equal(half, whole)
        assert not np.array_equal(half, stored)
    assert check_outside(folder / "series", source) > 0


def test_every_file_and_record_says_how_it_was_made(series) -> None:
    folder, outcome, _ = series
    names = [
        f"seed {seed}, severity {level:.2f}, sampled at guidance {7 * level:g} of 7"
        for seed in (1, 2)
        for level in LEVELS
    ]
    assert [member["label"] for member in outcome.metrics["members"]] == names
    assert [file.label for file in outcome.files if file.role == "cf"] == names
    for path, name in zip(sorted((folder / "series" / "cf").iterdir()), names, strict=True):
        ds = pydicom.dcmread(path)
        assert name in ds.DerivationDescription
        assert ds.ImageComments == f"SYNTHETIC, research only. {name}"
        assert ds.SeriesDescription.startswith("SYNTHETIC counterfactual CXR by guidance: add")
    assert (folder / "series" / "sheet.png").is_file()
    report = json.loads((folder / "series" / "report.json").read_text())
    assert report["request"]["levels_by"] == "guidance"
    trace = {**report["trace"], "resources": report["run"]["sampling"]}
    jsonschema.validate(trace, schema())
    assert [one["level"] for one in trace["severities"]["runs"]] == [0.5, 1.0]
    plain = json.loads((folder / "plain" / "report.json").read_text())
    assert trace["config_hash"] == plain["trace"]["config_hash"]
    assert trace["steps"] == plain["trace"]["steps"]
    assert report["run"]["recalled"]["inversion"] >= trace["steps_executed"]
    assert "levels_from_noise" not in {code for code, _ in outcome.warnings}


def test_a_noised_start_is_warned_of_before_anything_is_sampled(tmp_path, tiny_folder) -> None:
    told = []
    dials = {**DIALS, "start": {"kind": "strength"}}
    request = request_on(made(tmp_path, Spec()), tiny_folder, seeds=(1,), overrides=dials,
                         levels=(0.5,), levels_by="guidance")  # fmt: skip
    outcome = run(request, tmp_path / "out", networks=Networks(), progress=told.append)
    codes = [event.get("warning", {}).get("code", event["stage"]) for event in told]
    assert codes.index("levels_from_noise") < codes.index("sample")
    assert "levels_from_noise" in {code for code, _ in outcome.warnings}
