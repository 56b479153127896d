# SPDX-License-Identifier: Apache-2.0
"""The rooms of the library: imports go one way, in no circle, and to where a name is defined.

Every import counts, those under TYPE_CHECKING and inside functions too.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "slicer_extension" / "CXRCounterfactual"
LIBRARY = MODULE / "CXRCounterfactualLib"
TESTS = Path(__file__).resolve().parent
# Room -> the rooms that it may import; "" is the library's own folder: version, Refused, rehearsal.
DIRECTION = {
    "": set[str](),
    "contract": {""},
    "presenter": {"contract"},
    "process": {"contract"},
    "remote": {"contract"},
    "scene": {"contract", "presenter", ""},
    "panel": {"contract", "presenter", "process", "scene", ""},
}
STANDARD = ("contract", "presenter", "process", "remote")  # nothing but the standard library
WITH_QT = {"process.run", "panel.session", "panel.compare_panel", "panel.status_panel",
           "panel.environment_card", "scene.app_services"}  # fmt: skip
MOST_FILES = 20


@dataclass(frozen=True)
class Arrow:
    """One import: who, of which module, which name, and where it is written."""

    source: str
    target: str
    name: str  # "" if the module itself is imported
    line: int
    inside: bool  # of a function


def modules(library: Path = LIBRARY) -> dict[str, Path]:
    """Dotted name -> file; a package bears the name of its folder, the library's own is ""."""
    found = {}
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def room(name: str) -> str:
    """The folder of a module."""
    return name.partition(".")[0] if "." in name or name in DIRECTION else ""


def arrows(name: str, path: Path, known: dict[str, Path]) -> Iterator[Arrow]:
    """What a module imports of the library."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    within = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = _base(name, path, node)
            for alias in node.names if base is not None else ():
                longer = f"{base}.{alias.name}".strip(".")
                target, named = (longer, "") if longer in known else (base or "", alias.name)
                yield Arrow(name, target, named, node.lineno, id(node) in within)
        elif isinstance(node, ast.Import):
            own = [a.name for a in node.names if a.name.split(".")[0] == LIBRARY.name]
            assert not own, f"{name}, line {node.lineno}: from {own[0]} import ..."


def _base(name: str, path: Path, node: ast.ImportFrom) -> str | None:
    """The package or module that ``from`` names; None if it is none of the library."""
    if node.level:
        here = name.split(".") if name else []
        up = node.level - (path.stem == "__init__")
        return ".".join([*here[: len(here) - up], *(node.module or "").split(".")]).strip(".")
    first, _, rest = str(node.module).partition(".")
    return rest if first == LIBRARY.name else None


KNOWN = modules()
ALL = [arrow for name, path in KNOWN.items() for arrow in arrows(name, path, KNOWN)]


def circle_of(pairs: set[tuple[str, str]]) -> list[str]:
    """Modules that lie on a circle; empty if there is none."""
    left = set(pairs)
    while True:
        ends = {target for _, target in left} - {source for source, _ in left}
        starts = {source for source, _ in left} - {target for _, target in left}
        fewer = {(a, b) for a, b in left if b not in ends and a not in starts}
        if fewer == left:
            return sorted({name for pair in left for name in pair})
        left = fewer


def test_the_reader_sees_the_imports_that_there_are() -> None:
    pairs = {(arrow.source, arrow.target) for arrow in ALL}
    assert ("panel.session", "presenter.presenter") in pairs
    assert ("panel.session", "scene.app_services") in pairs, "under TYPE_CHECKING"
    assert ("remote.client", "remote.server") in pairs, "by the full name"
    assert ("contract.failures", "") in pairs, "the library's version"
    assert ("panel.effects", "presenter.states") in pairs, "a module as a name"


def test_no_module_imports_itself_over_others() -> None:
    assert circle_of({(arrow.source, arrow.target) for arrow in ALL}) == []


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ({("a", "b"), ("b", "c")}, []),
        ({("a", "b"), ("b", "a"), ("c", "a"), ("b", "d")}, ["a", "b"]),
        ({("a", "a")}, ["a"]),
        ({("a", "b"), ("b", "c"), ("c", "a"), ("x", "y")}, ["a", "b", "c"]),
    ],
)
def test_a_circle_is_found(pairs: set[tuple[str, str]], found: list[str]) -> None:
    assert circle_of(pairs) == found


def test_the_rooms_are_the_folders_and_their_direction_has_no_circle() -> None:
    assert {room(name) for name in KNOWN} == set(DIRECTION)
    assert circle_of({(a, b) for a, targets in DIRECTION.items() for b in targets}) == []


def test_imports_between_rooms_follow_the_direction_and_every_permission_is_used() -> None:
    between = [arrow for arrow in ALL if room(arrow.source) != room(arrow.target)]
    against = [a for a in between if room(a.target) not in DIRECTION[room(a.source)]]
    assert against == []
    used = {(room(arrow.source), room(arrow.target)) for arrow in between}
    assert used == {(a, b) for a, targets in DIRECTION.items() for b in targets}


def test_a_name_is_imported_from_where_it_is_defined() -> None:
    hidden = [a for a in ALL if a.name and a.name not in defined(KNOWN[a.target])]
    assert hidden == []


def defined(path: Path) -> set[str]:
    """Names that a module makes itself, at its top level."""
    names = set[str]()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            stored = (n for n in ast.walk(node) if isinstance(n, ast.Name))
            names |= {n.id for n in stored if isinstance(n.ctx, ast.Store)}
    return names


def test_an_import_inside_a_function_says_why() -> None:
    late = [a for a in ALL if a.inside]
    lines = {a: KNOWN[a.source].read_text(encoding="utf-8").splitlines()[a.line - 1] for a in late}
    assert [a for a, line in lines.items() if "#" not in line] == []


@pytest.mark.parametrize("name", KNOWN)
def test_only_panel_and_scene_ask_for_slicer_and_a_few_for_qt(name: str) -> None:
    asked = set[str]()
    for node in ast.walk(ast.parse(KNOWN[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            asked |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            asked.add(str(node.module).partition(".")[0])
    foreign = asked - set(sys.stdlib_module_names) - {LIBRARY.name}
    assert ("qt" in foreign) == (name in WITH_QT)
    if room(name) in STANDARD:
        assert foreign <= {"qt"}


def test_no_file_bears_the_name_of_a_library() -> None:
    taken = {"numpy", "pydicom", "qt", "slicer", "vtk"} | set(sys.stdlib_module_names)
    assert [name for name in KNOWN if name.rpartition(".")[2] in taken] == []


def test_a_class_name_is_given_once() -> None:
    names = [
        node.name
        for path in KNOWN.values()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    ]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("folder", [LIBRARY, TESTS], ids=lambda folder: folder.name)
def test_no_folder_holds_more_than_fits_on_a_screen(folder: Path) -> None:
    for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        files = [path for path in each.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= MOST_FILES, each.name


@pytest.mark.parametrize("name", [name for name in DIRECTION if name])
def test_a_room_says_what_it_is_for_and_nothing_else(name: str) -> None:
    text = KNOWN[name].read_text(encoding="utf-8")
    (only,) = ast.parse(text).body
    assert isinstance(only, ast.Expr)
    assert len(text.splitlines()) == 2, "licence and one sentence"
