# SPDX-License-Identifier: Apache-2.0
"""The ablation compares like with like, reads signs honestly, and goes on after a stop."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_cxr_cf.cli import main
from monai_cxr_cf.errors import ComponentMissing
from monai_cxr_cf.evaluation.ablation.rows_of_laws import (
    FULL,
    LAWS,
    NO_BOOST,
    NO_GATE,
    NO_PASTE,
    ONE_PROMPT,
    UNIFORM,
    roi_score,
    variants,
)
from monai_cxr_cf.evaluation.ablation.run import Plan, evaluate_ablation
from monai_cxr_cf.evaluation.ablation.table import PAPER, draw, table_text, tabulate
from monai_cxr_cf.evaluation.generator.likeness import STAND_IN, load_likeness
from monai_cxr_cf.presets import SWITCHES, preset
from tests.alignment import unaligned, weights


def quiet(event: dict) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def plan(tiny_folder: Path) -> Plan:
    return Plan(presets=("default",), edits=4, seeds=2, judge=None, backbone=str(tiny_folder))


@pytest.fixture(scope="module")
def finished(normals: Path, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole ablation of two radiographs."""
    out = tmp_path_factory.mktemp("ablation")
    said: list[str] = []
    evaluate_ablation(normals, out, plan, progress=quiet, announce=said.append)
    assert "4 edits of 2 patients" in said[0]
    assert "minutes" in said[0]
    return out


@pytest.mark.parametrize("name", ["paper", "default", "fast"])
def test_each_row_turns_one_law_off_against_a_row_that_differs_in_nothing_else(name: str) -> None:
    rows = {variant.name: variant for variant in variants(name)}
    assert (set(PAPER) <= set(rows)) == (name == "paper")
    config = preset(name)
    for row, switch in LAWS.items():
        assert (row in rows) == (config.with_overrides(SWITCHES[switch]) != config)
    for variant in rows.values():
        if variant.against is not None:
            more = set(variant.switches) - set(rows[variant.against].switches)
            assert len(more) == 1
    gate = rows[NO_GATE]
    overrides = {part for switch in gate.switches for part in SWITCHES[switch]}
    assert "gate" in overrides
    assert not config.keep.paste or "no-paste" in rows[gate.against or ""].switches


def test_every_variant_has_every_edit_and_pairs_share_their_seed(finished: Path) -> None:
    rows = [json.loads(line) for line in (finished / "rows.jsonl").read_text().splitlines()]
    edits = {v: {(r["input"], r["group"], r["seed"]) for r in rows if r["variant"] == v}
             for v in (FULL, NO_PASTE, NO_GATE, UNIFORM, ONE_PROMPT)}  # fmt: skip
    assert len(edits[FULL]) == 4
    assert all(found == edits[FULL] for found in edits.values())
    assert len(rows) == 20
    by_variant = {v: [r["ssim"] for r in rows if r["variant"] == v] for v in edits}
    assert by_variant[FULL] != by_variant[NO_GATE]
    assert all(0 < r["roi_score"] < 1 and r["conf"] is None for r in rows)


def test_table_and_picture_show_the_paper_beside(finished: Path) -> None:
    text = (finished / "table.md").read_text()
    assert "0.69 / 0.85 / 0.76" in text
    assert STAND_IN in text
    assert "| w/o Eq. 5 - full, no paste |" in text
    assert (finished / "differences.png").stat().st_size > 5000


def test_a_second_start_makes_nothing_again(normals: Path, plan: Plan, finished: Path) -> None:
    lines = (finished / "rows.jsonl").read_text()
    table = json.loads((finished / "table.json").read_text())
    again = evaluate_ablation(normals, finished, plan, progress=quiet)
    assert (finished / "rows.jsonl").read_text() == lines
    assert again["table"] == table["table"]


def rows_with(shift: float, spread: float) -> list[dict]:
    """Twenty edits of ten patients; without Eq. 6, Conf and ROI score move by ``shift``."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(20):
        base = {"preset": "paper", "input": f"i{number // 2}", "patient": f"p{number // 2}"}
        base |= {"group": "add edema", "seed": number % 2, "seconds": 1.0}
        for variant in variants("paper"):
            moved = shift + rng.normal(0, spread) if variant.name == NO_BOOST else 0.0
            values = {"conf": 0.7 + moved, "gain": 0.2 + moved, "cosine": 0.8, "ssim": 0.9}
            values |= {"ssim_outside": 0.95, "roi_score": 0.5 + moved}
            rows.append({**base, **values, "variant": variant.name})
    return rows


@pytest.mark.parametrize(
    ("shift", "spread", "sign"),
    [(-0.05, 0.01, "as expected"), (0.05, 0.01, "opposite"), (0.0, 0.2, "undecided")],
)
def test_a_sign_counts_only_when_its_interval_leaves_zero_out(
    shift: float, spread: float, sign: str
) -> None:
    table = {entry["variant"]: entry for entry in tabulate(rows_with(shift, spread), ["paper"])}
    found = table[NO_BOOST]["differences"]
    assert found["conf"]["sign"] == found["roi_score"]["sign"] == sign
    assert found["conf"]["paper"] == -0.05
    assert found["ssim"]["sign"] is None  # the paper reports no change
    assert table[FULL]["differences"] == {}


def test_a_table_without_a_judge_says_nothing_of_conf(tmp_path: Path) -> None:
    rows = [{**row, "conf": None, "gain": None} for row in rows_with(-0.1, 0.01)]
    table = tabulate(rows, ["paper"])
    assert table[0]["figures"]["conf"] is None
    assert "| full | - | - |" in table_text(table, STAND_IN)
    draw(table, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").is_file()


def test_the_roi_score_is_the_mean_of_what_was_scored() -> None:
    steps = [{"roi_score": {"0": {"mass": [0.2, 0.4]}, "1": {"mass": [None, 0.6]}}}]
    assert roi_score({"steps": steps}, 0) == 0.2
    assert roi_score({"steps": steps}, 1) == 0.5
    assert roi_score({"steps": []}, 0) is None


def test_a_local_clip_model_replaces_the_stand_in(tmp_path: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=12,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "clip")
    likeness = load_likeness(tmp_path / "clip")
    assert likeness.name == "CLIP (clip)"
    assert unaligned(weights(likeness.vectors.model)) == []
    images = [np.full((40, 40), v, np.float32) for v in (0.1, 0.9)]
    found = likeness.vectors(images)
    assert found.shape == (2, 12)
    assert not np.allclose(found[0], found[1])
    with pytest.raises(ComponentMissing, match="CLIP folder"):
        load_likeness(tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--presets", "best"], "invalid choice"),
        (["--edits", "0"], "no whole number"),
        (["--split", "nowhere"], "There is no split 'nowhere'"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], said: str, normals: Path, tiny_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    base = ["evaluate", "ablation", "--data", str(normals), "--out", str(tmp_path / "out")]
    base += ["--judge", "none", "--backbone", str(tiny_folder)]
    assert main([*base, *words]) == 2
    assert said in capsys.readouterr().err
