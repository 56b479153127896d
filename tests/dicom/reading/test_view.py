# SPDX-License-Identifier: Apache-2.0
"""From which side an image was taken, in words, codes and orientations of many makers.

Each row: attributes of the header -> the kind of view that is refused, or frontal.
"""

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_radiograph
from monai_cxr_cf.dicom.reading.view import sideways
from monai_cxr_cf.dicom.reading.view_words import named
from monai_cxr_cf.errors import UnsupportedImage
from tests.dicom.factory import Spec, build, code, save

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")
CR = Spec(sop="CR")


def coded(value: str, meaning: str, scheme: str = "SCT") -> dict[str, Any]:
    """A view by its code alone."""
    return {"ViewPosition": None, "ViewCodeSequence": code(value, scheme, meaning)}


def described(**text: Any) -> dict[str, Any]:
    """A header without a view, but for what its descriptions say."""
    return {"ViewPosition": None, **text}


def modified(value: str) -> dict[str, Any]:
    """A patient whose position is coded as recumbent, more closely by ``value``."""
    posture = code("102538003", "SCT", "recumbent")
    posture[0].PatientOrientationModifierCodeSequence = code(value, "SCT", "x")
    return {"PatientOrientationCodeSequence": posture}


POSITIONS = {
    "lateral": [
        *("LL", "RL", "lat", "Lat", "LAT-L", "LAT R", "LATERAL", "laterale", "LT LAT", "R LATERAL"),
        *("LEFT_LATERAL", "LATERAL/LEFT", "TRUE LATERAL", "CHEST LAT", "LAT CHEST", "LL STAND"),
        *("CROSS TABLE LAT", "X-TABLE LAT", "LATERO LATERAL", "MEDIO-LATERAL", "ML", "LM"),
        *("seitlich", "SEITL.", "profil", "DE PROFIL", "Perfil", "LAT IZQ", "profilo", "BOCZNE"),
        *("боковая", "側面", "側位", "LLAT", "RLAT"),
    ],
    "oblique": [
        *("RAO", "LPO", "LLO", "RLO", "OBL", "L OBL", "oblique", "PA OBLIQUE", "OBLICUA", "MLO"),
        *("schräg", "schraeg", "SWIMMER'S", "OBLIQUA", "LAO 45", "AP OBL", "斜位"),
    ],
    "decubitus": [
        *("LLD", "RLD", "DECUB", "LT DECUB", "L LAT DECUB", "LATERAL DECUBITUS", "AP LLD"),
        *("RIGHT DECUBITUS", "DECUBITUS LT", "Seitenlage", "R-DECUB"),
    ],
    "": [
        *("PA", "AP", "ap", "P.A.", "AP SUPINE", "AP ERECT", "FRONTAL", "POSTERO-ANTERIOR", ""),
        *("DV", "AP/PA", "LORDOTIC", "DÉCUBITUS DORSAL", "DECUBITO SUPINO", "SUPINE", "PORTABLE"),
        *("BILATERAL", "BI-LATERAL", "PA BILATERAL", "COLLATERAL", "LATE", "LATITUDE", "STD"),
    ],
}  # fmt: skip
CASES: list[tuple[str, dict[str, Any]]] = [
    *((kind, {"ViewPosition": word}) for kind, words in POSITIONS.items() for word in words),
    ("lateral", {"ViewPosition": ["PA", "LAT"]}),
    ("lateral", {"ViewPosition": ["LL", ""]}),
    # codes, known and local
    ("lateral", coded("399067008", "lateral")),
    ("lateral", coded("R-10236", "x", "SRT")),
    ("lateral", coded("R-10228", "x", "SRT")),
    ("lateral", coded("399260004", "medial-lateral")),
    ("lateral", coded("XR7", "Thorax seitlich", "99OURS")),
    ("lateral", coded("LAT", "Chest", "L")),
    ("lateral", coded("", "vue de profil")),
    ("oblique", coded("399135007", "left anterior oblique")),
    ("oblique", coded("R-40985", "x", "SRT")),
    ("oblique", coded("R-102C1", "oblique", "SNM3")),
    ("oblique", coded("17", "proyección oblicua", "99OURS")),
    ("decubitus", modified("102536004")),
    ("decubitus", modified("102535000")),
    ("", modified("40199007")),  # supine
    ("", coded("272479007", "postero-anterior")),
    ("", coded("272479007", "said to be lateral")),  # a known code says more than its words
    ("", coded("399348003", "antero-posterior")),
    ("", coded("399033003", "frontal")),
    ("", coded("17", "view 2", "99OURS")),
    # directions of rows and columns
    ("lateral", {"PatientOrientation": ["A", "F"]}),
    ("lateral", {"PatientOrientation": ["P", "F"]}),
    ("lateral", {"PatientOrientation": ["F", "A"]}),
    ("lateral", {"PatientOrientation": ["PL", "F"]}),
    ("lateral", {"PatientOrientation": ["Anterior", "Foot"], "ViewPosition": None}),
    ("", {"PatientOrientation": ["L", "F"], "ViewPosition": None}),
    ("", {"PatientOrientation": ["LP", "FA"], "ViewPosition": None}),
    ("", {"PatientOrientation": "", "ViewPosition": None}),
    # words of the series, where the image itself says nothing
    ("lateral", described(SeriesDescription="Chest Lat")),
    ("lateral", described(SeriesDescription="Thorax LL")),
    ("lateral", described(SeriesDescription="Rx torace latero-laterale")),
    ("lateral", described(SeriesDescription="Rx tórax perfil")),
    ("lateral", described(SeriesDescription="RP thorax profil gauche")),
    ("lateral", described(SeriesDescription="Thoraxaufnahme im seitlichen Strahlengang")),
    ("lateral", described(SeriesDescription="CHEST_LATERAL_LEFT_ADULT")),
    ("lateral", described(SeriesDescription="胸部側面")),
    ("lateral", described(ProtocolName="2: Chest lat. upright")),
    ("lateral", described(BodyPartExamined="CHEST LAT")),
    ("lateral", described(AcquisitionDeviceProcessingDescription="CHEST,LAT")),
    ("lateral", described(AcquisitionProtocolDescription="Latéral")),
    ("lateral", described(PerformedProcedureStepDescription="XR chest lateral only")),
    ("lateral", described(StudyDescription="Chest, lateral")),
    ("lateral", described(RequestedProcedureDescription="Rx tórax lateral")),
    ("lateral", described(ProcedureCodeSequence=code("1", "99OURS", "Chest lateral view"))),
    ("lateral", described(SeriesDescription="Chest lateral", StudyDescription="PA and lateral")),
    ("oblique", described(SeriesDescription="Rippen schräg links")),
    ("oblique", described(ProtocolName="CHEST RAO")),
    ("decubitus", described(SeriesDescription="CXR left lateral decubitus")),
    ("", described(SeriesDescription="Chest PA", StudyDescription="Chest lateral")),
    ("", described(SeriesDescription="Chest PA and lateral")),
    ("", described(StudyDescription="CHEST (PA AND LAT)")),
    ("", described(StudyDescription="Thorax in 2 Ebenen p.a. und seitlich")),
    ("", described(StudyDescription="Chest 2 views")),
    ("", {"SeriesDescription": "Chest lateral"}),  # ViewPosition PA: the image's own tag wins
    ("", {"StudyDescription": "Chest lateral"}),
    # words that only look like it
    ("", described(SeriesDescription="Dilated oesophagus")),
    ("", described(SeriesDescription="Laterality marker checked")),
    ("", described(SeriesDescription="Bilateral effusions, contralateral shift")),
    ("", described(SeriesDescription="ipsi-lateral plate atelectasis, LATEX allergy")),
    ("", described(SeriesDescription="Chest without lateral")),
    ("", described(SeriesDescription="Thorax ohne seitliche Aufnahme")),
    ("", described(SeriesDescription="Tórax sin lateral")),
    ("", described(AcquisitionDeviceProcessingDescription="Profil 3")),
    ("", described(SeriesDescription="Late follow-up, plain film, slate, template")),
    ("", described(ProtocolName="LLL nodule")),
    ("", described(StudyDescription="RL and LL swollen")),  # two letters count in a series alone
    ("", described(ImageComments="lateral rib fracture")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields"), CASES, ids=range(len(CASES)))
def test_the_view_is_told_from_what_the_header_says(kind: str, fields: dict[str, Any]) -> None:
    found = sideways(build(CR.with_(**fields)))
    assert ("" if found is None else found.kind) == kind, fields


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ViewPosition": "LAT"}, "The view is lateral by ViewPosition; expected a frontal view"),
        ({"ViewPosition": "LAO"}, "The view is oblique by ViewPosition; expected a frontal view"),
        ({"ViewPosition": "LLD"}, "The view is a decubitus by ViewPosition; expected a frontal"),
        (coded("399173006", "left lateral"), "is lateral by ViewCodeSequence"),
        ({"PatientOrientation": ["A", "F"]}, "is lateral by PatientOrientation"),
        (described(SeriesDescription="Thorax seitlich"), "is lateral by SeriesDescription"),
        (described(StudyDescription="Rx tórax perfil"), "is lateral by StudyDescription"),
    ],
)
def test_the_refusal_names_the_attribute_and_the_way_out(
    fields: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "a.dcm", CR.with_(**fields))
    with pytest.raises(UnsupportedImage) as refused:
        read_radiograph(path)
    assert words in refused.value.message
    assert refused.value.code == "lateral"
    assert "--allow-lateral" in str(refused.value)
    passed = dict(read_radiograph(path, options=ReadOptions(allow_lateral=True)).warnings)
    assert "organs and regions are made for frontal views" in passed["lateral"]


