# SPDX-License-Identifier: Apache-2.0
"""A zip file -> the images in it, in a folder of their own; a DICOMDIR -> the files it lists.

Names in an archive are not used, so none leads out of the folder; what is no DICOM file, PNG or
JPEG stays packed. Sizes are counted while unpacking: what an archive states of itself may be wrong.
"""

import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from pydicom import dcmread

from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.raster import raster_kind
from monai_cxr_cf.errors import UnreadableInput

ENDINGS = {"DICM": ".dcm", "PNG": ".png", "JPEG": ".jpg"}
HEAD, CHUNK = 132, 1 << 20
MOST_BYTES = ReadOptions().max_bytes  # of one file
DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


def is_dicomdir(path: Path) -> bool:
    """Whether a file is a DICOMDIR, by its content."""
    with path.open("rb") as stream:
        if stream.read(HEAD)[128:] != b"DICM":
            return False
    try:
        with withheld():
            ds = dcmread(path, stop_before_pixels=True, specific_tags=["DirectoryRecordSequence"])
        return str(ds.file_meta.get("MediaStorageSOPClassUID", "")) == DIRECTORY
    except Exception:  # pydicom raises many types on hostile bytes
        return False


def listed(path: Path) -> list[Path]:
    """The files of a DICOMDIR, in its order.

    Raises:
        UnreadableInput: it is damaged, lists nothing, a file that is not there or one elsewhere.
    """
    try:
        with withheld():
            records = dcmread(path).DirectoryRecordSequence
            names = [record.ReferencedFileID for record in records if "ReferencedFileID" in record]
    except Exception as error:  # pydicom raises many types on hostile bytes
        raise UnreadableInput(
            "The DICOMDIR cannot be read.", hint="Name the folder it lies in."
        ) from error
    parts = [[name] if isinstance(name, str) else list(map(str, name)) for name in names]
    found = [path.parent.joinpath(*part) for part in parts]
    lost = sum(
        not file.is_file() or any({"/", "\\"} & {*name} or name in ("", "..") for name in part)
        for file, part in zip(found, parts, strict=True)
    )
    if lost or not found:
        raise UnreadableInput(
            f"The DICOMDIR lists {len(found)} files; {lost} of them are not there.",
            code="no_file",
            hint="Name the folder it lies in.",
        )
    return found


def unpack(path: Path, folder: Path) -> int:
    """The images of a zip file as 000001.dcm and so on in a new folder; returns how many.

    Raises:
        UnreadableInput: it is damaged or locked, or holds no image or too large a one.
    """
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            members = [m for m in members if PurePosixPath(m.filename).name[:2] != "._"]
            number = 0
            for member in members:
                with archive.open(member) as stream:
                    number += _copy(stream, folder, number + 1)
        if not number:
            raise UnreadableInput(
                f"The zip file holds {len(members)} files and no image.",
                code="no_image",
                hint="DICOM, PNG and JPEG files are images.",
            )
    except UnreadableInput:
        shutil.rmtree(folder)
        raise
    except BROKEN as error:
        shutil.rmtree(folder)
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of our disk
        raise UnreadableInput(
            "The zip file is damaged, locked or packed in a way that is not read.",
            hint="Unpack it, and name the folder.",
        ) from error
    return number


def _copy(stream: IO[bytes], folder: Path, number: int) -> bool:
    """A member that is an image, as file ``number``; whether it was one."""
    head = stream.read(HEAD)
    kind = "DICM" if head[128:] == b"DICM" else raster_kind(head)
    if not kind:
        return False
    size = len(head)
    with (folder / f"{number:06d}{ENDINGS[kind]}").open("xb") as file:
        file.write(head)
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            if size > MOST_BYTES:
                raise UnreadableInput(
                    f"A file in the zip file is larger than {MOST_BYTES:,} bytes.",
                    code="too_many_bytes",
                    hint="Unpack it, and name the files.",
                )
            file.write(chunk)
    return True
