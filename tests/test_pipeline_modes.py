# SPDX-License-Identifier: Apache-2.0
"""Removals, mixed, several and sham edits: what steers them, where they act and which way."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from monai_cxr_cf.case import parted
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.seg_read import read_segmentation
from monai_cxr_cf.pipeline import run
from monai_cxr_cf.prompts.compose import NORMAL
from monai_cxr_cf.prompts.parse import parse_prompt
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.networks import Networks
from tests.dicom.factory import Spec, phantom_masks, save, stored_values
from tests.test_pipeline import check_outside, made, request_on


@pytest.fixture(scope="module")
def networks():
    return Networks()


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """A DX phantom with its organ masks as PNG: (file, masks)."""
    return made(tmp_path_factory.mktemp("phantom"), Spec())


@pytest.fixture(scope="module")
def opaque(tmp_path_factory):
    """The same chest with an opaque left base, as an effusion leaves it."""
    values = stored_values(Spec()).astype(int)
    base = phantom_masks(120, 96)["left lung"]
    base[:75] = False
    values[base] = round(0.7 * 4095)
    folder = tmp_path_factory.mktemp("opaque")
    _, masks = made(folder, Spec())
    return str(save(folder / "opaque.dcm", Spec(), values.astype(np.uint16))), masks


def told(folder: Path) -> dict[str, Any]:
    """The report that a run has written."""
    return json.loads((folder / "report.json").read_text())


def spoken(trace: dict[str, Any]) -> dict[str, tuple[str, dict[str, str]]]:
    """What steered the run: prompt or negative -> its text, and the words of each finding."""
    found = {}
    for name in ("prompt", "negative"):
        rows = [row for row in trace["tokens"] if row["prompt"] == name]
        words = {one: joined(row["piece"] for row in rows if row["set"] == one)
                 for one in {row["set"] for row in rows} - {"", "special"}}  # fmt: skip
        text = joined(row["piece"] for row in rows if row["set"] != "special")
        found[name] = text, words
    return found


def joined(pieces: Iterable[str]) -> str:
    """Pieces of a tokenizer as the words they came from."""
    text = "".join(pieces).split("<|endoftext|>")[0]
    return text.replace("</w>", " ").replace(" ,", ",").strip()


def heard(tokenizer: Any, text: str) -> str:
    """What the small vocabulary keeps of a text: what it does not know ends it."""
    return joined(tokenizer.tokenize(text))


def scored(trace: dict[str, Any], what: str) -> set[str]:
    """The findings whose attention was looked at (``roi_score``) or moved (``correction``)."""
    steps = [step[what] for step in trace["steps"]]
    if what == "correction":
        steps = [step["scores"]["score"] for step in steps if step is not None]
    return {name for step in steps for row in step.values() for name in row}


NOTHING: tuple[str, dict[str, str]] = ("", {})
HEART = "cardiomegaly"


CORRECTED = {"correct": {"alpha_max": 0.05}, "sampling": {"steps": 6}}
AWAY = {**CORRECTED, "tokens": {"removal": "negative"}}
PNEUMOTHORAX, EFFUSION = "pneumothorax", "pleural effusion"
MIXED = "right apical pneumothorax but no left effusion"
SEVERAL = f"left effusion and {HEART}"


@pytest.mark.parametrize(
    ("prompt", "mode", "target", "negative", "corrected"),
    [
        ("no cardiomegaly", "removal", (NORMAL, {}), (HEART, {HEART: HEART}), set()),
        (
            MIXED,
            "mixed",
            ("right apical pneumothorax", {PNEUMOTHORAX: PNEUMOTHORAX}),
            ("left effusion", {EFFUSION: "effusion"}),
            {PNEUMOTHORAX},
        ),
        (
            SEVERAL,
            "edit",
            (SEVERAL, {EFFUSION: "effusion", HEART: HEART}),
            NOTHING,
            {EFFUSION, HEART},
        ),
    ],
    ids=["removal", "mixed", "several"],
)
def test_what_comes_stands_in_the_prompt_and_what_goes_in_the_negative_one(
    phantom, tiny_folder, networks, tmp_path, prompt, mode, target, negative, corrected
):
    """Every finding is scored by its words; only the attention of what comes is corrected."""
    request = request_on(phantom, tiny_folder, prompt=prompt, overrides=AWAY)
    outcome = run(request, tmp_path / "out", networks=networks)
    trace = told(tmp_path / "out")["trace"]
    assert trace["mode"] == mode
    assert spoken(trace) == {"prompt": target, "negative": negative}
    assert scored(trace, "roi_score") == set(target[1]) | set(negative[1])
    assert scored(trace, "correction") == corrected
    assert any(step["guided"] for step in trace["steps"])
    assert outcome.metrics["members"][0]["mean_abs_change_in_region"] > 1
    assert check_outside(tmp_path / "out", phantom[0]) > 0


SIZE, CLEAR = "normal heart size", "clear lungs"


@pytest.mark.parametrize(
    ("prompt", "target", "own", "corrected"),
    [
        ("no cardiomegaly", (SIZE, {HEART: SIZE}), {}, set()),
        (
            MIXED,
            (f"right apical pneumothorax, {CLEAR}", {PNEUMOTHORAX: PNEUMOTHORAX, EFFUSION: CLEAR}),
            {PNEUMOTHORAX: "right apical pneumothorax", EFFUSION: CLEAR},
            {PNEUMOTHORAX, EFFUSION},
        ),
        (
            SEVERAL,
            (SEVERAL, {EFFUSION: "effusion", HEART: HEART}),
            {EFFUSION: "left effusion", HEART: HEART},
            {EFFUSION, HEART},
        ),
    ],
    ids=["removal", "mixed", "several"],
)
def test_what_goes_is_answered_by_healthy_words_and_each_of_several_has_its_text(
    phantom, tiny_folder, networks, tmp_path, prompt, target, own, corrected
):
    request = request_on(phantom, tiny_folder, prompt=prompt, overrides=CORRECTED)
    run(request, tmp_path / "out", networks=networks)
    trace = told(tmp_path / "out")["trace"]
    tokenizer = networks.backbone(str(tiny_folder)).tokenizer
    words = {name: heard(tokenizer, one) for name, one in target[1].items()}
    assert spoken(trace) == {"prompt": (heard(tokenizer, target[0]), words), "negative": NOTHING}
    rows = [row for row in trace["tokens"] if row["prompt"] == "own" and row["set"] != "special"]
    names = dict.fromkeys(row["finding"] for row in rows)
    found = {n: joined(r["piece"] for r in rows if r["finding"] == n) for n in names}
    assert found == {name: heard(tokenizer, text) for name, text in own.items()}
    assert scored(trace, "roi_score") == set(target[1])
    assert scored(trace, "correction") == corrected
    assert check_outside(tmp_path / "out", phantom[0]) > 0


def test_several_findings_are_edited_in_the_union_of_their_own_regions(
    phantom, tiny_folder, networks, tmp_path
):
    regions = {}
    for prompt in ("right apical pneumothorax", "no left effusion",
                   "right apical pneumothorax but no left effusion"):  # fmt: skip
        out = tmp_path / str(len(regions))
        run(request_on(phantom, tiny_folder, prompt=prompt), out, networks=networks)
        masks = read_segmentation(out / "seg.dcm", read_source(phantom[0]))
        regions[prompt] = masks["edit_region"]
        assert set(told(out)["trace"]["inputs"]["regions"]) == {
            item["code"]["meaning"].lower() for item in told(out)["findings"]
        }
    one, other, both = regions.values()
    assert np.array_equal(both, one | other)
    assert not (one & other).any()
    assert (masks["right_lung"] | ~one).all()
    assert (masks["left_lung"] | ~other).all()


def test_what_comes_goes_before_what_goes():
    """Where an added finding lies nothing is steered away; a region that this would empty stays."""
    heart, fluid = np.zeros((2, 8, 8), bool)
    heart[2:6, 2:6] = fluid[4:8, 4:8] = True
    asked = parse_prompt("left pleural effusion, no cardiomegaly")
    assert [item.direction for item in asked.findings] == ["add", "remove"]
    added, removed = parted(asked, [fluid, heart])
    assert np.array_equal(added, fluid)
    assert np.array_equal(removed, heart & ~fluid)
    assert np.array_equal(parted(asked, [fluid, fluid])[1], fluid)
    both = parse_prompt("no left pleural effusion, no cardiomegaly")
    assert all(map(np.array_equal, parted(both, [fluid, heart]), [fluid, heart]))


@pytest.mark.parametrize(
    ("prompt", "source"), [("left pleural effusion", "clear lungs"), ("no cardiomegaly", HEART)]
)
def test_a_sham_gives_the_source_back_where_its_inversion_is_exact(
    phantom, tiny_folder, networks, tmp_path, prompt, source
):
    """Same region, seed and settings as the edit that it controls, but no word to steer by."""
    replay = {"sampling": {"steps": 4}, "start": {"kind": "edit_friendly"}}
    request = request_on(phantom, tiny_folder, prompt=prompt, seeds=(1,), overrides=replay)
    for name, one in (("edit", request), ("sham", replace(request, sham=True))):
        run(one, tmp_path / name, networks=networks)
    edit, sham = (told(tmp_path / name)["trace"] for name in ("edit", "sham"))
    assert sham["mode"] == "sham"
    text = heard(networks.backbone(str(tiny_folder)).tokenizer, source)
    assert spoken(sham) == {"prompt": (text, {}), "negative": NOTHING}
    assert scored(sham, "roi_score") == scored(sham, "correction") == set()
    assert sham["cost"]["calls"]["inversion"] == sham["steps_executed"]
    same = ("config_hash", "inputs", "seeds", "strength", "steps_executed")
    assert [sham[key] for key in same] == [edit[key] for key in same]
    before = read_source(phantom[0])
    after, edited = (pydicom.dcmread(tmp_path / name / "cf" / "0001.dcm").pixel_array
                     for name in ("sham", "edit"))  # fmt: skip
    step = np.abs(after.astype(int) - before.stored)
    assert step.max() <= 1  # rounding of float32: 4095 stored units are one of the display
    assert np.abs(edited.astype(int) - before.stored).max() > 100


def test_a_sham_by_noise_is_drawn_anew_without_words(phantom, tiny_folder, networks, tmp_path):
    request = request_on(phantom, tiny_folder, sham=True, source_prompt="portable chest")
    outcome = run(request, tmp_path / "out", networks=networks)
    trace = told(tmp_path / "out")["trace"]
    assert spoken(trace) == {"prompt": ("portable chest", {}), "negative": NOTHING}
    assert "inversion" not in trace["cost"]["calls"]
    assert outcome.metrics["members"][0]["mean_abs_change_in_region"] > 1
    assert check_outside(tmp_path / "out", phantom[0]) > 0


@pytest.mark.weights
def test_what_comes_gets_denser_what_goes_more_lucent_and_a_sham_leaves_both(
    opaque, networks, tmp_path
):
    """The shipped weights, ten steps, no bounds on greys: the direction of the change inside."""
    shifts = {}
    for name, fields in (
        ("removal", {"prompt": "no left pleural effusion"}),
        ("mixed", {"prompt": "right lung opacity but no left pleural effusion"}),
        ("sham", {"prompt": "no left pleural effusion", "sham": True}),
    ):
        settings = {"sampling": {"steps": 10}, "output": {"bounds": "none"}}
        fields |= {"strength": 0.6, "overrides": settings}
        request = EditRequest(source=opaque[0], masks=opaque[1], seeds=(1,), **fields)
        run(request, tmp_path / name, networks=networks, arrays=True)
        arrays = np.load(tmp_path / name / "masks.npz")
        inside = [arrays["edit_region"] & arrays[f"{side}_lung"] for side in ("right", "left")]
        shifts[name] = [255 * float(arrays["change"][0][m].mean()) for m in inside if m.any()]
        assert told(tmp_path / name)["outside_max_diff"] == 0
    (removed,), (came, went), (still,) = shifts.values()
    assert removed < -2
    assert came > 5
    assert went < -5
    assert abs(still) < 0.01
    assert "inversion" in told(tmp_path / "sham")["trace"]["cost"]["calls"]
