# SPDX-License-Identifier: Apache-2.0
"""What can be known without running: the .ui file, names in code, the catalogue entry, imports."""

import ast
import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "slicer_extension"
MODULE = EXTENSION / "CXRCounterfactual"
UI = MODULE / "Resources" / "UI" / "CXRCounterfactual.ui"
PYTHON = sorted(path for path in MODULE.rglob("*.py"))
IDS = [path.relative_to(MODULE).as_posix() for path in PYTHON]
WHITELIST = {  # docs/slicer.md 4
    "QLabel", "QPushButton", "QCheckBox", "QComboBox", "QLineEdit", "QPlainTextEdit",
    "QProgressBar", "QTabWidget", "ctkCollapsibleButton", "ctkSliderWidget", "qMRMLWidget",
    "qMRMLNodeComboBox",
}  # fmt: skip
SLOTS = {
    "setMRMLScene", "setCurrentNodeID", "setCollapsed", "setValue", "setEnabled", "setVisible",
    "property", "setProperty",
}  # fmt: skip
IN_SLICER = {"slicer", "vtk", "qt"}
INSIDE_FUNCTIONS = {"numpy", "pydicom", "DICOMLib", "SampleData"}
NEVER = {"torch", "monai", "monai_cxr_cf", "diffusers", "pip", "ctk", "PySide6", "highdicom"}


def names_in_ui() -> list[str]:
    """Names of all widgets of the .ui file."""
    return [str(widget.get("name")) for widget in ElementTree.parse(UI).iter("widget")]


def test_the_panel_uses_only_twelve_kinds_of_widget_and_no_connections() -> None:
    tree = ElementTree.parse(UI)
    assert {str(widget.get("class")) for widget in tree.iter("widget")} <= WHITELIST
    declared = {str(element.text) for element in tree.iter("class")} - {"CXRCounterfactual"}
    assert declared == {name for name in WHITELIST if name[0] in "cq"}
    assert not list(tree.iter("connection"))


def test_names_are_unique_and_every_widget_explains_itself() -> None:
    names = names_in_ui()
    assert len(names) == len(set(names))
    acting = {"QPushButton", "QCheckBox", "QComboBox", "QLineEdit", "ctkSliderWidget"}
    silent = [
        widget.get("name")
        for widget in ElementTree.parse(UI).iter("widget")
        if widget.get("class") in acting | {"qMRMLNodeComboBox"}
        and not [p for p in widget.findall("property") if p.get("name") == "toolTip"]
    ]
    assert not silent


def test_every_widget_named_in_code_exists_and_every_acting_widget_is_used() -> None:
    suffixes = "Label|Button|Box|Edit|Slider|Check|Selector|Section|Tabs|Bar|Row|Card|Page|Caption"
    pattern = re.compile(rf"\b[a-z]+[A-Za-z]*(?:{suffixes})\b|\bownRegion\b")
    code = "\n".join(path.read_text(encoding="utf-8") for path in PYTHON)
    used = set(re.findall(rf"(?:w|_w|widgets|ui)\.({pattern.pattern})", code))
    named = set(names_in_ui())
    assert used, "the pattern finds nothing"
    assert not used - named
    acting = {
        str(widget.get("name"))
        for widget in ElementTree.parse(UI).iter("widget")
        if widget.get("class") in {"QPushButton", "QCheckBox", "QComboBox", "QLineEdit"}
    }
    words = set(re.findall(r"\w+", code))
    assert not acting - words, "a widget that does nothing"


@pytest.mark.parametrize("path", PYTHON, ids=IDS)
def test_only_what_pythonqt_and_pyside_share_is_called(path: Path) -> None:
    code = path.read_text(encoding="utf-8")
    assert not re.findall(r"\b(?:w|_w|widgets)\.\w+\.\w+ = ", code), "attributes are not assigned"
    assert not re.findall(r"(?<!slicer\.app)\.connect\(['\"]", code), "signals go by name"
    # Of CTK's and qMRML's own classes PythonQt offers slots and properties only.
    called = re.findall(r"\.\w+(?:Slider|Selector|Section)\.(\w+)\(", code)
    assert set(called) <= SLOTS


