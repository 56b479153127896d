# SPDX-License-Identifier: Apache-2.0
"""Step 4 of the reader: the data set up to PixelData, as a plain little-endian header."""

from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.reading.characters import items_of, settle_characters
from monai_cxr_cf.dicom.reading.transfer import Syntax
from monai_cxr_cf.errors import UnreadableInput


def read_header(file: BinaryIO, syntax: Syntax) -> tuple[Dataset, list[tuple[str, str]]]:
    """The header of an open Part-10 file and warnings; the file is then at the PixelData element.

    The result holds no path (pydicom's FileDataset does), and its word data (LUT entries) are
    little endian whatever the source was, so that it can be written again as it is.

    Raises:
        UnreadableInput: the data set cannot be parsed.
    """
    try:
        file.seek(0)
        found = dcmread(file, stop_before_pixels=True)
        told = settle_characters(found)
        if not syntax.little_endian:
            _swap_words(found)
        return _header_of(found, syntax), [] if told is None else [told]
    except MemoryError:
        raise
    except Exception as error:  # pydicom raises many types on hostile bytes
        raise UnreadableInput(
            "The header cannot be parsed; expected a DICOM data set.",
            code="bad_header",
            hint="Export the image again: this copy is damaged.",
        ) from error


def _header_of(found: Dataset, syntax: Syntax) -> Dataset:
    header = Dataset()
    for element in found.elements():
        header[element.tag] = element
    header.set_original_encoding(syntax.implicit, True, found.original_character_set)
    header.file_meta = found.file_meta
    return header


def _swap_words(ds: Dataset) -> None:
    """pydicom hands out OW bytes in file order; turn them round, nested sequences included.

    Nothing else is looked at: a damaged number elsewhere is left out later, by name.
    """
    for element in list(ds.elements()):
        if element.VR == "OW" and isinstance(element.value, bytes) and len(element.value) % 2 == 0:
            swapped = bytearray(element.value)
            swapped[0::2], swapped[1::2] = element.value[1::2], element.value[0::2]
            if isinstance(element, RawDataElement):
                ds[element.tag] = element._replace(value=bytes(swapped))
            else:
                element.value = bytes(swapped)
        elif element.VR == "SQ":
            for item in items_of(ds, element.tag):
                _swap_words(item)
