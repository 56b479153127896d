# SPDX-License-Identifier: Apache-2.0
"""Header -> warnings: what is legal, yet worth knowing (docs/dicom-conformance.md 3.3)."""

from collections.abc import Callable

from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.reading.identity import SC, Note, names_body_part
from monai_cxr_cf.dicom.reading.matrix import Matrix
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.transfer import LOSSY_SYNTAXES, Syntax
from monai_cxr_cf.dicom.reading.view import sideways, view_of, words_against
from monai_cxr_cf.dicom.spacing import Spacing, unusable_spacings
from monai_cxr_cf.dicom.values import items, raw_value, text

_WIDEST = 1.6  # longer over shorter side
_EXPECTED = (  # type 1 and 2 attributes that CR, DX and SC share
    "Modality",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "SeriesNumber",
    "InstanceNumber",
)


def header_notes(ds: Dataset, syntax: Syntax, options: ReadOptions) -> list[Note]:
    """Warnings about identity, view, window and origin, in a fixed order."""
    checks: tuple[Callable[[Dataset], Note | None], ...] = (
        _view,
        _view_words,
        _body_part,
        _spacing,
        _overlays,
        _secondary,
        _missing,
    )
    notes = [note for check in checks if (note := check(ds)) is not None]
    if syntax.uid in LOSSY_SYNTAXES or _says_lossy(ds):
        notes.append(("lossy_source", "The source has been compressed with loss."))
    return notes + _voi(ds, options)


def geometry_notes(spacing: Spacing, matrix: Matrix) -> list[Note]:
    """Warnings about spacing and shape."""
    notes: list[Note] = []
    if spacing.physical is None and spacing.display is None:
        notes.append(("no_spacing", "No usable pixel spacing: no length in mm is reported."))
    if spacing.anisotropic:
        notes.append(("anisotropic_pixels", "Rows and columns are spaced differently."))
    row, column = spacing.physical or spacing.display or (1.0, 1.0)
    ratio = (matrix.rows * row) / (matrix.columns * column)
    if max(ratio, 1 / ratio) > _WIDEST:
        notes.append(("aspect", f"The sides differ by more than 1:{_WIDEST}; check the crop."))
    return notes


def polarity_notes(ds: Dataset, options: ReadOptions) -> list[Note]:
    """Warnings about inversion."""
    if options.polarity is not None:
        return [("polarity_overruled", f"Polarity taken from --polarity {options.polarity}.")]
    if text(ds, "PhotometricInterpretation") == "MONOCHROME1":
        return [("monochrome1", "MONOCHROME1: inverted once, so that bright is dense.")]
    return []


def _view(ds: Dataset) -> Note | None:
    view = view_of(ds)
    if not view:
        return "no_view_position", "No ViewPosition: taken as a frontal view."
    if view == "AP":
        return "view_ap", "AP view: the heart appears larger than on PA."
    return None if view == "PA" else ("view_unusual", "The view is neither PA nor AP.")


def _view_words(ds: Dataset) -> Note | None:
    if sideways(ds) is not None or not (keyword := words_against(ds)):
        return None
    return "view_words", f"{keyword} names another view too: check that this is the frontal image."


def _body_part(ds: Dataset) -> Note | None:
    if names_body_part(ds):
        return None
    return "no_body_part", "No BodyPartExamined: taken as a chest."


def _says_lossy(ds: Dataset) -> bool:
    return text(ds, "LossyImageCompression") in ("01", "1", "YES", "Y", "TRUE")


def _spacing(ds: Dataset) -> Note | None:
    if not (lost := unusable_spacings(ds)):
        return None
    return "unusable_spacing", f"No usable numbers, counted as absent: {', '.join(lost)}."


def _overlays(ds: Dataset) -> Note | None:
    if any(0x6000 <= element.tag.group <= 0x60FF for element in ds.elements()):
        return "overlays", "The source carries overlays; they are ignored."
    return None


def _secondary(ds: Dataset) -> Note | None:
    if str(ds.SOPClassUID) != SC:
        return None
    return "sc_source", "Secondary Capture source: an exported picture or a scanned film."


def _missing(ds: Dataset) -> Note | None:
    missing = [name for name in _EXPECTED if name not in ds]
    if "Modality" in ds and raw_value(ds, "Modality") is None:
        missing.insert(0, "Modality")  # type 1: present is not enough
    if not missing:
        return None
    return "missing_attributes", f"Type 1 or 2 attributes are missing: {', '.join(missing)}."


def _voi(ds: Dataset, options: ReadOptions) -> list[Note]:
    if options.ignore_voi:
        return [("voi_ignored", "The file's VOI is ignored (--ignore-voi).")]
    count = len(items(ds, "VOILUTSequence"))
    if not count:
        value = raw_value(ds, "WindowCenter")
        many = hasattr(value, "__len__") and not isinstance(value, str)
        count = 0 if value is None else len(value) if many else 1
    if count == 0:
        return [("no_voi", "No window in the file: a percentile window of ours is used.")]
    if count > 1:
        return [("several_windows", f"The file has {count} windows; the first is used.")]
    return []
