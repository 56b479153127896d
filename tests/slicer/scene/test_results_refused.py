# SPDX-License-Identifier: Apache-2.0
"""A result that cannot be used is refused in a sentence, and the scene stays as it was."""

from dataclasses import replace
from pathlib import Path

import pytest
from CXRCounterfactualLib.refused import Refused
from CXRCounterfactualLib.scene import results

from tests.slicer.helpers.runs import Case
from tests.slicer.helpers.scene import Desk, names


def test_a_damaged_file_is_refused_and_the_scene_stays(desk: Desk, runs: dict[str, Case]) -> None:
    case = runs["plain"]
    source = desk.load(case.source)
    files = tuple(replace(f, sha256="0" * 64) if f.role == "seg" else f for f in case.result.files)
    before = names(desk.scene)
    with pytest.raises(Refused, match="damaged") as refused:
        results.add_results(
            desk.scene, desk.app, source, replace(case.result, files=files), case.out
        )
    assert refused.value.hint
    assert names(desk.scene) == before


def test_a_source_that_was_cropped_meanwhile_is_refused_and_the_scene_stays(
    desk: Desk, runs: dict[str, Case]
) -> None:
    case = runs["plain"]
    source = desk.load(case.source)
    image = source.GetImageData()
    image.SetDimensions(40, 40, 1)
    image.AllocateScalars(image.GetScalarType(), 1)
    image.GetPointData().GetScalars().Fill(1)
    before = names(desk.scene)
    with pytest.raises(Refused, match="40 x 40"):
        results.add_results(desk.scene, desk.app, source, case.result, case.out)
    assert names(desk.scene) == before


def test_an_image_that_does_not_load_is_refused_and_the_scene_stays(
    desk: Desk, runs: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_file(path: str, name: str) -> str:
        if path.endswith("0003.dcm"):
            raise RuntimeError("Failed to load node from file")
        return load(path, name)

    case, load = runs["sweep"], desk.app.load_file
    source = desk.load(case.source)
    monkeypatch.setattr(desk.app, "load_file", load_file)
    before = names(desk.scene)
    with pytest.raises(Refused, match="does not load"):
        results.add_results(desk.scene, desk.app, source, case.result, case.out, scene_only=True)
    assert names(desk.scene) == before


def test_a_report_that_does_not_fit_its_images_is_refused(
    desk: Desk, runs: dict[str, Case], tmp_path: Path
) -> None:
    case = runs["plain"]
    source = desk.load(case.source)
    (tmp_path / "report.json").write_text("{}")
    told = replace(case.result, report=str(tmp_path / "report.json"))
    before = names(desk.scene)
    with pytest.raises(Refused, match="report"):
        results.add_results(desk.scene, desk.app, source, told, case.out)
    assert names(desk.scene) == before
