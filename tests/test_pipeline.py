# SPDX-License-Identifier: Apache-2.0
"""The main job end to end on a tiny real model: exact outside, repeatable, refusing, restoring."""

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.seg_read import read_segmentation
from monai_cxr_cf.errors import BadRequest, Cancelled
from monai_cxr_cf.pipeline import run
from monai_cxr_cf.prompts.parse import parse_prompt
from monai_cxr_cf.request import EditRequest, from_json
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.result import refuse_early
from tests.dicom.factory import KINDS, Spec, phantom_masks, save
from tests.folders import contents

QUICK = {"sampling": {"steps": 4}}


@pytest.fixture(scope="module")
def networks():
    return Networks()


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """A DX phantom with its organ masks as PNG: (file, masks)."""
    return made(tmp_path_factory.mktemp("phantom"), Spec())


def made(folder: Path, spec: Spec) -> tuple[str, str]:
    source = save(folder / "source.dcm", spec)
    labels = np.zeros((spec.rows, spec.columns), np.uint8)
    for value, mask in enumerate(phantom_masks(spec.rows, spec.columns).values(), 1):
        labels[mask] = value
    Image.fromarray(labels).save(folder / "labels.png")
    return str(source), str(folder / "labels.png")


def request_on(phantom, tiny_folder, **fields) -> EditRequest:
    values = {"prompt": "moderate left pleural effusion", "overrides": QUICK, **fields}
    return EditRequest(source=phantom[0], masks=phantom[1], backbone=str(tiny_folder), **values)


def check_outside(folder: Path, source: str) -> int:
    """Assert that nothing changed outside region and band; returns how many pixels changed."""
    before = read_source(source)
    masks = read_segmentation(folder / "seg.dcm", before)
    allowed = masks["edit_region"] | masks["edit_band"]
    changed = 0
    for path in sorted((folder / "cf").iterdir()):
        after = pydicom.dcmread(path).pixel_array
        assert after.dtype == before.stored.dtype
        assert np.array_equal(after[~allowed], before.stored[~allowed])
        changed += int((after != before.stored).sum())
    return changed


def test_a_run_writes_the_seven_entries_and_a_report_that_lists_them(
    phantom, tiny_folder, networks, tmp_path
):
    outcome = run(request_on(phantom, tiny_folder), tmp_path / "out", networks=networks)
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"cf", "diff", "seg.dcm", "sr.dcm", "preview.png", "trace.png", "report.json"}
    report = json.loads(outcome.report.read_text())
    for entry in report["files"]:
        data = (tmp_path / "out" / entry["path"]).read_bytes()
        assert sha256(data).hexdigest() == entry["sha256"]
    assert report["outside_max_diff"] == 0
    assert check_outside(tmp_path / "out", phantom[0]) > 0
    assert all(f.path.is_file() for f in outcome.files)


@pytest.mark.parametrize("kind", list(KINDS))
def test_outside_region_and_band_every_kind_of_source_is_bit_identical(
    kind, tiny_folder, networks, tmp_path
):
    phantom = made(tmp_path, KINDS[kind])
    run(request_on(phantom, tiny_folder, preset="fast"), tmp_path / "out", networks=networks)
    check_outside(tmp_path / "out", phantom[0])


@pytest.mark.parametrize(
    "overrides",
    [
        {"sampling": {"solver": "ddim", "steps": 7, "spacing": "leading"}},
        {"sampling": {"steps": 5}, "start": {"kind": "ddim"}},
        {"sampling": {"steps": 5}, "start": {"kind": "edit_friendly"}},
        {"sampling": {"steps": 100}, "start": {"strength": 0.05}, "correct": {"alpha_max": 0}},
        {"sampling": {"steps": 4}, "keep": {"paste": False}},
        {"sampling": {"steps": 4}, "gate": {"mode": "off"}, "boost": {"eta": 0}},
    ],
)
def test_outside_stays_exact_for_every_solver_start_and_keep(
    phantom, tiny_folder, networks, tmp_path, overrides
):
    request = request_on(phantom, tiny_folder, overrides=overrides)
    outcome = run(request, tmp_path / "out", networks=networks)
    assert outcome.metrics["outside_max_diff"] == 0
    check_outside(tmp_path / "out", phantom[0])


