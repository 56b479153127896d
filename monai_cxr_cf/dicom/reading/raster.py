# SPDX-License-Identifier: Apache-2.0
"""PNG or JPEG -> Radiograph without a header: a picture that carries no patient data.

Only with ``ReadOptions.allow_raster``; the warning ``raster`` says so in every report.
"""

import io
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from monai_cxr_cf.dicom.display import Display, Integers
from monai_cxr_cf.dicom.radiograph import Polarity, Radiograph, Voi, freeze, pixel_digest
from monai_cxr_cf.dicom.reading.decode import check_content
from monai_cxr_cf.dicom.reading.identity import SYNTHETIC, Note
from monai_cxr_cf.dicom.reading.matrix import Matrix, check_size
from monai_cxr_cf.dicom.reading.notes import geometry_notes
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.orientation import Lie, raster_orientation
from monai_cxr_cf.dicom.spacing import Spacing
from monai_cxr_cf.errors import UnreadableInput, UnsupportedImage

DRAWN = "trainedalgorithmicmedia"  # IPTC: by a model, or composed with what one drew
HEAD = 8  # bytes that tell the kind
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG"}
_PLAIN_MODE = {"1": "L", "P": "RGBA", "PA": "RGBA", "LA": "RGBA"}
_DEEP = ("I;16", "I;16B", "I;16L", "I")
_NOTE: Note = (
    "raster",
    "PNG or JPEG source: no patient, study or acquisition data, no spacing, and the display "
    "contrast is taken as it is.",
)


def raster_kind(head: bytes) -> str:
    """PNG or JPEG by the first bytes of a file, else empty."""
    return next((kind for mark, kind in _SIGNATURES.items() if head.startswith(mark)), "")


def check_allowed(options: ReadOptions) -> None:
    """UnsupportedImage unless pictures without patient data are allowed."""
    if not options.allow_raster:
        raise UnsupportedImage(
            "The file is a PNG or JPEG; expected DICOM, which carries patient and acquisition "
            "data.",
            code="raster",
            hint="Pass --allow-raster if a picture without patient data is what you want.",
        )


def read_raster(file: BinaryIO, options: ReadOptions) -> Radiograph:
    """Read a grey PNG or JPEG of 8 or 16 bits; RGB passes if its channels are equal.

    Raises:
        UnsupportedImage: rasters are not allowed, too many pixels, colour, constant.
        UnreadableInput: the file is damaged.
    """
    check_allowed(options)
    stored, lie = _grey_values(file, options)
    bits = 8 * stored.dtype.itemsize
    matrix = Matrix(stored.shape[0], stored.shape[1], bits, bits, signed=False)
    valid = np.ones(stored.shape, dtype=bool)
    check_content(stored, valid)
    display, polarity = _display(bits, options)
    digest = pixel_digest(stored)
    top = float((1 << bits) - 1)
    found = Radiograph(
        pixels=freeze(display.render(stored)),
        valid=freeze(valid),
        stored=freeze(stored),
        header=None,
        spacing=Spacing(),
        polarity=polarity,
        voi=Voi("LINEAR_EXACT", "full range", top / 2.0, top),
        display=display,
        warnings=(_NOTE, *geometry_notes(Spacing(), matrix), *lie.notes),
        sha256=digest,
        bits_stored=bits,
        signed=False,
        padding=None,
        source_sop_uid=_uid_from(digest),
        exif=lie.exif,
    )
    return found.turned(lie.turn)


def _grey_values(file: BinaryIO, options: ReadOptions) -> tuple[Integers, Lie]:
    """HxW uint8 or uint16, and how they lie. Size is judged from the header, before decoding."""
    data = io.BytesIO(file.read())
    try:
        with Image.open(data, formats=("PNG", "JPEG")) as image:
            check_size(image.height, image.width, options)
            if getattr(image, "n_frames", 1) != 1:
                raise UnsupportedImage(
                    "The picture is animated; expected one image.", code="frames"
                )
            mode = _PLAIN_MODE.get(image.mode, image.mode)
            values = np.asarray(image if mode == image.mode else image.convert(mode))
            lie = raster_orientation(image, options)
            made = _origin(image.info, options)
    except Image.DecompressionBombError as error:  # Pillow's own limit comes before ours
        raise UnsupportedImage(
            f"The picture has more pixels than the limit of {options.max_pixels / 1e6:g} Mpixel.",
            code="too_many_pixels",
            hint="Crop the image.",
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UnreadableInput(
            "The picture cannot be decoded; expected a whole PNG or JPEG.",
            code="undecodable",
            hint="Save it again: this copy is damaged.",
        ) from error
    return _one_channel(mode, values), lie._replace(notes=[*lie.notes, *made])


def _origin(info: Mapping[Any, Any], options: ReadOptions) -> list[Note]:
    """Refuse, or note, a picture whose own marks say that a model drew it, wholly or in part."""
    texts = [v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in info.values()]
    if not any(DRAWN in text.lower() for text in texts):
        return []
    if options.allow_synthetic:
        return [SYNTHETIC]
    raise UnsupportedImage(
        "The source is marked synthetic (IPTC digital source type); expected a real radiograph.",
        code="synthetic",
        hint="Edit the original instead, or pass --allow-synthetic.",
    )


def _one_channel(mode: str, values: Integers) -> Integers:
    if mode in _DEEP:
        return values.astype(np.uint16)
    if mode == "L":
        return values.astype(np.uint8)
    equal = mode in ("RGB", "RGBA") and bool((values[..., :3] == values[..., :1]).all())
    opaque = mode != "RGBA" or bool((values[..., 3] == 255).all())
    if not (equal and opaque):
        raise UnsupportedImage(
            "The picture has colour or transparency; expected grey, or RGB with equal channels.",
            code="colour",
            hint="Convert it to grey first.",
        )
    return values[..., 0].astype(np.uint8)


def _display(bits: int, options: ReadOptions) -> tuple[Display, Polarity]:
    top = (1 << bits) - 1
    table = np.arange(top + 1, dtype=np.float64) / top
    if options.polarity == "mono1":
        return Display(0, 1.0 - table, -float(top)), "MONOCHROME1"
    return Display(0, table, float(top)), "MONOCHROME2"


def _uid_from(digest: str) -> str:
    """A 2.25 UID (PS3.5 B.2) from the pixels: the same picture is the same source."""
    return f"2.25.{int(digest[:32], 16)}"
