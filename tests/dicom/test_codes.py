# SPDX-License-Identifier: Apache-2.0
"""Every coded concept means what its registry says; the private ones are declared and unique."""

import re
from pathlib import Path

import pytest
from pydicom.sr._concepts_dict import concepts as registry

from monai_cxr_cf.dicom import codes

CONCEPTS = {n: c for n, c in vars(codes).items() if isinstance(c, codes.Concept)}
PUBLIC = {n: c for n, c in CONCEPTS.items() if c.scheme != codes.PRIVATE_SCHEME}
PRIVATE = [c for c in CONCEPTS.values() if c.scheme == codes.PRIVATE_SCHEME]


def plainly(meaning: str) -> set[str]:
    """The words of a meaning without hierarchy tags, plurals and case."""
    text = re.sub(r"\(.*?\)", "", meaning.lower()).replace("tracheal", "trachea")
    return {word.rstrip("s") for word in text.split()} - {"structure"}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_code_means_what_its_registry_says(name: str) -> None:
    concept = PUBLIC[name]
    found = {
        meaning
        for entries in registry[concept.scheme].values()
        for value, (meaning, _) in entries.items()
        if value == concept.value
    }
    assert found, f"{concept} is not in the dictionary of {concept.scheme}"
    wanted = plainly(concept.meaning) - {"structure"}
    assert any(plainly(meaning) == wanted for meaning in found), (concept, found)


def test_private_codes_are_unique_and_fit_their_value_representations() -> None:
    values = [concept.value for concept in PRIVATE]
    assert len(set(values)) == len(values)
    assert len({concept.meaning for concept in PRIVATE}) == len(PRIVATE)
    for concept in CONCEPTS.values():
        assert len(concept.value) <= 16
        assert len(concept.scheme) <= 16
        assert len(concept.meaning) <= 64


def test_private_scheme_is_declared_under_its_designator() -> None:
    item = codes.scheme_item()
    assert item.CodingSchemeDesignator == codes.PRIVATE_SCHEME == "99CXRCF"
    assert item.CodingSchemeResponsibleOrganization


def test_items_are_fresh_each_time() -> None:
    assert codes.HEART.item() is not codes.HEART.item()
    assert codes.HEART.item() == codes.HEART.item()


def test_labels_give_back_the_names_of_masks() -> None:
    for name, segment in codes.SEGMENTS.items():
        assert segment.label.lower().replace(" ", "_") == name
        assert len(segment.label) <= 64


def test_conformance_statement_lists_every_private_code(root: Path) -> None:
    text = (root / "docs" / "dicom-conformance.md").read_text(encoding="utf-8")
    for concept in PRIVATE:
        assert f"| {concept.value} | {concept.meaning} |" in text
