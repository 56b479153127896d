# SPDX-License-Identifier: Apache-2.0
"""DICOM file or folder -> ``Radiograph``: the strict reader, every refusal in its fixed order.

Nothing is decoded before step 7: transfer syntax, size and sanity are judged from the header.
"""

import stat
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.display import Integers
from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.radiograph import Polarity, Radiograph, freeze, pixel_digest
from monai_cxr_cf.dicom.reading.decode import check_content, read_pixels
from monai_cxr_cf.dicom.reading.identity import Note, check_identity, check_uids
from monai_cxr_cf.dicom.reading.matrix import Matrix, check_matrix, check_padding, check_polarity
from monai_cxr_cf.dicom.reading.notes import geometry_notes, header_notes, polarity_notes
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.orientation import read_orientation
from monai_cxr_cf.dicom.reading.part10 import read_header
from monai_cxr_cf.dicom.reading.payload import check_payload, expect_pixels
from monai_cxr_cf.dicom.reading.raster import check_allowed, raster_kind, read_raster
from monai_cxr_cf.dicom.reading.series import find_image
from monai_cxr_cf.dicom.reading.transfer import Syntax, check_codec, read_syntax
from monai_cxr_cf.dicom.reading.voi import DisplayPlan, finish_display, plan_display
from monai_cxr_cf.dicom.spacing import Spacing, read_spacing
from monai_cxr_cf.dicom.turn import Turn
from monai_cxr_cf.dicom.values import leave_out_damaged
from monai_cxr_cf.errors import UnreadableInput, UnsupportedImage

Source = str | PathLike[str]
_DEFAULT = ReadOptions()


@dataclass(frozen=True, eq=False)
class _Judged:
    """All that the header says, judged and found good (step 5)."""

    header: Dataset
    matrix: Matrix
    plan: DisplayPlan
    polarity: Polarity
    padding: tuple[int, int] | None
    spacing: Spacing
    notes: tuple[Note, ...]
    turn: Turn


def read_source(path: Source, options: ReadOptions = _DEFAULT) -> Radiograph:
    """Read a file, or the one image of a folder (``series.find_image``).

    Raises:
        UnreadableInput, UnsupportedImage, ComponentMissing: as ``read_radiograph``; a folder of
            several images, series or patients is refused and counted.
    """
    source = Path(path)
    if source.is_dir():
        with withheld():
            source = find_image(source)
    return read_radiograph(source, options=options)


def read_radiograph(path: Source, *, options: ReadOptions = _DEFAULT) -> Radiograph:
    """Read one DICOM Part-10 file (or PNG, JPEG if allowed) strictly.

    Returns:
        The radiograph on its native grid; pixels HxW float32, 0..1, bright = dense.

    Raises:
        UnreadableInput: not DICOM, damaged, truncated, too large.
        UnsupportedImage: a readable image that must not be edited (docs/dicom-conformance.md 3.3).
        ComponentMissing: the decoder of its transfer syntax is not installed.
    """
    source = Path(path)
    _check_file(source, options)  # 1
    with withheld(), source.open("rb") as file:
        if raster_kind(_head(file)):
            return read_raster(file, options)
        judged, syntax, notes = _examined(file, source, options)
        stored, more = read_pixels(str(source), judged.matrix, plugin=syntax.plugin)  # 7
        return _assemble(judged, stored, [*notes, *judged.notes, *more])  # 8


def check_source(path: Source, options: ReadOptions = _DEFAULT) -> None:
    """Refuse what ``read_source`` refuses before it decodes a pixel (steps 1 to 6).

    Raises:
        UnreadableInput, UnsupportedImage, ComponentMissing: as ``read_source``.
    """
    source = Path(path)
    if source.is_dir():
        with withheld():
            source = find_image(source)
    _check_file(source, options)
    with withheld(), source.open("rb") as file:
        if raster_kind(_head(file)):
            check_allowed(options)
        else:
            _examined(file, source, options)


def _head(file: BinaryIO) -> bytes:
    head = file.read(132)
    file.seek(0)
    return head


