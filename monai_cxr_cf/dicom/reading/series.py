# SPDX-License-Identifier: Apache-2.0
"""A folder -> the one image in it, or a refusal that counts what was found (no DICOMDIR needed).

Where it holds no DICOM image, PNG and JPEG count.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread

from monai_cxr_cf.dicom.reading.options import ONE_AN_EDIT
from monai_cxr_cf.dicom.reading.raster import HEAD, raster_kind
from monai_cxr_cf.dicom.reading.transfer import read_syntax
from monai_cxr_cf.dicom.values import text
from monai_cxr_cf.errors import CxrError, UnreadableInput, UnsupportedImage

_MOST_FILES = 2000
_TAGS = ["SOPClassUID", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Rows"]
_Key = tuple[str, str, str]  # patient, study and series as found; never shown


def find_image(folder: Path) -> Path:
    """The single DICOM image below a folder; reports, presentation states and text are passed by.

    Without a DICOM image it is the single PNG or JPEG; whether that may be read, the reader says.

    Raises:
        UnreadableInput: no image.
        UnsupportedImage: several images, series or patients, which are counted, never named.
    """
    images = _images(folder)
    if not images:
        return _one_picture(folder)
    if len(images) > 1:
        raise _several(images)
    return images[0][0]


def find_images(folder: Path) -> list[Path]:
    """Every DICOM image below a folder in the order of paths; UnreadableInput if there is none.

    Without a DICOM image it is every PNG and JPEG. A damaged, exotic or unwanted one counts, so
    that reading it gives its own refusal.
    """
    found = [path for path, _, _ in _images(folder)] or _pictures(folder)
    if not found:
        raise _no_image("at least one")
    return found


def find_by_patient(folder: Path, files: Sequence[Path] | None = None) -> list[tuple[Path, str]]:
    """Every image below a folder, however many, each with a word for its patient: p1, p2, ...

    With ``files``, of those alone.

    The word says only which images are of one patient; "" where none is named. Pictures have none.

    Raises:
        UnreadableInput: no image.
    """
    numbers: dict[str, str] = {"": ""}
    found = []
    for path, (patient, _, _), _ in _images(folder, limited=False, files=files):
        found.append((path, numbers.setdefault(patient, f"p{len(numbers)}")))
    if files is None and not found:
        found = [(path, "") for path in _pictures(folder, limited=False)]
    if not found:
        raise _no_image("at least one")
    return found


def _one_picture(folder: Path) -> Path:
    pictures = _pictures(folder)
    if not pictures:
        raise _no_image("exactly one")
    if len(pictures) > 1:
        raise UnsupportedImage(
            f"The folder holds {len(pictures)} PNG or JPEG pictures and no DICOM image. "
            "Expected exactly one image.",
            code="several_images",
            hint=ONE_AN_EDIT,
        )
    return pictures[0]


def _pictures(folder: Path, *, limited: bool = True) -> list[Path]:
    """Every PNG and JPEG below a folder, by content, in the order of paths."""
    found = []
    for path in _files(folder, limited=limited):
        with path.open("rb") as file:
            if raster_kind(file.read(HEAD)):
                found.append(path)
    return found


def _no_image(expected: str) -> UnreadableInput:
    return UnreadableInput(
        f"The folder holds no readable DICOM image; expected {expected}.",
        code="no_image",
        hint="Name the file itself.",
    )


def _files(folder: Path, *, limited: bool) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if limited and len(files) > _MOST_FILES:
        raise UnsupportedImage(
            f"The folder holds {len(files)} files; the limit is {_MOST_FILES}.",
            code="too_many_files",
            hint="Name the file itself.",
        )
    return files


def _images(
    folder: Path, *, limited: bool = True, files: Sequence[Path] | None = None
) -> list[tuple[Path, _Key, str]]:
    found = []
    for path in _files(folder, limited=limited) if files is None else files:
        entry = _describe(path)
        if entry is not None:
            found.append((path, *entry))
    return found


def _describe(path: Path) -> tuple[_Key, str] | None:
    """Patient, study, series and modality of a DICOM image; None for anything else."""
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return None
    try:
        read_syntax(path)
        ds = dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
        if "Rows" not in ds:
            return None
        patient, study, series = (text(ds, name) for name in _TAGS[1:4])
        return (patient, study, series), text(ds, "Modality")
    except CxrError:
        # Deflated, damaged or exotic: it counts as an image of its own, so that it is not
        # passed over in silence; reading it alone gives its own refusal.
        return ("", "", str(path)), "unreadable"
    except Exception:  # pydicom raises many types on hostile bytes
        return ("", "", str(path)), "unreadable"


def _several(images: list[tuple[Path, _Key, str]]) -> UnsupportedImage:
    patients = len({key[0] for _, key, _ in images})
    series = Counter((key, modality) for _, key, modality in images)
    listed = [
        f"series {number} ({modality if modality.isalpha() else '?'}): {count} image(s)"
        for number, ((_, modality), count) in enumerate(sorted(series.items()), 1)
    ]
    shown = "; ".join(listed[:10]) + ("; ..." if len(listed) > 10 else "")
    return UnsupportedImage(
        f"The folder holds {len(images)} images of {patients} patient(s) in {len(series)} series: "
        f"{shown}. Expected exactly one image.",
        code="several_images",
        hint=ONE_AN_EDIT,
    )
