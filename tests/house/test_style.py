# SPDX-License-Identifier: Apache-2.0
"""The house rules that a program can check: sizes, licence lines, docstrings, widths of pages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("monai_cxr_cf", "tests", "benchmarks", "bundles", "slicer_extension")
FILE_LINES, FUNCTION_LINES, MEDIAN_LINES, ARGUMENTS = 300, 40, 120, 6
LOOP = ("monai_cxr_cf/diffusion/sample.py", "sample", 45)  # the one exception
WORDS = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
Function = ast.FunctionDef | ast.AsyncFunctionDef

PATHS = [path for top in FOLDERS for path in sorted((ROOT / top).rglob("*.py"))]
FILES = [path.relative_to(ROOT).as_posix() for path in PATHS]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PAGES += ["bundles/cxr_counterfactual/README.md"]
PAGES += ["slicer_extension/README.md", "bundles/cxr_counterfactual/docs/README.md"]
PAGES += ["bundles/cxr_counterfactual/models/cxr-mini/MODEL_CARD.md"]
PAGES += sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
PAGE_COLUMNS = 120
PRODUCT = [name for name in FILES if name.startswith("monai_cxr_cf/")]


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method, nested ones too."""
    return (n for n in ast.walk(tree) if isinstance(n, Function))


def parsed(name: str) -> tuple[str, ast.Module]:
    """Text and syntax tree of a file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return text, ast.parse(text)


@pytest.mark.parametrize("name", FILES)
def test_file_names_its_licence_and_says_what_it_is_for(name: str) -> None:
    text, tree = parsed(name)
    lines = text.splitlines()
    first = lines[1] if lines[0].startswith("#!") else lines[0]
    assert first == "# SPDX-License-Identifier: Apache-2.0"
    assert ast.get_docstring(tree), "a module starts with a docstring"


@pytest.mark.parametrize("name", FILES)
def test_file_and_functions_fit_on_a_screen(name: str) -> None:
    text, tree = parsed(name)
    assert len(text.splitlines()) <= FILE_LINES
    for node in functions(tree):
        limit = LOOP[2] if (name, node.name) == LOOP[:2] else FUNCTION_LINES
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        assert length <= limit, f"{node.name} (line {node.lineno}) has {length} lines"


@pytest.mark.parametrize("name", PRODUCT)
def test_public_names_are_documented_and_take_few_arguments(name: str) -> None:
    _, tree = parsed(name)
    for node in tree.body:
        if isinstance(node, (*Function.__args__, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} (line {node.lineno}) has no docstring"
        if isinstance(node, Function) and not node.name.startswith("_"):
            arguments = node.args
            assert arguments.kwarg is None, f"{node.name} takes **{arguments.kwarg}"
            count = len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs)
            assert count <= ARGUMENTS, f"{node.name} takes {count} arguments"


@pytest.mark.parametrize("name", PRODUCT)
def test_no_assert_no_bare_except_and_no_unfinished_note(name: str) -> None:
    text, tree = parsed(name)
    assert not [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Assert)], "assert in product"
    bare = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.ExceptHandler) and n.type is None]
    assert not bare, f"bare except at {bare}"
    assert not [w for w in WORDS if w in text]


def test_modules_are_short_in_the_median() -> None:
    sizes = [len((ROOT / name).read_text().splitlines()) for name in PRODUCT]
    assert median(sizes) <= MEDIAN_LINES


def test_no_folder_is_called_dl() -> None:
    # python-gdcm imports a module of that name; ours would break pydicom itself.
    named = [p for p in ROOT.rglob("dl*") if p.stem == "dl" and ".venv" not in p.parts]
    assert not named


def too_wide(text: str) -> list[int]:
    """Lines of a page over 120 columns; tables, and the addresses of links, may be longer."""
    plain = [re.sub(r"\]\([^)]*\)", "]", line) for line in text.splitlines()]
    prose = [n for n, line in enumerate(plain, 1) if not line.lstrip().startswith("|")]
    return [n for n in prose if len(plain[n - 1]) > PAGE_COLUMNS]


@pytest.mark.parametrize("name", PAGES)
def test_pages_fold_at_120_columns(name: str) -> None:
    assert not too_wide((ROOT / name).read_text(encoding="utf-8"))


def test_a_line_that_is_too_wide_is_found_unless_a_table_or_an_address_makes_it_so() -> None:
    word, wide = "a" * PAGE_COLUMNS, "a" * (PAGE_COLUMNS + 1)
    assert too_wide(f"{word}\n{wide}\n| {wide} |\n[a]({wide})") == [2]


def test_readme_fits_in_150_lines_and_has_no_placeholder() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert not [w for w in WORDS if w in text]