def _examined(
    file: BinaryIO, source: Path, options: ReadOptions
) -> tuple[_Judged, Syntax, list[Note]]:
    """Steps 2 to 6: all that the header says, judged."""
    _check_magic(_head(file))  # 2
    syntax = read_syntax(source)  # 3
    header, told = read_header(file, syntax)  # 4
    notes = [*check_identity(header, options), *told]
    expect_pixels(file, syntax)
    judged = _judge(header, syntax, options)  # 5
    check_payload(file, syntax, judged.matrix)  # 6
    check_codec(syntax)
    return judged, syntax, notes


def _check_file(source: Path, options: ReadOptions) -> None:
    """Step 1. A path may hold a name, so no message does."""
    try:
        status = source.stat()
    except OSError as error:
        raise UnreadableInput(
            "The source does not exist or may not be read; expected a file or folder.",
            code="no_file",
            hint="Check the path.",
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableInput(
            "The source is not a regular file.", code="not_a_file", hint="Name the image file."
        )
    if status.st_size == 0:
        raise UnreadableInput(
            "The file is empty; expected a DICOM image.", code="empty", hint="Export it again."
        )
    if status.st_size > options.max_bytes:
        raise UnreadableInput(
            f"The file has {status.st_size / 1e6:.1f} MB; the limit is "
            f"{options.max_bytes / 1e6:g} MB.",
            code="too_many_bytes",
            hint="Raise --max-bytes if the file is what you want.",
        )


def _check_magic(head: bytes) -> None:
    """Step 2. Reading is never forced: without the mark anything could pass for a header."""
    if head[128:132] != b"DICM":
        raise UnreadableInput(
            "The file is not DICOM: no DICM mark after the preamble; expected a Part-10 file.",
            code="not_dicom",
            hint="Export the image as DICOM, or pass --allow-raster for PNG and JPEG.",
        )


def _judge(ds: Dataset, syntax: Syntax, options: ReadOptions) -> _Judged:
    matrix = check_matrix(ds, options)
    spacing = read_spacing(ds)
    notes = header_notes(ds, syntax, options)
    notes += geometry_notes(spacing, matrix)
    notes += polarity_notes(ds, options)
    turn, turned = read_orientation(ds, options)
    notes += turned
    return _Judged(
        header=ds,
        matrix=matrix,
        plan=plan_display(ds, matrix, options),
        polarity=check_polarity(ds, options),
        padding=check_padding(ds, matrix),
        spacing=spacing,
        notes=tuple(notes),
        turn=turn,
    )


def _assemble(judged: _Judged, stored: Integers, notes: list[Note]) -> Radiograph:
    """Step 8: padding is found on stored values; it is shown as 0 and counts in no statistics."""
    valid = _valid(stored, judged.padding)
    check_content(stored, valid)
    display, voi = finish_display(judged.plan, judged.polarity, stored[valid])
    pixels = np.where(valid, display.render(stored), np.float32(0.0))
    _check_visible(pixels[valid])
    lost = leave_out_damaged(judged.header)
    check_uids(judged.header)  # again: one stored as another kind of value is gone now
    if lost:
        names = ", ".join(dict.fromkeys(lost))
        notes = [*notes, ("damaged_attributes", f"Left out, as they cannot be parsed: {names}.")]
    if not valid.all():
        share = 100.0 * (1.0 - valid.mean())
        notes = [*notes, ("padding", f"{share:.1f} % of the pixels are padding, never edited.")]
    found = Radiograph(
        pixels=freeze(pixels),
        valid=freeze(valid),
        stored=freeze(stored),
        header=judged.header,
        spacing=judged.spacing,
        polarity=judged.polarity,
        voi=voi,
        display=display,
        warnings=tuple(notes),
        sha256=pixel_digest(stored),
        bits_stored=judged.matrix.bits_stored,
        signed=judged.matrix.signed,
        padding=judged.padding,
        source_sop_uid=str(judged.header.SOPInstanceUID),
    )
    return found.turned(judged.turn)


def _valid(stored: Integers, padding: tuple[int, int] | None) -> npt.NDArray[np.bool_]:
    if padding is None:
        return np.ones(stored.shape, dtype=bool)
    return (stored < padding[0]) | (stored > padding[1])


def _check_visible(shown: npt.NDArray[np.float32]) -> None:
    if shown.min() == shown.max():
        raise UnsupportedImage(
            "The file's window shows one grey everywhere; expected a visible radiograph.",
            code="constant_display",
            hint="Pass --ignore-voi to use a window of our own.",
        )
