# SPDX-License-Identifier: Apache-2.0
"""What a source does not show and is to be removed: told before sampling, and in the report."""

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.case import Scene
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.judges.evidence import Expected
from monai_cxr_cf.pipeline import run
from monai_cxr_cf.runs.doubts import doubts
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.progress import Events
from tests.dicom.factory import Spec
from tests.test_pipeline import made, request_on

HEART, EDEMA = "cardiomegaly", "pulmonary edema"


class Answer(nn.Module):
    """Says the same of every radiograph and finding."""

    def __init__(self, logit: float, findings: int) -> None:
        super().__init__()
        self.answer = torch.full((1, findings), logit)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answer.expand(len(x), -1)


def asked(logit: float) -> Networks:
    """The shipped weights with a classifier that tells edema reliably and answers ``logit``."""
    networks = Networks()
    shipped = networks.judge("j1")
    assert shipped is not None
    told = replace(
        shipped,
        auc={name: {"auc": 0.7 + 0.2 * (name == EDEMA)} for name in shipped.findings},
        network=Answer(logit, len(shipped.findings)),
        sha256=f"{logit}",
    )
    networks._loaded["judge", "j1"] = told
    return networks


@pytest.fixture(scope="module")
def networks() -> Networks:
    """A classifier that sees no edema."""
    return asked(-1.0)


@pytest.fixture(scope="module")
def radiograph(root: Path) -> Any:
    """The example: a heart of .49, no edema."""
    return read_source(root / "docs" / "example.dcm")


def scene_of(radiograph: Any, *, heart: int) -> Scene:
    """Lungs that span 100 columns, and a heart of so many."""
    masks = {name: np.zeros(radiograph.shape, bool) for name in ("right_lung", "left_lung")}
    masks["right_lung"][100:200, 100:140] = masks["left_lung"][100:200, 160:200] = True
    masks["heart"] = np.zeros(radiograph.shape, bool)
    masks["heart"][150:200, 150 : 150 + heart] = True
    return Scene(radiograph, Organs(**masks), Organs(**masks))


def removed(name: str, measure: str = "density", rise: int = -1) -> Expected:
    """A finding that is to go, or with ``rise`` 1 to come."""
    return Expected(name, np.ones((2, 2), bool), -1, measure, rise=rise)


@pytest.mark.parametrize(("columns", "doubted"), [(46, True), (50, True), (51, False), (0, False)])
def test_a_heart_of_at_most_half_the_chest_is_not_enlarged(
    columns: int, doubted: bool, radiograph: Any, networks: Networks
) -> None:
    found = doubts([removed(HEART, "heart")], scene_of(radiograph, heart=columns), networks)
    assert [code for code, _ in found] == ["finding_absent"] * doubted
    if columns == 46:
        assert found[0][1] == (
            "The source may not show the cardiomegaly to be removed: the heart is not enlarged, "
            "heart width over chest width is 0.46 (enlarged: above 0.50)."
        )


def test_the_classifier_is_asked_for_what_it_tells_reliably_alone(
    radiograph: Any, networks: Networks
) -> None:
    judge = networks.judge("j1")
    assert judge is not None
    scene = scene_of(radiograph, heart=40)
    for name in (*judge.findings, "mass"):
        found = doubts([removed(name)], scene, networks)
        assert bool(found) == judge.counts(name), name
    (code, message) = doubts([removed("pulmonary edema")] * 2, scene, networks)[0]
    probability = judge.read(radiograph.pixels)["pulmonary edema"]
    assert probability == pytest.approx(0.27, abs=0.01)
    assert code == "finding_absent"
    assert f"classifier J1 gives it a probability of {probability:.2f} (as likely" in message


def test_what_the_classifier_sees_is_not_doubted(radiograph: Any) -> None:
    assert doubts([removed(EDEMA)], scene_of(radiograph, heart=40), asked(0.1)) == ()
    assert len(doubts([removed(EDEMA)], scene_of(radiograph, heart=40), asked(-0.1))) == 1


def test_what_comes_is_not_doubted_and_two_findings_are_told_apart(
    radiograph: Any, networks: Networks, tmp_path: Path
) -> None:
    scene = scene_of(radiograph, heart=40)
    both = [removed("pulmonary edema"), removed(HEART, "heart")]
    assert doubts([replace(item, rise=1) for item in both], scene, networks) == ()
    assert len(doubts(both, scene, networks)) == 2
    assert len(doubts([*both, *both], scene, networks)) == 2
    (tmp_path / "models").mkdir()
    none = doubts([removed("pulmonary edema")], scene, Networks(models=tmp_path / "models"))
    assert none == ()


def story(phantom: tuple[str, str], tiny_folder: Path, out: Path, **fields: Any) -> list[Any]:
    """Events of one edit, as a program hears them."""
    stream = io.StringIO()
    talker = Events(stream)
    outcome = run(request_on(phantom, tiny_folder, **fields), out, progress=talker)
    for code, message in outcome.warnings:
        talker.warn(code, message)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def is_doubt(event: Mapping[str, Any]) -> bool:
    """Whether an event or an entry of the report is our warning."""
    return bool(event.get("code") == "finding_absent")


def test_the_warning_comes_once_before_sampling_and_stands_in_the_report(
    tiny_folder: Path, tmp_path: Path
) -> None:
    phantom = made(tmp_path, Spec())
    events = story(phantom, tiny_folder, tmp_path / "out", prompt="no cardiomegaly")
    (at,) = [number for number, event in enumerate(events) if is_doubt(event)]
    assert events[at]["event"] == "warning"
    first = next(n for n, event in enumerate(events) if event.get("stage") == "sample")
    assert at < first
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    (noted,) = filter(is_doubt, report["warnings"])
    assert noted["message"] == events[at]["message"]
    sham = story(phantom, tiny_folder, tmp_path / "sham", prompt="no cardiomegaly", sham=True)
    added = story(phantom, tiny_folder, tmp_path / "added", prompt="cardiomegaly")
    assert not any(map(is_doubt, [*sham, *added]))
