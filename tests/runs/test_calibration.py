# SPDX-License-Identifier: Apache-2.0
"""Settings in force: the preset, what the backbone's folder says, what the request says."""

import json
from pathlib import Path

import pytest

from monai_cxr_cf.calibration import FILE, Dose
from monai_cxr_cf.case import words
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.pipeline import configure
from monai_cxr_cf.presets import DEFAULT, PRESETS, EditConfig
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.networks import Networks

ADD, REMOVE = "left pleural effusion", "no pleural effusion"
MIXED = "cardiomegaly but no left effusion"


def in_force(folder: Path, **fields) -> tuple[EditConfig, tuple[Dose, ...]]:
    """The settings of a run, and what each of several findings gets."""
    request = EditRequest(source="x.dcm", backbone=str(folder), **fields)
    return configure(request, words(request), Networks(models=folder.parent))


def settings(folder: Path, **fields) -> tuple[float, float, float]:
    """Strength, guidance and alpha in force."""
    config, _ = in_force(folder, **fields)
    return config.start.strength, config.sampling.guidance_scale, config.correct.alpha_max


@pytest.fixture
def calibrated(tmp_path: Path) -> Path:
    """A backbone folder with settings of its own."""
    made = {
        "presets": {"default": {"start": {"strength": 0.6}, "sampling": {"guidance_scale": 3.0}}},
        "removals": {"default": {"start": {"strength": 0.75}, "correct": {"alpha_max": 0.0}}},
    }
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / FILE).write_text(json.dumps(made))
    return folder


def test_without_a_file_the_preset_stands_as_published(tmp_path: Path) -> None:
    assert Networks(models=tmp_path).calibration("x").config("default") == DEFAULT
    assert settings(tmp_path / "x", prompt=ADD) == (0.7, 7.5, 0.0)
    assert settings(tmp_path / "x", prompt=REMOVE) == (0.85, 7.5, 0.0)
    assert settings(tmp_path / "x", prompt=MIXED) == (0.85, 7.5, 0.0)


def test_a_backbone_brings_settings_for_edits_and_on_top_for_removals(calibrated: Path) -> None:
    assert settings(calibrated, prompt=ADD) == (0.6, 3.0, 0.0)
    assert settings(calibrated, prompt=REMOVE) == (0.75, 3.0, 0.0)
    assert settings(calibrated, prompt=MIXED) == (0.75, 3.0, 0.0)


def test_a_finding_may_have_settings_of_its_own(calibrated: Path) -> None:
    made = json.loads((calibrated / FILE).read_text())
    made["findings"] = {
        "pleural effusion": {
            "presets": {"default": {"sampling": {"guidance_scale": 4.0}}},
            "removals": {"default": {"start": {"strength": 0.9}}},
        }
    }
    (calibrated / FILE).write_text(json.dumps(made))
    assert settings(calibrated, prompt=ADD) == (0.6, 4.0, 0.0)
    assert settings(calibrated, prompt=REMOVE) == (0.9, 4.0, 0.0)
    assert settings(calibrated, prompt="cardiomegaly") == (0.6, 3.0, 0.0)
    assert settings(calibrated, prompt=MIXED) == (0.9, 3.0, 0.0)
    both = "left pleural effusion and right pleural effusion"
    assert settings(calibrated, prompt=both) == (0.6, 4.0, 0.0)


def test_other_presets_stay_as_they_are(calibrated: Path) -> None:
    assert (
        Networks(models=calibrated.parent).calibration("mine").config("paper") == PRESETS["paper"]
    )
    assert settings(calibrated, prompt=REMOVE, preset="paper")[0] == 1.0


def test_the_request_has_the_last_word(calibrated: Path) -> None:
    assert settings(calibrated, prompt=REMOVE, strength=0.3)[0] == 0.3
    override = {"sampling": {"guidance_scale": 9}, "correct": {"alpha_max": 0.2}}
    assert settings(calibrated, prompt=REMOVE, overrides=override) == (0.75, 9.0, 0.2)


@pytest.mark.parametrize("prompt", [ADD, REMOVE, MIXED])
def test_a_sham_runs_as_the_edit_that_it_controls(calibrated: Path, prompt: str) -> None:
    assert settings(calibrated, prompt=prompt, sham=True) == settings(calibrated, prompt=prompt)


