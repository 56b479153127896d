# SPDX-License-Identifier: Apache-2.0
"""Signposts lead somewhere: a cited section is in the file cited, a linked or named file exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("monai_cxr_cf", "tests", "benchmarks", "bundles", "slicer_extension", "docs")
KINDS = ("*.py", "*.md", "*.yaml", "*.json", "*.js", "*.html", "*.ui")
SINGLE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "pyproject.toml")
SELF = Path(__file__).name

# "docs/method.md 2.3", "docs/dicom-conformance.md 4.2, 5"; and without an ending "method 2.3".
CITED = re.compile(r"([\w/.-]+\.md)\)?,? (?:section )?(\d+(?:\.\d+)*)((?:, \d+(?:\.\d+)*)*)")
VAGUE = re.compile(r"\((?:\w+ of )?(?:method|dicom|slicer|monai|server|laws|style) \d+[^)]*\)")
NUMBERED = re.compile(r"^#{2,4} (\d+(?:\.\d+)*)\.? ", re.MULTILINE)
LINKED = re.compile(r"\]\((?!https?://)([^)#\s]*)(#[^)\s]+)?\)")
NAMED = re.compile(r"`((?:[\w-]+/)+[\w-]+\.(?:py|sh|md))`")


def texts() -> list[str]:
    """Names of the files that may hold a signpost."""
    found = {path for top in FOLDERS for kind in KINDS for path in (ROOT / top).rglob(kind)}
    found |= {ROOT / name for name in SINGLE}
    names = (p.relative_to(ROOT).as_posix() for p in found if p.name != SELF and p.is_file())
    return sorted(name for name in names if not name.endswith("tokenizer.json"))


PAGES = [name for name in texts() if name.endswith(".md")]


def target(cited: str, page: Path) -> Path | None:
    """The file that a citation names: beside the page, or from the root."""
    places = (page.parent / cited, ROOT / cited)
    return next((place.resolve() for place in places if place.is_file()), None)


def anchors(text: str) -> set[str]:
    """The places of a page that a link may name, as GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", head.lower()) for head in heads)
    return {"#" + head.strip().replace(" ", "-") for head in plain}


def wrong(name: str, text: str) -> list[str]:
    """What a text cites that is not there."""
    faults = [f"{found} names no file" for found in VAGUE.findall(text)]
    for cited, first, more in CITED.findall(text):
        page = target(cited, ROOT / name)
        if page is None:
            faults.append(f"{cited} does not exist")
            continue
        there = set(NUMBERED.findall(page.read_text(encoding="utf-8")))
        sections = [first, *re.findall(r"[\d.]+", more)]
        faults += [f"{cited} has no section {section}" for section in sections
                   if section not in there]  # fmt: skip
    return faults


@pytest.mark.parametrize("name", texts())
def test_every_cited_section_exists(name: str) -> None:
    assert not wrong(name, (ROOT / name).read_text(encoding="utf-8"))


def test_the_modules_do_cite_the_pages() -> None:
    modules = [name for name in texts() if name.startswith("monai_cxr_cf/")]
    cited = [c for name in modules for c in CITED.findall((ROOT / name).read_text("utf-8"))]
    assert len(cited) >= 40


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for path, anchor in LINKED.findall(page.read_text(encoding="utf-8")):
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{path} does not exist"
        if anchor:
            assert anchor in anchors(place.read_text(encoding="utf-8")), f"{path}{anchor}"


@pytest.mark.parametrize("name", [n for n in PAGES if n == "README.md" or n.startswith("docs/")])
def test_every_module_that_a_page_names_exists(name: str) -> None:
    tops = (ROOT, ROOT / "monai_cxr_cf", (ROOT / name).parent)
    for path in NAMED.findall((ROOT / name).read_text(encoding="utf-8")):
        assert any((top / path).is_file() for top in tops), f"{path} does not exist"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("as in docs/method.md 2.3", ""),
        ("see docs/method.md, section 2", ""),
        ("see docs/method.md 99.1", "has no section 99.1"),
        ("see docs/method.md 2, 98", "has no section 98"),
        ("see design.md 1", "design.md does not exist"),
        ("see method.md 1", "method.md does not exist"),
        ("the weights (method 4.3)", "names no file"),
    ],
)
def test_a_signpost_that_leads_nowhere_is_found(text: str, fault: str) -> None:
    faults = wrong("README.md", text)
    assert len(faults) == bool(fault)
    assert all(fault in found for found in faults)
