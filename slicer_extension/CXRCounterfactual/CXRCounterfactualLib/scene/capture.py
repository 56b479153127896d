# SPDX-License-Identifier: Apache-2.0
"""A volume without a DICOM file -> a temporary Secondary Capture of exactly its grey values.

No patient, no spacing: what is not known is left out, never made up. The identifiers come from
the pixels, so that the same picture gives the same run.
"""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..refused import Refused
from . import pictures

if TYPE_CHECKING:
    from numpy.typing import NDArray

SC_CLASS = "1.2.840.10008.5.1.4.1.1.7"
EXPLICIT = "1.2.840.10008.1.2.1"
BLANK = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
         "StudyID", "AccessionNumber", "ReferringPhysicianName", "SeriesNumber",
         "InstanceNumber", "PatientOrientation", "Manufacturer")  # fmt: skip


def write_capture(volume: Any, path: Path) -> str:
    """Write a volume's one slice to ``path``; the path as text.

    Raises:
        Refused: values that are not whole numbers of 16 bits.
    """
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    stored = whole_numbers(pictures.pixels(volume))
    ds, ds.file_meta = Dataset(), FileMetaDataset()
    for keyword in BLANK:
        setattr(ds, keyword, None)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID(SC_CLASS)
    uids = {role: UID(_uid(stored, role)) for role in ("study", "series", "instance")}
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uids["study"], uids["series"]
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uids["instance"]
    ds.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    ds.Modality, ds.ConversionType, ds.BodyPartExamined = "OT", "WSD", "CHEST"
    _put_pixels(ds, stored)
    _put_window(ds, volume)
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    return str(path)


def whole_numbers(array: "NDArray[Any]") -> "NDArray[Any]":
    """The values as uint16, or int16 where some are negative.

    Raises:
        Refused: fractions or values beyond 16 bits, which would have to be changed to be stored.
    """
    import numpy as np

    low, high = float(array.min()), float(array.max())
    whole = array.dtype.kind in "iu" or bool((array == np.rint(array)).all())
    if not whole or low < -32768 or high > (32767 if low < 0 else 65535):
        raise Refused(
            "This volume has no DICOM file, and its values are not whole numbers of 16 bits.",
            "Load the radiograph from its DICOM file.",
        )
    return array.astype(np.int16 if low < 0 else np.uint16)


def _uid(stored: "NDArray[Any]", role: str) -> str:
    digest = sha256(role.encode() + str(stored.shape).encode() + stored.tobytes()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"


def _put_pixels(ds: Any, stored: "NDArray[Any]") -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape
    signed = stored.dtype.kind == "i"
    bits = 16 if signed else max(8, int(stored.max()).bit_length())
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits, bits - 1
    ds.PixelRepresentation = int(signed)
    ds.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()


def _put_window(ds: Any, volume: Any) -> None:
    """As the user sees it now; the runner works on what the window shows."""
    display = volume.GetDisplayNode()
    if display is not None and display.GetWindow() >= 1:
        ds.WindowCenter = round(display.GetLevel(), 2)
        ds.WindowWidth = round(display.GetWindow(), 2)