def test_the_same_request_writes_the_same_bytes(phantom, tiny_folder, networks, tmp_path):
    request = request_on(phantom, tiny_folder, levels=(0.5, 1.0))
    for name in ("one", "two"):
        run(request, tmp_path / name, networks=networks, arrays=True)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    other = replace(request, seeds=(1,))
    run(other, tmp_path / "three", networks=networks)
    assert contents(tmp_path / "one")["cf/0001.dcm"] != contents(tmp_path / "three")["cf/0001.dcm"]


def test_one_edit_parses_its_words_once(phantom, tiny_folder, networks, tmp_path):
    request = request_on(phantom, tiny_folder, prompt="a large right pleural effusion")
    parse_prompt.cache_clear()
    refuse_early(request)  # as the command line does before it loads a library
    run(request, tmp_path / "out", networks=networks)
    assert parse_prompt.cache_info().misses == 1


def test_strength_zero_and_severity_zero_return_the_source(
    phantom, tiny_folder, networks, tmp_path
):
    source = read_source(phantom[0]).stored
    for name, fields in (("strength", {"strength": 0.0}), ("level", {"levels": (0.0,)})):
        run(request_on(phantom, tiny_folder, **fields), tmp_path / name, networks=networks)
        after = pydicom.dcmread(tmp_path / name / "cf" / "0001.dcm").pixel_array
        assert np.array_equal(after, source)


def test_every_record_states_the_strength_that_ran(phantom, tiny_folder, networks, tmp_path):
    steps = {"sampling": {"steps": 5}}
    request = request_on(phantom, tiny_folder, strength=0.5, overrides=steps, seeds=(1,))
    run(request, tmp_path / "out", networks=networks)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    trace = report["trace"]
    assert len(trace["steps"]) == trace["steps_executed"] == 2
    assert report["strength"] == trace["strength"] == 0.4
    assert report["request"]["strength"] == 0.5


def test_a_severity_series_is_one_series_from_the_source_on(
    phantom, tiny_folder, networks, tmp_path
):
    request = request_on(phantom, tiny_folder, levels=(0.0, 0.5, 1.0), seeds=(1,))
    outcome = run(request, tmp_path / "out", networks=networks)
    files = [pydicom.dcmread(p) for p in sorted((tmp_path / "out" / "cf").iterdir())]
    assert len({ds.SeriesInstanceUID for ds in files}) == 1
    assert [ds.InstanceNumber for ds in files] == [1, 2, 3]
    moved = [m["mean_abs_change_in_region"] for m in outcome.metrics["members"]]
    assert moved[0] == 0 < min(moved[1:])  # random weights need not grow evenly
    assert not np.array_equal(files[1].pixel_array, files[2].pixel_array)


def test_several_seeds_give_uncertainty_maps(phantom, tiny_folder, networks, tmp_path):
    request = request_on(phantom, tiny_folder, seeds=(1, 2))
    run(request, tmp_path / "out", networks=networks, arrays=True)
    maps = np.load(tmp_path / "out" / "masks.npz")
    outside = ~(maps["edit_region"] | maps["edit_band"])
    assert maps["change_std"][~outside].max() > 0
    assert maps["change_std"][outside].max() == 0
    assert 0 <= maps["change_probability"].min() <= maps["change_probability"].max() <= 1


def test_a_drawn_region_is_where_the_edit_acts(phantom, tiny_folder, networks, tmp_path):
    region = np.zeros((120, 96), np.uint8)
    region[40:60, 20:40] = 255
    Image.fromarray(region).save(tmp_path / "lesion.png")
    request = request_on(phantom, tiny_folder, roi=str(tmp_path / "lesion.png"))
    run(request, tmp_path / "out", networks=networks, arrays=True)
    masks = np.load(tmp_path / "out" / "masks.npz")
    assert np.array_equal(masks["edit_region"], region > 0)
    Image.fromarray(region[:-1]).save(tmp_path / "small.png")
    with pytest.raises(BadRequest, match="119 x 96"):
        run(replace(request, roi=str(tmp_path / "small.png")), tmp_path / "no", networks=networks)
    # The SEG of one run is the mask file of the next.
    again = replace(request, roi=None, masks=str(tmp_path / "out" / "seg.dcm"))
    run(again, tmp_path / "again", networks=networks, arrays=True)
    assert np.array_equal(np.load(tmp_path / "again" / "masks.npz")["edit_region"], region > 0)


