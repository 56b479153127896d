# SPDX-License-Identifier: Apache-2.0
"""Header policy: from the source's header to the part of it that is still true of an output.

Step one of every writer. In: the radiograph (its header without pixels). Out: a new dataset with
patient and study, and for images also geometry, VOI and grey scale. Marking, identifiers and pixels
come after (docs/dicom-conformance.md 4.1).
"""

from collections.abc import Iterable
from copy import deepcopy

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import format_number_as_ds

from monai_cxr_cf.dicom import codes
from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.identity import DX
from monai_cxr_cf.dicom.reading.lut import fits
from monai_cxr_cf.dicom.reading.transfer import LOSSY_SYNTAXES
from monai_cxr_cf.dicom.spacing import SC_CLASS, SPACINGS, usable_pair
from monai_cxr_cf.dicom.values import items
from monai_cxr_cf.dicom.writing import policy
from monai_cxr_cf.dicom.writing.repair import Repairs, repair
from monai_cxr_cf.dicom.writing.uids import stable_uid

LUTS = ("VOILUTSequence", "ModalityLUTSequence")
UTF8 = "ISO_IR 192"
_CALIBRATION = ("PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription")
_INHERITED = frozenset(
    {
        *(*policy.PATIENT, *policy.STUDY, *policy.IMAGE, *policy.EQUIPMENT, *SPACINGS),
        *(*_CALIBRATION, "SeriesNumber", "ContentDate", "ContentTime"),
    }
)
_JPEG = "1.2.840.10008.1.2.4."
_METHODS = {f"{_JPEG}50": "ISO_10918_1", f"{_JPEG}81": "ISO_14495_1", f"{_JPEG}91": "ISO_15444_1"}


def source_header(radiograph: Radiograph, *, everything: bool = False) -> tuple[Dataset, Repairs]:
    """A cleaned copy of the header, without private elements, text decoded, values legal.

    A raster has no header: it gets a study of its own, made from its pixels, and no patient.

    Args:
        radiograph: the source.
        everything: all of the header will be copied (``for_same_iod``), so all of it is looked at.

    Returns:
        The header, and the keywords of attributes whose illegal values were left out or rewritten.
    """
    if radiograph.header is None:
        return _raster_header(radiograph), Repairs()
    with withheld():
        clean = _without_private(radiograph.header)
        clean.decode()
        _admit_loss(clean, str(radiograph.header.file_meta.TransferSyntaxUID))
    misfit = _without_misfit_luts(clean)
    done = repair(clean, _of_derived if everything else _of_capture)
    _say_how_identity_was_removed(clean)
    done.lost[:0] = misfit
    return clean, done


def _of_capture(keyword: str) -> bool:
    """Whether a Secondary Capture, its masks and its report make use of an attribute."""
    return keyword in _INHERITED


def _of_derived(keyword: str) -> bool:
    """Whether a derived CR or DX makes use of an attribute."""
    return keyword in _INHERITED or keyword not in policy.UNTRUE


def _say_how_identity_was_removed(clean: Dataset) -> None:
    """PatientIdentityRemoved YES needs a method (type 1C): say that none is stated."""
    methods = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")
    if clean.get("PatientIdentityRemoved") == "YES" and not any(map(clean.get, methods)):
        clean.pop("DeidentificationMethodCodeSequence", None)
        clean.DeidentificationMethod = "Not stated by the source"


def patient_and_study(header: Dataset) -> Dataset:
    """Patient, study and character set; type 2 attributes the source lacks are empty."""
    out = Dataset()
    copy_elements(header, out, ("SpecificCharacterSet", *policy.PATIENT, *policy.STUDY))
    _without_empty(out)
    for keyword in policy.TYPE_2:
        if keyword not in out:
            setattr(out, keyword, None)
    return out


