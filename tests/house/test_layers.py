# SPDX-License-Identifier: Apache-2.0
"""The import direction: each layer is imported in a fresh interpreter, then sys.modules is read.

A heavy library at module level of a light layer would make ``cxr-cf --help``, the reader or a
Slicer panel pay seconds, and would tie layers together that must stay apart.
"""

import ast
import json
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import importlib, json, sys
before = set(sys.modules)
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted({m.partition(".")[0] for m in set(sys.modules) - before})))
"""
ANY = "third-party"

WORDS = (
    *("__init__", "errors", "dials", "presets", "request", "weights", "threads", "imports"),
    *("devices", "calibration", "catalogue*"),
    "cli",
    *("commands*", "prompts*", "diffusion", "diffusion.cost", "diffusion.cost.memory"),
    *("runs", "runs.atomic", "runs.cancel", "runs.facts", "runs.failures", "runs.networks"),
    *("runs.progress", "runs.result"),
)
JOBS = ("audit_job", "perform", "pictures", "segment_job", "worker")
WORKER = tuple(f"server.worker.{n}" for n in JOBS)
# layer -> (modules of it, what must not be loaded); the first match of a module counts.
LAYERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "words": (WORDS, (ANY,)),
    "dicom": (("dicom*",), ("torch", "monai", "diffusers", "transformers")),
    "arrays": (
        (
            *("grid", "composite", "bounds", "measures", "measures.masks", "judges"),
            *("judges.verdict", "shifts*"),
        ),
        ("torch", "pydicom", "monai", "diffusers"),
    ),
    "organs": (
        ("anatomy", "anatomy.organs", "anatomy.zones"),
        ("torch", "pydicom", "monai", "diffusers"),
    ),
    "pictures": (
        ("runs.pictures", "runs.trace_picture"),
        ("torch", "pydicom", "monai", "diffusers"),
    ),
    "anatomy": (("anatomy.*",), ("pydicom", "highdicom", "diffusers", "monai")),
    "diffusion": (("diffusion*",), ("pydicom", "highdicom", "monai")),
    "methods": (("methods*",), ("pydicom", "highdicom", "monai")),
    "pipeline": (("pipeline", "case", "runs.*"), ("monai", "fastapi", "ray")),
    "batch": (  # it looks after workers, which load what they need
        ("batch*",),
        ("torch", "numpy", "pydicom", "monai", "diffusers", "fastapi", "ray", "pyarrow"),
    ),
    "data": (("data*",), ("torch", "monai", "diffusers")),
    "judges": (("judges*", "measures.*"), ("monai", "diffusers", "pydicom", "fastapi", "ray")),
    "training": (("training*", "evaluation*", "audit*"), ("fastapi", "ray")),
    "transforms": (("transforms*",), ("fastapi", "ray")),
    "worker": (WORKER, ("ray",)),
    # Runs in an environment of its own, which imports it there (tests/viewer).
    "viewer": (("viewer", "viewer.start"), (ANY,)),
    "page": (("viewer.*",), ()),
    "server": (("server*",), ("torch", "monai", "diffusers", "transformers", "ray")),
}
NEVER = ("torchvision",)
ELSEWHERE = ("page",)  # layers that this environment cannot import: read, not loaded
BROWSER = {"CXRCounterfactualLib", "aiohttp", "pydicom", "slicer", "trame", "trame_slicer",
           "vtkmodules"}  # fmt: skip


def modules() -> list[str]:
    """Every module of the package below its root, dotted; the root itself is ``__init__``."""
    package = ROOT / "monai_cxr_cf"
    found = []
    for path in sorted(package.rglob("*.py")):
        parts = list(path.relative_to(package).with_suffix("").parts)
        if "bundle" in parts[:1]:
            continue
        if len(parts) > 1 and parts[-1] == "__init__":
            parts.pop()
        found.append(".".join(parts))
    return found


def layer_of(module: str) -> str | None:
    """The first layer whose patterns hold the module."""
    for layer, (patterns, _) in LAYERS.items():
        if any(fnmatch(module, pattern) for pattern in patterns):
            return layer
    return None


def loaded(names: list[str]) -> set[str]:
    """Top-level names that importing ``names`` adds to a fresh interpreter."""
    full = ["monai_cxr_cf" if n == "__init__" else f"monai_cxr_cf.{n}" for n in names]
    answer = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(full)],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    return set(json.loads(answer.stdout.splitlines()[-1]))


def test_every_module_belongs_to_a_layer() -> None:
    homeless = [m for m in modules() if layer_of(m) is None]
    assert not homeless, f"add these modules to LAYERS: {homeless}"


@pytest.mark.parametrize("layer", [name for name in LAYERS if name not in ELSEWHERE])
def test_layer_loads_nothing_that_it_must_not(layer: str) -> None:
    members = [m for m in modules() if layer_of(m) == layer]
    names = loaded(members) if members else set()
    banned = set(LAYERS[layer][1]) | set(NEVER)
    if ANY in banned:
        ours = {"monai_cxr_cf", "__mp_main__"}  # multiprocessing's own name of the main module
        foreign = names - set(sys.stdlib_module_names) - ours
        assert not foreign, f"{layer} must be standard library only, but loads {sorted(foreign)}"
    assert not names & banned, f"{layer} must not load {sorted(names & banned)}"


def test_the_page_asks_for_nothing_of_the_product_and_for_no_model() -> None:
    asked = set[str]()
    for module in (m for m in modules() if layer_of(m) in ELSEWHERE):
        path = ROOT / "monai_cxr_cf" / f"{module.replace('.', '/')}.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                asked |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                asked.add(str(node.module).partition(".")[0])
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 1, f"{module} leaves the viewer's folder"
    assert asked - set(sys.stdlib_module_names) <= BROWSER


def test_the_probe_sees_a_forbidden_library() -> None:
    assert "numpy" in loaded(["dicom.record"])
