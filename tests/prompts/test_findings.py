# SPDX-License-Identifier: Apache-2.0
"""The vocabulary: phrases are unambiguous, codes mean what they say, regions follow the method."""

import subprocess
import sys

import pytest
from pydicom.sr._concepts_dict import concepts
from pydicom.sr.codedict import codes

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.findings import (
    PHRASES,
    VOCABULARY,
    ZONES,
    get,
    lookup,
    nearest,
    organs_that_may_change,
    region_terms,
)
from monai_cxr_cf.prompts.words import lexicon, phrase

REQUIRED = (
    "pleural effusion", "pneumothorax", "cardiomegaly", "pulmonary edema", "consolidation",
    "atelectasis", "pneumonia", "lung opacity", "nodule", "mass", "fibrosis", "emphysema",
    "pleural thickening", "hiatal hernia", "rib fracture",
)  # fmt: skip

# pydicom gives 8186001 no name and calls 287272002, elsewhere a septal defect, "Cardiomegaly".
WRONG_CARDIOMEGALY = "287272002"

# Verhoeff's dihedral group: the check digit of every SNOMED CT identifier.
_D = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
      [2, 3, 4, 0, 1, 7, 8, 9, 5, 6], [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
      [4, 0, 1, 2, 3, 9, 5, 6, 7, 8], [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
      [6, 5, 9, 8, 7, 1, 0, 4, 3, 2], [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
      [8, 7, 6, 5, 9, 3, 2, 1, 0, 4], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]]  # fmt: skip
_P = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def verhoeff_remainder(digits: str) -> int:
    """0 for an identifier with a right check digit."""
    rest = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit)
        for _ in range(position % 8):
            value = _P[value]
        rest = _D[rest][value]
    return rest


def pydicom_meanings(scheme: str, code: str) -> set[str]:
    """All names pydicom's dictionaries give a code."""
    table = concepts[scheme]
    return {entry[code][0].casefold() for entry in table.values() if code in entry}


@pytest.mark.parametrize("name", REQUIRED)
def test_vocabulary_holds_the_findings_of_the_field(name: str) -> None:
    assert VOCABULARY[name].name == name


@pytest.mark.parametrize("name", VOCABULARY)
def test_every_snomed_code_means_what_pydicom_says(name: str) -> None:
    code = VOCABULARY[name].snomed
    if code is not None:
        known = pydicom_meanings("SCT", code.value)
        assert not known or code.meaning.casefold() in known
        assert code.value != WRONG_CARDIOMEGALY
        assert verhoeff_remainder(code.value) == 0


@pytest.mark.parametrize("name", VOCABULARY)
def test_every_dicom_code_means_what_pydicom_says(name: str) -> None:
    code = VOCABULARY[name].dcm
    assert code is None or code.meaning.casefold() in pydicom_meanings("DCM", code.value)


def test_pydicom_names_the_codes_that_carry_the_main_findings() -> None:
    assert codes.SCT.PleuralEffusion.value == VOCABULARY["pleural effusion"].snomed.value
    assert codes.SCT.Pneumothorax.value == VOCABULARY["pneumothorax"].snomed.value
    assert codes.SCT.PulmonaryEdema.value == VOCABULARY["pulmonary edema"].snomed.value


def test_check_digit_catches_an_invented_code() -> None:
    assert verhoeff_remainder("60046008") == 0
    assert verhoeff_remainder("60046007") != 0


def test_no_two_findings_share_a_code() -> None:
    for kind in ("snomed", "radlex", "dcm"):
        values = [c.value for f in VOCABULARY.values() if (c := getattr(f, kind))]
        assert len(values) == len(set(values))


def test_radlex_identifiers_look_like_radlex() -> None:
    found = [f.radlex for f in VOCABULARY.values() if f.radlex]
    assert found
    assert all(c.scheme == "RADLEX" and c.value[:3] == "RID" and c.value[3:].isdigit()
               for c in found)  # fmt: skip