def for_secondary_capture(header: Dataset) -> Dataset:
    """What a Secondary Capture inherits: patient, study, view, geometry, grey scale."""
    out = patient_and_study(header)
    copy_elements(header, out, policy.IMAGE)
    _without_empty(out)
    if not out.get("Modality"):
        out.Modality = "OT"
    _laterality(out)
    if "PatientOrientation" not in out:
        out.PatientOrientation = None
    _capture_spacing(header, out)
    _rescale(out)
    _sixteen_bit_luts(out)
    return out


def _laterality(out: Dataset) -> None:
    """Laterality is type 2C: there for a paired part, perhaps empty, and for no other.

    Whatever is not in the list of unpaired parts counts as paired: THORAX, CHEST PA, UNKNOWN.
    """
    if not out.get("BodyPartExamined"):
        out.BodyPartExamined = "CHEST"
    if out.BodyPartExamined in policy.UNPAIRED:
        out.pop("Laterality", None)
    elif "Laterality" not in out:
        out.Laterality = None


def for_same_iod(header: Dataset) -> Dataset:
    """What a derived CR or DX inherits: everything but what would now be untrue."""
    out = Dataset()
    with withheld():
        for element in header:
            group = element.tag.group
            if not (0x5000 <= group <= 0x50FF or 0x6000 <= group <= 0x60FF or group >= 0x7FE0):
                out.add(deepcopy(element))
        for keyword in policy.UNTRUE:
            out.pop(keyword, None)
    for keyword in policy.TYPE_2:
        if keyword not in out:
            setattr(out, keyword, None)
    for keyword in SPACINGS:
        if keyword in out and usable_pair(out, keyword) is None:
            del out[keyword]
    if not out.get("DeidentificationMethod"):
        out.pop("DeidentificationMethod", None)
    digital = header.SOPClassUID == DX
    if not out.get("Modality"):
        out.Modality = "DX" if digital else "CR"
    if digital and "AnatomicRegionSequence" not in out:
        chest = "CHEST" in str(out.get("BodyPartExamined"))
        out.AnatomicRegionSequence = Sequence([codes.CHEST.item()] if chest else [])  # type 2
    return out


def declare_characters(ds: Dataset, unicode: bool) -> Dataset:
    """Declare UTF-8 where our own text needs it; else the source's set and bytes stay."""
    if unicode:
        ds.SpecificCharacterSet = UTF8
    return ds


def _admit_loss(clean: Dataset, syntax: str) -> None:
    """A lossy source that does not say so: its pixels never get better, so the output says it."""
    if syntax in LOSSY_SYNTAXES and clean.get("LossyImageCompression") != "01":
        clean.LossyImageCompression = "01"
        clean.LossyImageCompressionMethod = _METHODS[syntax]


def _raster_header(radiograph: Radiograph) -> Dataset:
    """The least a file needs: no patient data, a study and a series made from the pixels."""
    ds = Dataset()
    ds.SOPClassUID = SC_CLASS
    ds.SOPInstanceUID = radiograph.source_sop_uid
    ds.StudyInstanceUID = stable_uid("raster study", radiograph.sha256)
    ds.SeriesInstanceUID = stable_uid("raster series", radiograph.sha256)
    ds.Modality = "OT"
    ds.SeriesNumber = None
    return ds


def _without_private(source: Dataset) -> Dataset:
    """A deep copy without private elements at any depth."""
    out = Dataset()
    for element in source:
        if element.tag.is_private or element.tag.group < 8 or element.tag.element == 0:
            continue  # neither what is of a file meta group nor what is the length of a group
        value = element.value
        if element.VR == "SQ":
            value = Sequence([_without_private(item) for item in value])
        out.add_new(element.tag, element.VR, value)
    return out


def _without_misfit_luts(clean: Dataset) -> list[str]:
    """Delete lookup tables that do not fit their descriptor: the reader judged the first alone."""
    lost = []
    for keyword in LUTS:
        found = items(clean, keyword)
        whole = [item for item in found if fits(item)]
        if len(whole) < len(found):
            lost.append(keyword)
            setattr(clean, keyword, Sequence(whole))
            if not whole:
                del clean[keyword]
    return lost