@pytest.mark.parametrize("path", PYTHON, ids=IDS)
def test_imports_are_light(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(sys.stdlib_module_names) | IN_SLICER | {"CXRCounterfactualLib"}
    lazy = {id(node) for outer in ast.walk(tree) if _waits(outer) for node in ast.walk(outer)}
    for node in ast.walk(tree):
        found = _imported(node)
        assert not found & NEVER, f"line {getattr(node, 'lineno', 0)}"
        allowed = top | INSIDE_FUNCTIONS if id(node) in lazy else top
        assert found <= allowed, f"line {getattr(node, 'lineno', 0)}: {found - allowed}"


def _waits(node: ast.AST) -> bool:
    """Whether what is inside does not run at import."""
    checking = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return checking or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return {str(node.module).partition(".")[0]}
    return set()


@pytest.mark.parametrize("path", PYTHON, ids=IDS)
def test_nothing_is_installed_into_slicers_python(path: Path) -> None:
    code = path.read_text(encoding="utf-8")
    assert "pip_install" not in code
    assert "pip_ensure" not in code


def test_nobody_is_told_to_install_the_product_by_a_name_that_is_not_ours() -> None:
    texts = [*PYTHON, UI, EXTENSION / "README.md", ROOT / "docs" / "slicer.md"]
    for path in texts:
        words = path.read_text(encoding="utf-8")
        assert not re.search(r"pip install[^\n]*\bmonai-cxr-cf\b", words), path.name


@pytest.mark.parametrize("path", PYTHON, ids=IDS)
def test_no_print_no_assert_outside_the_self_test_and_no_bare_except(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None)
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        assert not (called and node.func.id == "print"), f"line {node.lineno}"


# Slicer/ExtensionsIndex 07f1d1b (2026-08-07), scripts/check_description_files.py.
ACCEPTED = """Active Learning,Analysis,Auto3dgm,BigImage,Cardiac,Chest Imaging Platform,Conda,
Converters,DICOM,DSCI,Developer Tools,Diffusion,Examples,Exporter,FTV Segmentation,Filtering,
Filtering.Morphology,Filtering.Vesselness,Holographic Display,Image Synthesis,IGT,Informatics,
Netstim,Neuroimaging,Nuclear Medicine,Orthodontics,Osteotomy Planning,Otolaryngology,
Photogrammetry,Pipelines,Planning,Printing,Quantification,Radiotherapy,Registration,Remote,
Rendering,SPHARM,Segmentation,Sequences,Shape Analysis,Shape Regression,Shape Visualization,
Simulation,SlicerCMF,SlicerMorph,Spectral Imaging,Supervisely,Surface Models,SurfaceLearner,
Tomographic Reconstruction,Tracking,Tractography,Training,Ultrasound,Utilities,
Vascular Modeling Toolkit,Virtual Reality,VisSimTools,Web System Tools,Wizards"""


def test_the_category_is_one_that_the_index_accepts() -> None:
    entry = json.loads((EXTENSION / "CXRCounterfactual.json").read_text(encoding="utf-8"))
    accepted = ACCEPTED.replace("\n", "").split(",")
    assert len(accepted) == 61
    assert entry["category"] in accepted
    assert "Radiology" not in accepted


def test_the_catalogue_entry_follows_the_schema() -> None:
    entry = json.loads((EXTENSION / "CXRCounterfactual.json").read_text(encoding="utf-8"))
    allowed = {"$schema", "build_dependencies", "build_subdirectory", "category", "scm_revision",
               "scm_type", "scm_url", "enabled", "tier"}  # fmt: skip
    assert {"$schema", "category", "scm_url"} <= set(entry) <= allowed
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert entry["tier"] in (1, 3, 5)
    assert entry["build_dependencies"] == [], "or packaging of Python-only extensions is skipped"
    assert entry["scm_url"].endswith("/SlicerCXRCounterfactual.git")
    cmake = (EXTENSION / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "project(CXRCounterfactual)" in cmake
    assert f'EXTENSION_CATEGORY "{entry["category"]}"' in cmake
    assert "cmake_minimum_required(VERSION 3.16.3..." in cmake


def test_licence_readme_and_icons_are_in_place() -> None:
    assert (EXTENSION / "LICENSE.txt").read_text() == (ROOT / "LICENSE").read_text()
    readme = (EXTENSION / "README.md").read_text(encoding="utf-8")
    for words in ("never for diagnosis", "Apache", "Screenshots/", "privacy"):
        assert words in readme, words
    for picture in re.findall(r"\]\((Screenshots/[^)]+)\)", readme):
        assert (EXTENSION / picture).is_file(), picture
    for icon in (EXTENSION, MODULE / "Resources" / "Icons"):
        assert Image.open(icon / "CXRCounterfactual.png").size == (128, 128)


def test_the_stand_ins_stay_small_and_say_what_they_stand_for() -> None:
    files = sorted((Path(__file__).parent / "standins").glob("*.py"))
    assert sum(len(path.read_text().splitlines()) for path in files) < 400
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        told = [ast.get_docstring(n) or "" for n in tree.body if isinstance(n, ast.ClassDef)]
        assert all("Stands for" in text for text in told), path.name
