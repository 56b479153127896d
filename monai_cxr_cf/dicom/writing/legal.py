# SPDX-License-Identifier: Apache-2.0
"""One value of a header -> the legal value that says the same, or None if there is none.

Rules of PS3.5 6.2 by value representation, and the closed lists of PS3.3 for attributes that an
output inherits. ``repair`` applies them to a data set.
"""

import math
import re
from collections.abc import Callable
from datetime import date

from pydicom.valuerep import format_number_as_ds

from monai_cxr_cf.dicom.values import finite
from monai_cxr_cf.dicom.writing.fileio import clip

_SURROGATES = re.compile("[\ud800-\udfff]")
_C1 = re.compile("[\x80-\x9f]")
_LONG_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
LENGTHS = {"LO": 64, "SH": 16, "ST": 1024, "LT": 10240, "UC": 2**20, "UT": 2**20}
IDENTIFIERS = frozenset(
    {
        *("PatientID", "AccessionNumber", "StudyID", "AdmissionID", "IssuerOfPatientID"),
        *("CodeValue", "CodingSchemeDesignator", "LocalNamespaceEntityID", "UniversalEntityID"),
    }
)
"""Half of one names another patient, study or concept: they are kept whole or not at all."""

_YES_NO = {"YES": "YES", "NO": "NO", "Y": "YES", "N": "NO", "TRUE": "YES", "FALSE": "NO"}
_BITS = {"00": "00", "01": "01", "0": "00", "1": "01", **{k: f"0{int(v == 'YES')}" for k, v in
         _YES_NO.items()}}  # fmt: skip


def _only(*terms: str) -> dict[str, str]:
    return {term: term for term in terms}


CLOSED: dict[str, dict[str, str]] = {
    "PatientSex": {**_only("M", "F", "O"), "MALE": "M", "FEMALE": "F", "OTHER": "O"},
    "PatientSexNeutered": _only("ALTERED", "UNALTERED"),
    "PatientIdentityRemoved": _YES_NO,
    "BurnedInAnnotation": _YES_NO,
    "RecognizableVisualFeatures": _YES_NO,
    "QualityControlImage": _YES_NO,
    "LossyImageCompression": _BITS,
    "LongitudinalTemporalInformationModified": _only("UNMODIFIED", "MODIFIED", "REMOVED"),
    "Laterality": {**_only("L", "R"), "LEFT": "L", "RIGHT": "R"},
    "ImageLaterality": {**_only("L", "R", "U", "B"), "LEFT": "L", "RIGHT": "R", "BOTH": "B"},
    "PresentationLUTShape": _only("IDENTITY", "INVERSE"),
    "PixelSpacingCalibrationType": _only("GEOMETRY", "FIDUCIAL"),
    "TypeOfPatientID": _only("TEXT", "RFID", "BARCODE"),
    "VOILUTFunction": _only("LINEAR", "LINEAR_EXACT", "SIGMOID"),
    "UniversalEntityIDType": _only("DNS", "EUI64", "ISO", "URI", "UUID", "X400", "X500"),
    "PixelIntensityRelationship": _only("LIN", "LOG"),
    "PresentationIntentType": _only("FOR PRESENTATION", "FOR PROCESSING"),
    "SpatialLocationsPreserved": _only("YES", "NO", "REORIENTED_ONLY"),
}
"""Enumerated values, and the words for them that are found instead."""
_DIRECTIONS = re.compile(r"(?!.*([LR].*[LR]|[AP].*[AP]|[HF].*[HF]))[LRAPHF]{1,3}")


def legal(vr: str, keyword: str, value: str) -> str | None:
    """The value written as DICOM wants it; None if that cannot be.

    Args:
        vr: the value representation that the attribute has by the dictionary.
        keyword: the attribute, for its closed list.
        value: one value, decoded.
    """
    written = _SURROGATES.sub("", value)
    if not written.strip(" \0"):
        return ""
    if keyword in CLOSED:
        return CLOSED[keyword].get(written.strip(" \0").upper())
    if keyword == "PatientOrientation":
        letters = written.strip(" \0").upper()
        return letters if _DIRECTIONS.fullmatch(letters) else None
    if keyword == "TimezoneOffsetFromUTC":
        return _zone(written.strip(" \0"))
    if vr in LENGTHS:
        return _text(vr, keyword, written)
    rule = _RULES.get(vr)
    return written if rule is None else rule(written.strip(" \0"))