def _without_empty(out: Dataset) -> None:
    """Drop what is there and empty, nested too, but for type 2: optional means filled or absent.

    Such as ViewModifierCodeSequence: type 2 in a DX, 1-n items in an SC.
    """
    for element in list(out):
        if element.VR == "SQ":
            for item in element.value:
                for inner in [e for e in item if e.is_empty]:
                    del item[inner.tag]
        if element.is_empty and element.keyword not in (*policy.TYPE_2, "PatientOrientation"):
            del out[element.tag]


def copy_elements(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy what ``source`` has of ``keywords``.

    Deep copies: setting a value later changes the element itself, so a shared one would change
    the source.
    """
    with withheld():
        for keyword in keywords:
            if keyword in source:
                target.add(deepcopy(source[keyword]))


def _capture_spacing(header: Dataset, out: Dataset) -> None:
    """Spacing of an SC: the type of calibration travels with the value."""
    imager = usable_pair(header, "ImagerPixelSpacing")
    pixel = usable_pair(header, "PixelSpacing")
    nominal = usable_pair(header, "NominalScannedPixelSpacing") or imager
    if pixel is not None and header.get("PixelSpacingCalibrationType"):
        copy_elements(header, out, ("PixelSpacing", *_CALIBRATION))
    elif imager is not None:
        out.PixelSpacing = _as_ds(imager)
    elif pixel is not None:
        out.PixelSpacing = _as_ds(pixel)
    if nominal is not None:
        out.NominalScannedPixelSpacing = _as_ds(nominal)
    if nominal is not None or pixel is not None:
        out.pop("PixelAspectRatio", None)


def _as_ds(pair: tuple[float, float]) -> list[str]:
    """Decimal strings of at most 16 characters."""
    return [format_number_as_ds(value) for value in pair]


def _rescale(out: Dataset) -> None:
    """Modality LUT needs all three of its attributes, or none."""
    if "RescaleSlope" not in out or "RescaleIntercept" not in out:
        for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
            out.pop(keyword, None)
    elif not out.get("RescaleType"):
        out.RescaleType = "US"


def _sixteen_bit_luts(out: Dataset) -> None:
    """LUTs with 16-bit entries: an SC admits no 12-bit descriptor (1 error, measured).

    VOI output is scaled from its own range to 16 bits, so it shows the same; a Modality LUT's
    output has units and keeps its values.
    """
    for keyword in LUTS:
        scale = keyword == "VOILUTSequence"
        if luts := [_sixteen_bit_lut(item, scale) for item in items(out, keyword)]:
            setattr(out, keyword, Sequence(luts))


def _sixteen_bit_lut(item: Dataset, scale: bool) -> Dataset:
    count, first, bits = (int(v) for v in item.LUTDescriptor)
    entries = _lut_entries(item, count or 65536)
    if scale and bits != 16:
        entries = np.rint(entries.astype(np.float64) * (65535 / ((1 << bits) - 1)))
    new = Dataset()
    for element in item:
        new.add(element)
    new.add_new("LUTDescriptor", item["LUTDescriptor"].VR, [count, first, 16])
    new.add_new("LUTData", "OW", np.clip(entries, 0, 65535).astype("<u2").tobytes())
    return new


def _lut_entries(item: Dataset, count: int) -> NDArray[np.generic]:
    """LUT entries as numbers, from a list, 16-bit words or packed bytes."""
    data = item.LUTData
    if not isinstance(data, bytes):
        return np.asarray(data, dtype=np.int64)[:count] & 0xFFFF
    if len(data) >= 2 * count:
        return np.frombuffer(data, "<u2", count)
    return np.frombuffer(data, np.uint8, count)
