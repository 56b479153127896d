# SPDX-License-Identifier: Apache-2.0
"""Datasets into files: atomically, always Explicit VR Little Endian, without a word about values.

The last step of every writer here. In: a complete dataset and a path. Out: the file, its hash and
its identifiers as a ``WrittenFile``.
"""

import os
import re
from hashlib import sha256
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.record import WrittenFile
from monai_cxr_cf.dicom.writing.uids import IMPLEMENTATION_UID
from monai_cxr_cf.errors import UnreadableInput

IMPLEMENTATION_NAME = "MONAI_CXR_CF"  # SH, 16 characters
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]+")


def clip(text: str, length: int) -> str:
    """One line of at most ``length`` characters, without backslash or control characters.

    pydicom only warns about lengths, and a backslash would split a value in two.
    """
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= length else line[: length - 3].rstrip() + "..."


def save(ds: Dataset, path: Path, *, role: str, label: str = "") -> WrittenFile:
    """Write ``ds`` as a Part 10 file beside its final name, then rename it into place."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_NAME
    ds.file_meta = meta
    ds.preamble = b"\x00" * 128
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with withheld():
            ds.save_as(part, enforce_file_format=True, implicit_vr=False, little_endian=True)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return written_file(role, path, dataset=ds, label=label)


def load(path: Path, *, pixels: bool = True) -> Dataset:
    """A whole DICOM file, as it is sent or referred to; its class and identifiers are there.

    Args:
        path: the file.
        pixels: False stops before PixelData.

    Raises:
        UnreadableInput: no DICOM file, or a damaged one.
    """
    try:
        with withheld():
            ds = dcmread(path, stop_before_pixels=not pixels)
            str(ds.SOPClassUID + ds.SOPInstanceUID + ds.SeriesInstanceUID + ds.StudyInstanceUID)
            str(ds.file_meta.TransferSyntaxUID)
    except MemoryError:
        raise
    except Exception as error:  # pydicom's converters raise many types on hostile bytes
        raise UnreadableInput(
            "The file is no DICOM object, or its header is damaged.",
            code="bad_header",
            hint="Make it again.",
        ) from error
    return ds


def save_text(text: str, path: Path) -> None:
    """Write UTF-8 text atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def written_file(
    role: str, path: Path, *, dataset: Dataset | None = None, label: str = ""
) -> WrittenFile:
    """Describe a file already on disk; pictures and arrays have no ``dataset``."""
    hashed = sha256(path.read_bytes()).hexdigest()
    if dataset is None:
        return WrittenFile(role, path, hashed, label=label)
    return WrittenFile(
        role,
        path,
        hashed,
        sop_class=str(dataset.SOPClassUID),
        series_uid=str(dataset.SeriesInstanceUID),
        sop_uid=str(dataset.SOPInstanceUID),
        label=label,
    )