def _text(vr: str, keyword: str, text: str) -> str | None:
    text, most = _C1.sub(" ", text), LENGTHS[vr]
    if vr in ("ST", "LT", "UT"):
        text = _LONG_CONTROLS.sub(" ", text).strip()
        return text if len(text) <= most else text[: most - 3] + "..."
    line = clip(text, 10 * most)
    if len(line) > most:
        return None if keyword in IDENTIFIERS else clip(line, most)
    return line


def _name(text: str) -> str:
    """At most three groups of at most five components and 64 characters."""
    groups = [clip(_C1.sub(" ", group), 10**6) for group in text.split("=")[:3]]
    shorter = []
    for group in groups:
        parts = group.split("^")
        whole = "^".join([*parts[:4], " ".join(filter(None, parts[4:]))]).rstrip("^ ")
        shorter.append(whole[:64].rstrip("^ "))
    return "=".join(shorter).rstrip("=")


def _code(text: str) -> str | None:
    return text.upper() if re.fullmatch(r"[A-Z0-9 _]{1,16}", text.upper()) else None


def _decimal(text: str) -> str | None:
    number = finite(text)
    if math.isnan(number):
        return None
    return text if len(text) <= 16 else str(format_number_as_ds(number))


def _integer(text: str) -> str | None:
    number = finite(text)
    if not number.is_integer() or not -(2**31) <= number < 2**31:
        return None
    return text if re.fullmatch(r"[+-]?[0-9]{1,11}", text) else str(int(number))


def _day(text: str) -> str | None:
    """YYYYMMDD; also from the older 2026.01.31 and from ISO 8601, which cannot be mistaken."""
    found = re.fullmatch(r"([0-9]{4})([.\-/]?)([0-9]{2})\2([0-9]{2})", text)
    if found is None:
        return None
    try:
        day = date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:
        return None
    return f"{day.year:04d}{day.month:02d}{day.day:02d}"


def _time(text: str) -> str | None:
    """HHMMSS.FFFFFF; also from the older 10:11:12. A leap second is the second before."""
    found = re.fullmatch(
        r"([01][0-9]|2[0-3])(?::?([0-5][0-9])(?::?([0-5][0-9]|60)(?:[.,]([0-9]+))?)?)?", text
    )
    if found is None:
        return None
    hour, minute, second, share = found.groups()
    second = "59" if second == "60" else second
    return f"{hour}{minute or ''}{second or ''}" + (f".{share[:6]}" if share else "")


def _moment(text: str) -> str | None:
    found = re.fullmatch(r"([0-9]{4})([0-9]{2})?([0-9]{2})?([0-9.]*)([+-][0-9]{4})?", text)
    if found is None:
        return None
    year, month, day, clock, zone = found.groups()
    whole = _day(f"{year}{month or '01'}{day or '01'}") is not None
    if not whole or (clock and (not day or _time(clock) != clock)) or not _zone(zone or "+0000"):
        return None
    return text


def _zone(text: str) -> str | None:
    found = re.fullmatch(r"([+-])([01][0-9])([0-5][0-9])", text)
    return text if found and text != "-0000" and int(found[2] + found[3]) <= 1400 else None


def _age(text: str) -> str | None:
    """062Y; also from 62Y. A bare 62 may be years, months or days."""
    found = re.fullmatch(r"0*([0-9]{1,3})\s*([DWMY])", text.upper())
    return f"{int(found[1]):03d}{found[2]}" if found else None


def _identifier(text: str) -> str | None:
    form = r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*"
    return text if len(text) <= 64 and re.fullmatch(form, text) else None


def _title(text: str) -> str | None:
    return text if re.fullmatch(r"[\x20-\x5b\x5d-\x7e]{1,16}", text) else None


def _address(text: str) -> str | None:
    return text if re.fullmatch(r"[!-\[\]-~]+", text) else None


_RULES: dict[str, Callable[[str], str | None]] = {
    "AE": _title, "AS": _age, "CS": _code, "DA": _day, "DS": _decimal, "DT": _moment,
    "IS": _integer, "PN": _name, "TM": _time, "UI": _identifier, "UR": _address,
}  # fmt: skip