def test_a_broken_calibration_is_one_sentence(calibrated: Path) -> None:
    (calibrated / FILE).write_text('{"presets": {"default": 3}}')
    with pytest.raises(BadRequest, match="no settings for 'default'"):
        settings(calibrated, prompt=ADD)


@pytest.fixture
def by_side(calibrated: Path) -> Path:
    """The same with a finding whose sides differ, and one that is removed gently."""
    made = json.loads((calibrated / FILE).read_text())
    strong = {"presets": {"default": {"sampling": {"guidance_scale": 2.5}}}}
    weak = {"presets": {"default": {"start": {"strength": 0.4}}}}
    made["findings"] = {
        "pleural effusion": {
            "presets": {"default": {"sampling": {"guidance_scale": 4.0}}},
            "removals": {"default": {"start": {"strength": 0.3}}},
            "sides": {"right": strong, "left": weak},
        }
    }
    (calibrated / FILE).write_text(json.dumps(made))
    return calibrated


def test_a_side_may_have_settings_of_its_own(by_side: Path) -> None:
    assert settings(by_side, prompt="right pleural effusion") == (0.6, 2.5, 0.0)
    assert settings(by_side, prompt="left pleural effusion") == (0.4, 4.0, 0.0)
    assert settings(by_side, prompt="bilateral pleural effusion") == (0.6, 4.0, 0.0)


def test_each_of_several_findings_gets_what_it_would_get_alone(by_side: Path) -> None:
    config, doses = in_force(by_side, prompt="left pleural effusion and cardiomegaly")
    assert doses == (Dose(0.4, 4.0, 0.0), Dose(0.6, 3.0, 0.0))
    assert config.start.strength == 0.6
    config, doses = in_force(by_side, prompt="cardiomegaly but no right effusion")
    assert doses == (Dose(0.6, 3.0, 0.0), Dose(0.3, 2.5, 0.0))
    assert config.start.strength == 0.6
    assert in_force(by_side, prompt="cardiomegaly")[1] == ()


def test_what_the_request_sets_for_the_run_holds_for_every_finding(by_side: Path) -> None:
    both = "left pleural effusion and cardiomegaly"
    config, doses = in_force(by_side, prompt=both, strength=0.5)
    assert (config.start.strength, doses) == (0.5, (Dose(None, 4.0, 0.0), Dose(None, 3.0, 0.0)))
    scale = {"sampling": {"guidance_scale": 9}}
    assert in_force(by_side, prompt=both, overrides=scale)[1] == (Dose(0.4, None), Dose(0.6, None))


@pytest.mark.parametrize(
    "overrides",
    [
        {"sampling": {"guidance_map": "uniform"}},
        {"tokens": {"removal": "negative"}},
        {"start": {"kind": "noise", "strength": 1.0}},
    ],
)
def test_findings_share_one_setting_where_they_cannot_differ(by_side: Path, overrides) -> None:
    _, doses = in_force(by_side, prompt="left effusion and cardiomegaly", overrides=overrides)
    assert doses == ()
    assert in_force(by_side, prompt="left effusion and cardiomegaly", preset="paper")[1] == ()


def test_a_scale_that_is_said_rules_over_a_calibrated_rms(calibrated: Path) -> None:
    made = {"presets": {"default": {"sampling": {"guidance_rms": 0.2, "guidance_scale": 3.0}}}}
    (calibrated / FILE).write_text(json.dumps(made))

    def scaling(**overrides) -> tuple[float, float]:
        asked = {"sampling": overrides} if overrides else {}
        config, _ = in_force(calibrated, prompt="cardiomegaly", overrides=asked)
        return config.sampling.guidance_scale, config.sampling.guidance_rms

    assert scaling() == (3.0, 0.2)
    assert scaling(guidance_scale=9) == (9.0, 0.0)
    assert scaling(guidance_rms=0.1) == (3.0, 0.1)
    assert scaling(guidance_scale=9, guidance_rms=0.1) == (9.0, 0.1)
    both = "cardiomegaly and left effusion"
    _, doses = in_force(calibrated, prompt=both)
    assert [dose.rms for dose in doses] == [0.2, 0.2]
    said = {"sampling": {"guidance_scale": 9}}
    _, doses = in_force(calibrated, prompt=both, overrides=said)
    assert [(dose.guidance, dose.rms) for dose in doses] == [(None, None)] * 2
