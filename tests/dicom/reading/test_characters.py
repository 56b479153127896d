# SPDX-License-Identifier: Apache-2.0
"""Character sets that are missing, unknown or untrue: names survive, UTF-8 is written, all said."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from monai_cxr_cf.dicom.reading.characters import declared_legally
from monai_cxr_cf.dicom.reading.read import read_radiograph
from tests.dicom.factory import Spec, build, save
from tests.dicom.peers import dciodvfy_errors
from tests.dicom.rawfile import save_raw
from tests.dicom.written import case_of, plan_of, write_everything

CR = Spec(sop="CR")
ONEIL = "O\u2019Neil^A"
JURGEN = "Müller^Jürgen"
# declared (None: not at all), bytes of the name, the name as read; empty words: no warning
SETS: dict[str, tuple[bytes | None, bytes, str, str]] = {
    "missing, plain": (None, b"Doe^Jane", "Doe^Jane", ""),
    "missing, UTF-8": (None, JURGEN.encode(), JURGEN, "missing: text is read as UTF-8"),
    "missing, Latin-1": (None, JURGEN.encode("latin_1"), JURGEN, "missing: text is read as Wind"),
    "missing, Windows": (None, ONEIL.encode("cp1252"), ONEIL, "read as Windows Latin-1"),
    "empty, UTF-8": (b"", "中文".encode(), "中文", "missing: text is read as UTF-8"),
    "ASCII declared": (
        b"ISO_IR 6", JURGEN.encode(), JURGEN, "not that of the text: text is read as UTF-8"),
    "unknown, plain": (b"ISO_IR 999", b"Doe^Jane", "Doe^Jane", "unknown: text is written as UTF-8"),
    "unknown, UTF-8": (b"OTHER", JURGEN.encode(), JURGEN, "unknown: text is read as UTF-8"),
    "hyphen": (b"ISO-IR 100", JURGEN.encode("latin_1"), JURGEN, "unknown: text is read as"),
    "a name of Python": (b"UTF-8", JURGEN.encode(), JURGEN, "unknown: text is read as declared"),
    "lower case": (b"iso_ir 192", JURGEN.encode(), JURGEN, "unknown: text is read as UTF-8"),
    "UTF-8 declared, Latin-1": (
        b"ISO_IR 192", JURGEN.encode("latin_1"), JURGEN, "not that of the text: text is read as W"),
    "Latin-1 declared, Windows": (
        b"ISO_IR 100", ONEIL.encode("cp1252"), ONEIL, "not that of the text"),
    "Latin-1": (b"ISO_IR 100", JURGEN.encode("latin_1"), JURGEN, ""),
    "UTF-8": (b"ISO_IR 192", "中文^名".encode(), "中文^名", ""),
    "Chinese": (b"GB18030", "中文".encode("gb18030"), "中文", ""),
    "Cyrillic": (b"ISO_IR 144", "Иванов".encode("iso8859_5"), "Иванов", ""),
    "two that stand alone": (
        b"ISO_IR 192\\ISO_IR 100", "中文".encode(), "中文", "unknown: text is read as declared"),
    "Japanese": (
        b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
        "Yamada^Tarou=山田^太郎", ""),
    "rubbish": (b"\xff\xfe", JURGEN.encode(), JURGEN, "unknown: text is read as UTF-8"),
    "bytes of no set": (b"ISO_IR 192", b"A\x81\xffB", "A\x81ÿB", "read as Latin-1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SETS)
def test_a_name_survives_and_what_is_written_is_declared(kind: str, tmp_path: Path) -> None:
    declared, name, expected, words = SETS[kind]
    values = {"PatientName": name, "StudyDescription": b"a " + name.replace(b"=", b" ")}
    spec = CR.with_(SpecificCharacterSet=None)
    if declared:
        values["SpecificCharacterSet"] = declared
    path = save_raw(tmp_path / "source.dcm", spec, values)
    case = case_of(path)
    told = dict(case.radiograph.warnings).get("character_set", "")
    assert (words in told) if words else not told
    assert str(case.radiograph.header.PatientName) == expected
    files = write_everything(plan_of(case), case, tmp_path / "out")
    for file in (file for file in files if file.sop_uid):
        ds = dcmread(file.path)
        assert str(ds.PatientName) == expected.replace("\x81", " ")
        if words:
            assert ds.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.conformance
def test_no_file_has_an_error_whatever_set_its_source_claims(tmp_path: Path) -> None:
    for number, (declared, name, _, _) in enumerate(SETS.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        values = {"PatientName": name, **({"SpecificCharacterSet": declared} if declared else {})}
        spec = CR.with_(SpecificCharacterSet=None)
        case = case_of(save_raw(folder / "source.dcm", spec, values))
        files = write_everything(plan_of(case), case, folder / "out")
        assert not [e for f in files if f.sop_uid for e in dciodvfy_errors(f.path)], declared


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_text_is_read_alike_in_every_native_encoding(syntax: str, tmp_path: Path) -> None:
    ds = build(CR.with_(PatientName=JURGEN, SpecificCharacterSet="ISO_IR 192"))
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    ds.file_meta.TransferSyntaxUID = syntax
    path = tmp_path / "a.dcm"
    dcmwrite(path, ds, enforce_file_format=True)
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 192", b"ISO_IR 777"))
    radiograph = read_radiograph(path)
    assert str(radiograph.header.PatientName) == JURGEN
    assert radiograph.header.SpecificCharacterSet == "ISO_IR 192"


def test_an_item_with_a_set_of_its_own_is_read_by_it(tmp_path: Path) -> None:
    from tests.dicom.factory import code

    item = code("1", "99OURS", "x")
    item[0].SpecificCharacterSet = "ISO_IR 100"
    item[0].CodeMeaning = "Übersicht"
    path = save(tmp_path / "a.dcm", CR.with_(ProcedureCodeSequence=item, PatientName=JURGEN))
    radiograph = read_radiograph(path)
    assert radiograph.header.ProcedureCodeSequence[0].CodeMeaning == "Übersicht"
    assert str(radiograph.header.PatientName) == JURGEN
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"ISO_IR 777"))
    radiograph = read_radiograph(path)
    assert radiograph.header.ProcedureCodeSequence[0].CodeMeaning == "Übersicht"
    assert "unknown" in dict(radiograph.warnings)["character_set"]


def test_sets_are_legal_as_the_standard_combines_them() -> None:
    for values in ([""], ["ISO_IR 100"], ["GBK"], ["", "ISO 2022 IR 87"],
                   ["ISO 2022 IR 6", "ISO 2022 IR 149", "ISO 2022 IR 58"]):  # fmt: skip
        assert declared_legally(values), values
    for values in (["ISO_IR 1"], ["ISO_IR 100", "ISO_IR 101"], ["GBK", "ISO 2022 IR 6"],
                   ["iso_ir 100"], ["ISO 2022 IR 6", ""]):  # fmt: skip
        assert not declared_legally(values), values