def test_preset_paper_gives_the_decoder_output_and_says_so(
    phantom, tiny_folder, networks, tmp_path
):
    request = request_on(phantom, tiny_folder, preset="paper")
    outcome = run(request, tmp_path / "out", networks=networks)
    assert outcome.metrics["outside_max_diff"] > 0
    assert "no_composite" in {code for code, _ in outcome.warnings}
    assert outcome.verdict["verdict"] == "failed"


def test_a_cancelled_run_leaves_nothing_and_the_model_as_it_was(
    phantom, tiny_folder, networks, tmp_path
):
    backbone = networks.backbone(str(tiny_folder))
    processors = dict(backbone.unet.attn_processors)

    def stop(event):
        if event["stage"] == "sample" and event["step"] >= 1 and event["total"] > 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(request_on(phantom, tiny_folder), tmp_path / "out", networks=networks, progress=stop)
    assert not list(tmp_path.iterdir())
    after = backbone.unet.attn_processors
    assert all(after[name] is processor for name, processor in processors.items())


def test_progress_names_every_stage_in_order(phantom, tiny_folder, networks, tmp_path):
    seen: list[str] = []
    run(
        request_on(phantom, tiny_folder),
        tmp_path / "out",
        networks=networks,
        progress=lambda e: seen.append(e["stage"]),
    )
    stages = ["read", "segment", "region", "sample", "decode", "composite", "write"]
    assert list(dict.fromkeys(seen)) == stages


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": "left plural efusion"}, "pleural effusion"),
        ({"backbone": "/no/such/model"}, "model"),
        ({"masks": "/no/such/masks.png"}, "mask"),
        ({"overrides": {"boost": {"eta": -1}}}, "boost.eta"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    phantom, tiny_folder, networks, tmp_path, fields, words
):
    base = {
        "source": phantom[0],
        "prompt": "left pleural effusion",
        "masks": phantom[1],
        "backbone": str(tiny_folder),
    }
    with pytest.raises(Exception, match=words) as caught:
        run(from_json({**base, **fields}), tmp_path / "out", networks=networks)
    assert caught.value.exit_code in (2, 3)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_pixels_that_are_not_square_are_resampled_for_the_model_only(
    tiny_folder, networks, tmp_path
):
    phantom = made(tmp_path, Spec(spacing="anisotropic"))
    before = read_source(phantom[0])
    row, column = before.spacing.display
    assert before.aspect == pytest.approx(row / column)
    assert before.aspect != 1
    run(request_on(phantom, tiny_folder), tmp_path / "out", networks=networks)
    check_outside(tmp_path / "out", phantom[0])


def test_png_input_carries_no_patient_data(tiny_folder, networks, tmp_path):
    source, masks = made(tmp_path, Spec())
    shown = read_source(source).pixels
    Image.fromarray((shown * 255).astype(np.uint8)).save(tmp_path / "source.png")
    shutil.copy(masks, tmp_path / "copy.png")
    data = {
        "source": str(tmp_path / "source.png"),
        "masks": masks,
        "prompt": "left pleural effusion",
        "backbone": str(tiny_folder),
        "overrides": QUICK,
    }
    with pytest.raises(Exception, match="raster") as caught:
        run(from_json(data), tmp_path / "out", networks=networks)
    assert caught.value.exit_code == 2
    allowed = from_json({**data, "reading": {"allow_raster": True}})
    outcome = run(allowed, tmp_path / "out", networks=networks)
    ds = pydicom.dcmread(tmp_path / "out" / "cf" / "0001.dcm")
    assert not str(ds.PatientName)
    assert json.loads(outcome.report.read_text())["source"]["kind"] == "raster"
