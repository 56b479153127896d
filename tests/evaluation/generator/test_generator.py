# SPDX-License-Identifier: Apache-2.0
"""The generator's own evaluation runs whole at small size, goes on, and reports bars honestly."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.cli import main
from monai_cxr_cf.diffusion.model.backbone import load_backbone
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.generator.generate import Plain
from monai_cxr_cf.evaluation.generator.run import Plan, evaluate_samples, table_text
from monai_cxr_cf.evaluation.generator.samples import (
    CAPTIONS,
    Pictures,
    Real,
    captions_of,
    distances,
    equal_count,
    sample_sheet,
)
from monai_cxr_cf.evaluation.generator.sensitivity import PROBES, summary
from monai_cxr_cf.runs.networks import Networks


@pytest.fixture(scope="module")
def plan(tiny_folder: Path) -> Plan:
    return Plan(backbone=str(tiny_folder), plain=Plain(steps=2), images=2, samples=6, dimensions=3)


@pytest.fixture(scope="module")
def finished(normals: Path, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run."""
    out = tmp_path_factory.mktemp("out")
    evaluate_samples(normals, out, plan, networks=Networks(), progress=lambda e: None)
    return out


def test_every_figure_of_the_generator_is_in_the_table(finished: Path) -> None:
    table = json.loads((finished / "table.json").read_text())
    figures = {row["figure"]: row for row in table["figures"]}
    assert {"psnr", "ssim", "frechet_ratio", "frechet_pa_ap", "inside", "ratio"} <= set(figures)
    assert "frechet_decoded_half" in figures
    for row in figures.values():
        assert row["low"] <= row["value"] <= row["high"] or row["figure"] == "frechet_ratio"
        assert (row["reached"] is None) == (row["bar"] is None)
    assert figures["psnr"]["reached"] is False  # random weights
    text = (finished / "table.md").read_text()
    assert "autoencoder, PSNR in dB" in text
    assert "MISSED" in text


def test_the_sheet_has_eight_captions_and_eight_seeds(finished: Path) -> None:
    with Image.open(finished / "sheet.png") as page:
        assert page.size == (8 * 64, 8 * (64 + 22))
    assert len(list((finished / "samples").glob("*.png"))) == 64 + 6
    assert len(list(finished.glob("sensitivity_*.png"))) == 2


def test_a_second_start_makes_nothing_again(normals: Path, plan: Plan, finished: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (finished / "samples").iterdir()}
    lines = (finished / "sensitivity.jsonl").read_text()
    first = json.loads((finished / "table.json").read_text())
    again = evaluate_samples(normals, finished, plan, networks=Networks(), progress=lambda e: None)
    assert {p: p.stat().st_mtime_ns for p in (finished / "samples").iterdir()} == before
    assert (finished / "sensitivity.jsonl").read_text() == lines
    assert again["figures"] == first["figures"]


def test_other_settings_are_not_mistaken_for_these(tiny_folder: Path, tmp_path: Path) -> None:
    backbone = load_backbone(str(tiny_folder), models=tiny_folder.parent)
    for guidance in (2.0, 3.0):
        pictures = Pictures(backbone, Plain(guidance, steps=2), tmp_path, lambda e: None)
        pictures(["edema"], [0], stage="samples")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_stopped_sheet_goes_on(tiny_folder: Path, tmp_path: Path) -> None:
    backbone = load_backbone(str(tiny_folder), models=tiny_folder.parent)

    class Stop(Exception):
        pass

    def stop(event: dict) -> None:
        if event["step"] >= 16:
            raise Stop

    with pytest.raises(Stop):
        sample_sheet(Pictures(backbone, Plain(steps=1), tmp_path, stop), tmp_path / "a.png")
    assert len(list(tmp_path.glob("*.png"))) == 16
    made: list[int] = []
    pictures = Pictures(backbone, Plain(steps=1), tmp_path, lambda e: made.append(e["step"]))
    assert sample_sheet(pictures, tmp_path / "a.png").shape == (len(CAPTIONS) * 8, 64, 64)
    assert made[0] == 16


def test_distances_grow_with_the_gap_and_share_one_count() -> None:
    rng = np.random.default_rng(0)
    patients = [f"p{i}" for i in range(80)]
    views = ["PA", "AP"] * 40
    vectors = rng.normal(size=(80, 20)).astype(np.float32)
    real = Real(vectors, vectors, patients, views)
    blurred = Real(vectors, vectors + 2, patients, views)
    near, far = (rng.normal(m, 1, (50, 20)).astype(np.float32) for m in (0, 2))
    assert equal_count(real, 50) == 40
    close, apart = (distances(real, x, dimensions=8, draws=20) for x in (near, far))
    assert close["count"] == apart["count"] == 40
    assert close["real_halves"] == apart["real_halves"]
    assert close["ratio"][0] < 1.5 < 3 < apart["ratio"][0]
    # An autoencoder that loses nothing:
    assert close["decoded_half"] == pytest.approx(close["real_halves"])
    worse = distances(blurred, near, dimensions=8, draws=20)
    assert worse["decoded_half"][0] > 3 * worse["real_halves"][0]
    assert worse["ratio"] == close["ratio"]
    with pytest.raises(BadRequest, match="1 generated images"):
        distances(real, near[:1], dimensions=8)


def test_captions_follow_the_real_labels_and_repeat(normals: Path) -> None:
    from monai_cxr_cf.data.folder import read_index

    rows = read_index(normals)
    assert captions_of(rows, 25) == captions_of(rows, 25)
    assert len(captions_of(rows, 25)) == 25


def test_sensitivity_is_a_ratio_of_means_over_patients() -> None:
    def row(patient: str, inside: float, outside: float, obeyed: bool | None) -> dict:
        return {"patient": patient, "inside": inside, "outside": outside, "side_obeyed": obeyed}

    found = summary([row("a", 10, 2, True), row("b", 2, 4, None), row("c", 6, 0, False)])
    assert found["inside"].value == 6
    assert found["ratio"].value == pytest.approx(3)
    assert found["ratio"].low < 3 < found["ratio"].high
    assert found["side_obeyed"].value == 0.5


def test_the_probes_name_findings_and_places_that_the_engine_knows() -> None:
    from monai_cxr_cf.prompts.findings import region_terms
    from monai_cxr_cf.prompts.parse import parse_prompt

    assert len(PROBES) >= 8
    for probe in PROBES:
        assert region_terms(probe.finding, probe.side, probe.zone)
        (asked,) = parse_prompt(probe.prompt).findings
        assert (asked.finding, asked.side) == (probe.finding, probe.side)


def test_the_command_answers_in_json_and_says_what_is_missed(
    normals: Path, plan: Plan, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "samples", "--data", str(normals), "--out", str(finished), "--json"]
    words += ["--backbone", plan.backbone, "--steps", "2", "--parts", "autoencoder"]
    assert main([*words, "--progress", "none"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert [row["figure"] for row in result["figures"]] == ["psnr", "ssim"]
    assert table_text(result).count("MISSED") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--split", "nowhere"], "no radiograph of the split"),
        (["--guidance", "0"], "guidance_scale"),
        (["--images", "0"], "no whole number"),
        (["--parts", "soup"], "invalid choice"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], said: str, normals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["evaluate", "samples", "--data", str(normals), "--out", str(tmp_path / "out")]
    assert main([*base, *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") <= 2
    assert not (tmp_path / "out").exists()
