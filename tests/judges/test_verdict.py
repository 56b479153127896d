# SPDX-License-Identifier: Apache-2.0
"""The classifier's word in the verdict: it counts where its AUC says so, and is always named."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from monai_cxr_cf.judges.evidence import Evidence, Expected, Opinion
from monai_cxr_cf.judges.verdict import judge
from monai_cxr_cf.pipeline import run
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.weights import models_folder
from tests.dicom.factory import Spec, save

REGION = np.zeros((64, 64), bool)
REGION[40:56, 36:56] = True
ORGANS = {"left_lung": REGION}
SOURCE = np.tile(np.linspace(0.3, 0.7, 64, dtype=np.float32), (64, 1))
BEFORE = {"pleural effusion": 0.2, "cardiomegaly": 0.3, "atelectasis": 0.2, "pneumonia": 0.4}
AUC = {"pleural effusion": 0.85, "cardiomegaly": 0.9, "atelectasis": 0.81, "pneumonia": 0.6}


def verdict_on(after: dict[str, float], *, name="pleural effusion", rise=1) -> dict:
    item = Expected(
        name, REGION, rise, may_change=("left_lung",), rise=rise, related=("atelectasis",)
    )
    change = np.where(REGION, np.float32(rise * 8 / 255), 0).astype(np.float32)
    counts = frozenset(f for f, auc in AUC.items() if auc >= 0.8)
    opinion = Opinion("j1", "0" * 64, BEFORE, {**BEFORE, **after}, AUC, counts)
    return judge(Evidence(SOURCE, change, (item,), ORGANS, ORGANS, 0, opinion))


def failed(verdict: dict) -> list[str]:
    return [check["name"] for check in verdict["checks"] if check["passed"] is False]


def test_a_passed_verdict_that_the_classifier_confirms_is_proven():
    verdict = verdict_on({"pleural effusion": 0.4})
    assert verdict["verdict"] == "passed"
    assert verdict["proven"] is True
    assert verdict["words"] == "passed (classifier J1 finds pleural effusion likelier by 0.20)"
    assert verdict["classifier"]["auc"]["pleural effusion"] == 0.85
    json.dumps(verdict)


@pytest.mark.parametrize("after", [0.34, 0.1])
def test_a_classifier_that_sees_too_little_fails_the_verdict(after):
    verdict = verdict_on({"pleural effusion": after})
    assert failed(verdict) == ["gain:pleural effusion"]
    assert "(expected: higher by at least 0.15)" in verdict["words"]
    assert verdict["proven"] is False


def test_a_removal_must_lower_the_probability():
    verdict = verdict_on({"pleural effusion": 0.02}, rise=-1)
    assert verdict["proven"] is True
    assert "finds pleural effusion less likely by 0.18" in verdict["words"]
    assert "gain:pleural effusion" in failed(verdict_on({"pleural effusion": 0.5}, rise=-1))


def test_an_unrelated_finding_may_not_rise_but_a_related_one_may():
    both = {"pleural effusion": 0.6, "atelectasis": 0.9}
    assert verdict_on(both)["proven"] is True
    drifted = verdict_on({**both, "cardiomegaly": 0.45})
    assert failed(drifted) == ["drift"]
    assert "cardiomegaly, which is unrelated, became likelier by 0.150" in drifted["words"]
    assert failed(verdict_on({**both, "pneumonia": 0.99})) == []  # it cannot tell pneumonia


def test_a_finding_that_the_classifier_does_not_tell_is_judged_without_it_and_unproven():
    verdict = verdict_on({"pneumonia": 0.9}, name="pneumonia")
    assert verdict["verdict"] == "passed"
    assert verdict["proven"] is False
    alone = "passed (judged by density and outlines alone: classifier J1 does not tell {} reliably)"
    assert verdict["words"] == alone.format("pneumonia")
    assert verdict["classifier"]["auc"]["pneumonia"] == 0.6
    assert verdict_on({}, name="hiatal hernia")["words"] == alone.format("hiatal hernia")


def test_without_a_classifier_the_words_say_so():
    item = Expected("pleural effusion", REGION, 1, may_change=("left_lung",))
    change = np.where(REGION, np.float32(20 / 255), 0).astype(np.float32)
    verdict = judge(Evidence(SOURCE, change, (item,), ORGANS, ORGANS, 0))
    assert verdict["classifier"] is None
    alone = "judged by density and outlines alone: no classifier is installed"
    assert verdict["words"] == f"passed ({alone})"


@pytest.fixture(scope="module")
def models(tmp_path_factory, tiny_judge):
    """The shipped segmenter with a tiny judge as J1."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(models_folder() / "model.pt", folder / "model.pt")
    shutil.copytree(models_folder() / "segmenter", folder / "segmenter")
    shutil.copytree(tiny_judge, folder / "judges" / "j1")
    return folder


def test_a_run_reports_the_judge_its_scores_and_its_word(models, tiny_folder, tmp_path):
    source = save(tmp_path / "source.dcm", Spec())
    request = EditRequest(
        source=str(source),
        prompt="moderate left pleural effusion",
        backbone=str(tiny_folder),
        overrides={"sampling": {"steps": 2}},
    )
    outcome = run(request, tmp_path / "a", networks=Networks(models=models))
    report = json.loads(outcome.report.read_text())
    assert {w["role"] for w in report["weights"]} == {"backbone", "segmenter", "classifier"}
    assert report["verdict"]["classifier"]["judge"] == "tiny"
    assert report["verdict"]["classifier"]["auc"]["pleural effusion"] == 0.8
    assert "classifier TINY finds pleural effusion" in report["verdict"]["words"]
    (score,) = report["scores"]
    assert score["finding"] == "pleural effusion"
    assert 0 <= score["before"] <= 1
    sr = next(file.path for file in outcome.files if file.role == "sr")
    assert b"outlines alone" not in sr.read_bytes()
    assert b"classifier TINY finds pleural effusion" in sr.read_bytes()

    again = run(request, tmp_path / "b", networks=Networks(models=models))
    assert again.verdict == outcome.verdict

    shutil.rmtree(models / "judges")
    bare = run(replace(request), tmp_path / "c", networks=Networks(models=models))
    assert bare.verdict["classifier"] is None
    assert not json.loads(bare.report.read_text())["scores"]
