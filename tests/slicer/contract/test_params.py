# SPDX-License-Identifier: Apache-2.0
"""What the user chose: kept in Slicer's own parameter node and over a saved scene; or refused."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import slicer
from CXRCounterfactualLib.contract.params import Choice, Parameters, problems

from tests.slicer.helpers.scene import new_scene

FULL = Choice(
    prompt="moderate left pleural effusion, \"quoted\" & <odd> 'words' ä",
    finding="lung opacity",
    direction="remove",
    side="right",
    zone="lower",
    severity=0.35,
    preset="fast",
    seeds=(1, 2**63 - 1),
    levels=(0.25, 1.0),
    levels_by="guidance",
    strength=0.5,
    overrides={"boost": {"eta": 2.0}, "gate": {"mode": "off"}},
    iod="same",
    backend="remote",
    server="https://cxr.hospital.example/base",
    scene_only=True,
)


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    """A scene of slicer-core."""
    return new_scene(tmp_path)


@pytest.fixture
def node(scene: Any) -> Any:
    """Slicer's own parameter node."""
    made = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "CXRCounterfactual")
    assert isinstance(made, slicer.vtkMRMLScriptedModuleNode)
    return made


def test_an_empty_node_is_the_default_choice(node: Any) -> None:
    parameters = Parameters(node)
    assert parameters.read() == Choice()
    assert (parameters.source_id, parameters.region_id, parameters.segment_id) == ("", "", "")


def test_every_field_comes_back(node: Any) -> None:
    assert all(getattr(FULL, f.name) != getattr(Choice(), f.name) for f in fields(Choice))
    Parameters(node).write(FULL)
    assert Parameters(node).read() == FULL
    Parameters(node).write(Choice())
    assert Parameters(node).read() == Choice()


def test_whoever_observes_the_node_hears_once_and_not_at_all_of_an_equal_choice(node: Any) -> None:
    heard: list[str] = []
    node.AddObserver("ModifiedEvent", lambda *_: heard.append("modified"))
    Parameters(node).write(FULL)
    assert len(heard) == 1
    Parameters(node).write(FULL)
    assert len(heard) == 1


def test_a_saved_scene_gives_choice_and_nodes_back(scene: Any, node: Any, tmp_path: Path) -> None:
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "source")
    region = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "region")
    parameters = Parameters(node)
    parameters.write(FULL)
    parameters.source_id, parameters.region_id = volume.GetID(), region.GetID()
    parameters.segment_id = "Segment_1"
    path = tmp_path / "scene.mrml"
    scene.Commit(str(path))
    opened = slicer.vtkMRMLScene()
    opened.SetURL(str(path))
    opened.Connect()
    found = Parameters(opened.GetFirstNodeByClass("vtkMRMLScriptedModuleNode"))
    assert found.read() == FULL
    assert opened.GetNodeByID(found.source_id).GetName() == "source"
    assert opened.GetNodeByID(found.region_id).GetName() == "region"
    assert found.segment_id == "Segment_1"


def test_a_reference_is_taken_back(scene: Any, node: Any) -> None:
    parameters = Parameters(node)
    parameters.source_id = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode").GetID()
    parameters.source_id = ""
    assert parameters.source_id == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("severity", "much"),
        ("strength", "[]"),
        ("seeds", "7"),
        ("seeds", '["a"]'),
        ("levels", "{"),
        ("overrides", "[1]"),
        ("overrides", '{"boost": 2}'),
        ("scene_only", "perhaps"),
    ],
)
def test_a_damaged_parameter_is_named_and_the_rest_is_read(node: Any, name: str, text: str) -> None:
    Parameters(node).write(replace(FULL, **{name: getattr(Choice(), name)}))
    node.SetParameter(name, text)
    assert Parameters(node).damaged() == (name,)
    assert Parameters(node).read() == replace(FULL, **{name: getattr(Choice(), name)})


def test_no_field_could_hold_the_key_of_a_server() -> None:
    assert not [f.name for f in fields(Choice) if "key" in f.name or "token" in f.name]


def test_a_usual_choice_has_no_problem() -> None:
    assert problems(Choice()) == []
    assert problems(FULL) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"prompt": "x" * 1001}, "1001 characters"),
        ({"finding": " "}, "Pick a finding"),
        ({"direction": "sideways"}, "direction"),
        ({"side": "up"}, "side"),
        ({"preset": "best"}, "preset"),
        ({"iod": "ct"}, "iod"),
        ({"levels_by": "words"}, "levels_by"),
        ({"backend": "cloud"}, "backend"),
        ({"severity": 1.1}, "severity"),
        ({"severity": float("nan")}, "severity"),
        ({"strength": -0.1}, "strength"),
        ({"levels": (0.5, 2.0)}, "levels"),
        ({"levels": (0.5,) * 33}, "33 levels"),
        ({"seeds": (-1,)}, "seed"),
        ({"seeds": (2**63,)}, "seed"),
        ({"seeds": tuple(range(65))}, "65 seeds"),
        ({"overrides": {"boost": 2}}, "advanced settings"),
        ({"backend": "remote"}, "address of the server"),
        ({"backend": "remote", "server": "cxr.hospital.example"}, "https://"),
        ({"backend": "remote", "server": "http://cxr.hospital.example"}, "in the clear"),
        ({"backend": "remote", "server": "https://me:key@cxr.example"}, "give it without"),
        ({"backend": "remote", "server": "https://cxr.example:port"}, "cannot be read"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(changes: dict[str, Any], word: str) -> None:
    (sentence,) = problems(replace(Choice(), **changes))
    assert word in sentence
    assert sentence.endswith((".", "}}."))


@pytest.mark.parametrize(
    "server", ["http://127.0.0.1:8000", "http://localhost:8000/", "https://a.example/cxr"]
)
def test_this_machine_and_https_may_be_called(server: str) -> None:
    assert problems(Choice(backend="remote", server=server)) == []