@pytest.mark.parametrize(
    ("fields", "keyword"),
    [
        ({"SeriesDescription": "Chest lateral"}, "SeriesDescription"),
        ({"StudyDescription": "Thorax seitlich"}, "StudyDescription"),
        ({"SeriesDescription": "CHEST (PA AND LAT)"}, ""),
        (described(StudyDescription="CHEST (PA AND LAT)"), "StudyDescription"),
        (described(ProtocolName="Chest PA/LAT"), "ProtocolName"),
        (described(StudyDescription="Chest 2 views"), ""),
    ],
)
def test_words_that_leave_room_for_doubt_are_a_warning(
    fields: dict[str, Any], keyword: str, tmp_path: Path
) -> None:
    told = dict(read_radiograph(save(tmp_path / "a.dcm", CR.with_(**fields))).warnings)
    expected = f"{keyword} names another view too: check that this is the frontal image."
    assert told.get("view_words", "") == (expected if keyword else "")


def test_a_description_that_cannot_be_parsed_says_nothing() -> None:
    ds = Dataset()
    ds.add_new("SeriesDescription", "US", 7)
    ds.add_new("ProcedureCodeSequence", "LO", "lateral")
    assert sideways(ds) is None


def test_accents_case_and_points_do_not_matter() -> None:
    assert named("Latérale") == named("LATERALE") == named("lat.") == {"lateral"}
    assert named("p. a.") == named("P.A. stehend") == named("PA") == {"frontal"}
    assert named("Schrägaufnahme") == {"oblique"}
    assert named("") == set()
