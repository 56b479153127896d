# SPDX-License-Identifier: Apache-2.0
"""The calls into the application: the stand-in has the same, and Slicer's helpers take ours."""

import ast
import inspect
from pathlib import Path

import CXRCounterfactualLib
import pytest
import slicer
from CXRCounterfactualLib.app_services import SlicerApp

from tests.slicer.standins.app import StandInApp

FOLDER = Path(CXRCounterfactualLib.__file__).parent
ALLOWED = "app_services.py"


def public(kind: type) -> dict[str, inspect.Signature]:
    """Public methods by name."""
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(each) for name, each in found if name[0] != "_"}


def calls_of_util() -> list[ast.Call]:
    """Every ``slicer.util.X(...)`` of the services."""
    tree = ast.parse((FOLDER / ALLOWED).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Attribute)]
    return [call for call in named if ast.unparse(call.func.value) == "slicer.util"]


def test_the_stand_in_has_the_same_methods_with_the_same_signatures() -> None:
    assert public(StandInApp) == public(SlicerApp)


@pytest.mark.parametrize("call", calls_of_util(), ids=lambda call: call.func.attr)
def test_slicers_own_helpers_take_the_arguments_we_give(call: ast.Call) -> None:
    helper = getattr(slicer.util, call.func.attr)
    words = {keyword.arg: None for keyword in call.keywords if keyword.arg}
    bound = inspect.signature(helper).bind(*([None] * len(call.args)), **words)
    assert bound.args or bound.kwargs or not call.args


def test_no_other_file_calls_the_application() -> None:
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and path.name != ALLOWED:
                text = ast.unparse(node)
                assert not text.startswith(("slicer.app", "slicer.util", "slicer.modules")), path
                assert not text.startswith(("slicer.mrmlScene", "slicer.dicomDatabase")), path