def test_preferred_code_is_snomed_then_dicom_then_radlex() -> None:
    assert VOCABULARY["pneumothorax"].code.scheme == "SCT"
    assert VOCABULARY["lung opacity"].code.scheme == "DCM"
    assert VOCABULARY["pleural thickening"].code is None


def test_every_phrase_names_one_finding_only() -> None:
    total = [
        phrase(text)
        for f in VOCABULARY.values()
        for text in (*f.phrases, *f.worse_as, *f.better_as, *f.absent_as)
    ]
    assert len(total) == len(set(total)) == len(PHRASES)


def test_no_phrase_is_both_a_finding_and_another_word() -> None:
    assert not set(PHRASES) & set(lexicon())


@pytest.mark.parametrize("finding", VOCABULARY.values(), ids=lambda f: f.name)
def test_regions_relations_and_organs_use_known_names(finding) -> None:
    assert finding.region
    assert all(zone in ZONES for zone, _ in finding.region)
    assert all(side in ("named", "both", None) for _, side in finding.region)
    assert all(name in VOCABULARY and name != finding.name for name in finding.related)
    assert set(finding.organs) <= {"lung", "heart"}
    assert finding.sign in (1, -1)
    assert finding.measure in ("density", "heart")
    assert finding.sided or all(side is None for _, side in finding.region)


def test_default_regions_follow_the_method() -> None:
    assert region_terms("pleural effusion", "left") == (("pleural_base", "left"),)
    assert region_terms("pneumothorax", "right") == (("apical", "right"), ("lateral_rim", "right"))
    assert region_terms("cardiomegaly") == (("cardiac_silhouette", None),)
    assert region_terms("pulmonary edema") == (("inner_lung", "both"),)
    assert region_terms("atelectasis") == (("lower", "both"),)
    assert region_terms("nodule", "left") == (("lung", "left"),)
    assert region_terms("nodule") == (("lung", "both"),)


def test_a_named_zone_replaces_the_default_region() -> None:
    assert region_terms("pneumothorax", "left", "lower") == (("lower", "left"),)
    assert region_terms("consolidation", None, "upper") == (("upper", "both"),)
    assert region_terms("lung opacity", "left", "retrocardiac") == (("retrocardiac", None),)


def test_organs_that_may_change_follow_the_side() -> None:
    assert organs_that_may_change("pleural effusion", "left") == {"left_lung", "heart"}
    assert organs_that_may_change("pneumothorax") == {"left_lung", "right_lung"}
    assert organs_that_may_change("nodule", "left") == frozenset()


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Pleural Effusions", "pleural effusion"),
        ("oedema", "pulmonary edema"),
        ("pulmonary œdema", "pulmonary edema"),
        ("Ground-Glass Opacity", "lung opacity"),
        ("infiltration", "lung opacity"),
        ("tumour", "mass"),
        ("hiatus hernia", "hiatal hernia"),
        ("PTX", "pneumothorax"),
    ],
)
def test_lookup_ignores_case_accents_spelling_and_number(written: str, name: str) -> None:
    assert lookup(written).name == name


def test_lookup_knows_no_sentence_and_no_direction() -> None:
    assert lookup("small left effusion") is None
    assert lookup("normal heart size") is None
    assert lookup("") is None


def test_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadRequest, match="pneumothorax") as caught:
        get("pnuemothorax")
    assert caught.value.code == "unknown_finding"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("pnumothorax", "pneumothorax"),
        ("plural efusion", "pleural effusion"),
        ("cardiomegally", "cardiomegaly"),
        ("atelectesis", "atelectasis"),
        ("oedma", "pulmonary edema"),
    ],
)
def test_nearest_finds_misspelt_findings(written: str, name: str) -> None:
    assert nearest(written)[0] == name
    assert len(nearest(written, 5)) == 5


def test_importing_the_vocabulary_loads_no_third_party_package() -> None:
    code = (
        "import sys; before = {m.split('.')[0] for m in sys.modules}\n"
        "import monai_cxr_cf.prompts.findings\n"
        "new = {m.split('.')[0] for m in sys.modules} - before - set(sys.stdlib_module_names)\n"
        "print(sorted(new))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "['monai_cxr_cf']"
