# SPDX-License-Identifier: Apache-2.0
"""What decides needs nothing but Python: each such module is imported by a bare interpreter."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "slicer_extension" / "CXRCounterfactual"
LIBRARY = MODULE / "CXRCounterfactualLib"


def modules_of(room: str) -> list[str]:
    """The modules of a room, dotted."""
    return [f"{room}.{path.stem}" for path in sorted((LIBRARY / room).glob("[!_]*.py"))]


BARE = (
    *(name for room in ("contract", "presenter", "remote") for name in modules_of(room)),
    "panel.looker",
    *(f"process.{name}" for name in ("commands", "doctor", "environment", "processes", "watching")),
)
WINDOWS = {"qt", "ctk", "slicer", "vtk"}
LOADED = """
import json, sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
__import__("CXRCounterfactualLib." + sys.argv[2])
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


@pytest.mark.parametrize("name", BARE)
def test_a_bare_interpreter_imports_it_and_loads_nothing_foreign(name: str) -> None:
    # -I -S: no site-packages, no user site, no environment variables.
    words = [sys.executable, "-I", "-S", "-c", LOADED, str(MODULE), name]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    foreign = set(json.loads(done.stdout)) - set(sys.stdlib_module_names)
    assert foreign == {"CXRCounterfactualLib"}


@pytest.mark.parametrize("name", BARE)
def test_it_asks_for_no_window_and_no_scene_not_even_later(name: str) -> None:
    tree = ast.parse((LIBRARY / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))
    asked = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            asked |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            asked.add(str(node.module).partition(".")[0])
    assert not asked & WINDOWS
    assert asked <= set(sys.stdlib_module_names) | {"CXRCounterfactualLib"}


@pytest.mark.parametrize("name", modules_of("presenter"))
def test_a_decision_reads_no_clock_file_or_network(name: str) -> None:
    tree = ast.parse((LIBRARY / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))
    calls = {n.func.id for n in ast.walk(tree)
             if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}  # fmt: skip
    modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert not calls & {"open", "print", "input", "exec", "eval"}
    assert modules <= {"time"}  # the presenter's clock, given from outside where it matters
