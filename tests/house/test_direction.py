# SPDX-License-Identifier: Apache-2.0
"""Data flows one way: the package's own imports, read as syntax, follow one order of rooms.

Imports inside functions and under TYPE_CHECKING count like any other. A name is imported from the
module that defines it, and an import hides in a function only where that saves load time.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "monai_cxr_cf"
# From the doors down to what everybody may use; a room imports only rooms that stand after it.
ORDER = (
    *("cli", "commands", "server", "audit", "transforms", "evaluation", "training", "batch"),
    *("pipeline", "runs"),
    *("case", "methods", "judges", "anatomy", "data", "prompts", "calibration"),
    *("request", "diffusion", "dicom"),
    *(
        "bounds",
        "composite",
        "measures",
        "shifts",
        "presets",
        "catalogue",
        "dials",
        "grid",
        "weights",
        "threads",
        "imports",
    ),
    *("devices", "errors"),
)
APART = {"viewer"}  # runs in an environment of its own; tests/house/test_layers.py watches it
FACADE = f"{PACKAGE}.transforms"  # what a user of MONAI imports from one place
ROOM_FILES = 20


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


MODULES = _modules()


@cache
def tree(module: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def targets(node: ast.AST, module: str) -> list[str]:
    """What an import statement of ``module`` loads, dotted; a module of ours before its package."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        is_package = MODULES[module].name == "__init__.py"
        parts = module.split(".") if is_package else module.split(".")[:-1]
        parts = parts[: len(parts) - (node.level - 1)]
        base = ".".join([*parts, *([node.module] if node.module else [])])
    names = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name in MODULES else base for name in names]


@cache
def arrows() -> frozenset[tuple[str, str]]:
    """Every import of one module of ours by another."""
    return frozenset(
        (module, target)
        for module in MODULES
        for node in ast.walk(tree(module))
        for target in targets(node, module)
        if target in MODULES and target != module
    )


def room(module: str) -> str:
    """The first name below the package; "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


@cache
def at_load(module: str) -> tuple[str, ...]:
    """What a module imports when it is loaded: no TYPE_CHECKING, no function."""
    found: list[str] = []

    def walk(body: list[ast.stmt]) -> None:
        for node in body:
            found.extend(targets(node, module))
            if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
                walk(node.body)
                walk(node.orelse)
            elif isinstance(node, ast.Try):
                walk(node.body)

    walk(tree(module).body)
    return tuple(found)


@cache
def libraries(module: str) -> frozenset[str]:
    """Third-party packages that loading a module pulls in, as far as our own files say."""
    seen, waiting, found = set[str](), [module], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in MODULES:
            waiting += at_load(name)
            waiting += [name.rpartition(".")[0]] if "." in name else []
        elif name.partition(".")[0] not in sys.stdlib_module_names:
            found.add(name.partition(".")[0])
    return frozenset(found)


def hidden(module: str) -> Iterator[tuple[int, str]]:
    """Line and target of every import inside a function that saves no library at load time."""
    for function in ast.walk(tree(module)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                for target in targets(node, module):
                    ours = target in MODULES
                    if ours and not libraries(target) - libraries(module):
                        yield getattr(node, "lineno", 0), target


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room(module) for module in MODULES} - APART - {""} == set(ORDER)


def test_no_arrow_against_the_direction() -> None:
    rank = {name: number for number, name in enumerate(ORDER)} | {"": len(ORDER)}
    against = [
        f"{source} -> {target}"
        for source, target in sorted(arrows())
        if not {room(source), room(target)} & APART
        and room(source) != room(target)
        and rank[room(source)] > rank[room(target)]
    ]
    assert not against


def test_nothing_but_its_command_knows_the_viewer() -> None:
    askers = {room(s) for s, t in arrows() if room(t) == "viewer" and room(s) != "viewer"}
    assert askers <= {"commands"}


def test_no_circle_of_imports() -> None:
    waiting = {module: {t for s, t in arrows() if s == module} for module in MODULES}
    while free := [module for module, needs in waiting.items() if not needs & set(waiting)]:
        for module in free:
            del waiting[module]
    assert not waiting, f"these import each other in a circle: {sorted(waiting)}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_names_are_imported_from_where_they_are_defined(module: str) -> None:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES and node.module != FACADE:
            borrowed = {
                alias.asname or alias.name: inner.module
                for inner in tree(node.module).body
                if isinstance(inner, ast.ImportFrom) and (inner.module or "").startswith(PACKAGE)
                for alias in inner.names
            }
            for alias in node.names:
                known = f"{node.module}.{alias.name}" in MODULES
                assert known or alias.name not in borrowed, (
                    f"line {node.lineno}: {alias.name} lives in {borrowed[alias.name]}"
                )


@pytest.mark.parametrize("module", sorted(m for m in MODULES if room(m) not in APART))
def test_an_import_hides_in_a_function_only_to_save_load_time(module: str) -> None:
    assert not [f"line {line}: {target}" for line, target in hidden(module)]


@pytest.mark.parametrize("top", ["monai_cxr_cf", "slicer_extension", "tests"])
def test_no_folder_holds_too_many_files(top: str) -> None:
    crowded = {
        str(folder.relative_to(ROOT)): len(files)
        for folder in [ROOT / top, *(p for p in (ROOT / top).rglob("*") if p.is_dir())]
        if len(files := [p for p in folder.glob("*.py") if p.name != "__init__.py"]) > ROOM_FILES
    }
    assert not crowded


def test_the_reader_of_imports_sees_all_three_kinds() -> None:
    assert ("monai_cxr_cf.cli", "monai_cxr_cf.errors") in arrows()
    inside = ("monai_cxr_cf.commands.edit", "monai_cxr_cf.pipeline")
    assert inside in arrows()
    assert inside[1] not in at_load(inside[0])
    assert "torch" in libraries("monai_cxr_cf.pipeline")
    assert "torch" not in libraries("monai_cxr_cf.commands.edit")
