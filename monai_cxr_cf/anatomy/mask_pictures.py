# SPDX-License-Identifier: Apache-2.0
"""A drawn picture in (PNG, JPEG, TIFF, BMP, GIF, WebP), what is drawn in it out; every door's one.

Grey values, one colour on black or white, a palette, an alpha layer, soft edges: each has one
reading. What could mean two things is refused with what to do.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from monai_cxr_cf.dicom.turn import Turn, exif_turn
from monai_cxr_cf.errors import BadRequest, CxrError, UnreadableInput

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")
_MARKS = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"GIF8", b"RIFF")
LARGEST_LABEL = 4
SOLID = 255  # the value of what is drawn without a label
_LEVELS = 16  # up to so many grey values may be labels
_NEAR = 48.0  # distance of two colours of 0..255 that still count as one
_STRAY = 0.02  # share of drawn pixels that may have another colour: what a JPEG leaves
_LAYER = "Save the drawing alone: white on black, or one colour on a transparent layer."
Values = NDArray[np.integer]
SOFT = (
    "mask_edges",
    "The drawn mask has soft edges: what is at least half as bright as the drawing counts.",
)


@dataclass(frozen=True, eq=False)
class Drawing:
    """What a mask file holds, on its own grid."""

    values: Values  # H x W: 0 background, else a label, or SOLID where there are no labels
    labelled: bool  # the values are label numbers
    turn: Turn | None = None  # to what a viewer shows; None: the file says nothing of it
    notes: tuple[tuple[str, str], ...] = ()


def is_picture(file: Path) -> bool:
    """Whether Pillow is to read the file, by its first bytes; no other library reads pictures."""
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(8).startswith(_MARKS)


def read_picture(file: Path, sizes: tuple[tuple[int, int], ...] = ()) -> Drawing:
    """What is drawn in a picture.

    Args:
        file: of one of ``FORMATS``.
        sizes: (H, W) that fit; any other is refused before decoding. None given: all fit.

    Raises:
        UnreadableInput: damaged.
        BadRequest: another size, several frames, or a drawing that could mean two things.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            check_shape((image.height, image.width), sizes)
            if getattr(image, "n_frames", 1) != 1:
                raise BadRequest("The mask picture has several frames.", hint="Save one.")
            image.load()
            turn = exif_turn(image)
            drawing = _drawing(image)
            return Drawing(drawing.values, drawing.labelled, turn or None, drawing.notes)
    except (CxrError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise many types on hostile bytes
        raise UnreadableInput(
            f"{file.name} cannot be read as a picture.", hint="Save it again: it is damaged."
        ) from error


def check_shape(found: tuple[int, int], sizes: tuple[tuple[int, int], ...], what: str = "") -> None:
    """BadRequest for a mask of another size than the image's."""
    if not sizes or found in sizes:
        return
    swapped = " Its rows and columns look swapped." if found[::-1] in sizes else ""
    raise BadRequest(
        f"The {what or 'mask'} is {found[0]} x {found[1]}, the image {sizes[0][0]} x "
        f"{sizes[0][1]}.{swapped}",
        code="mask_shape",
        hint="Draw masks on the source image itself, without resampling.",
    )


def _drawing(image: Image.Image) -> Drawing:
    if image.mode == "1":
        return _solid(np.asarray(image))
    if image.mode in ("P", "PA") and _background_first(image):
        return Drawing(np.asarray(image if image.mode == "P" else image.getchannel(0)), True)
    if image.mode in ("L", "I", "F") or image.mode.startswith("I;16"):
        return grey_drawing(np.asarray(image), lossy=image.format in ("JPEG", "WEBP"))
    if image.mode == "LA" or image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    elif image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else None
    return _coloured(pixels[..., :3], alpha, lossy=image.format in ("JPEG", "WEBP"))


def _background_first(image: Image.Image) -> bool:
    """Whether entry 0 of a palette is black or transparent: then its indices are labels."""
    palette = image.getpalette("RGBA") or [255] * 4
    clear = image.info.get("transparency")
    if clear == 0 or (isinstance(clear, bytes) and clear[:1] == b"\0"):
        return True
    return max(palette[:3]) < 32


def _solid(mask: NDArray[Any], *notes: tuple[str, str]) -> Drawing:
    return Drawing(np.where(mask, SOLID, 0).astype(np.uint8), False, notes=notes)


def grey_drawing(values: NDArray[Any], *, lossy: bool = False) -> Drawing:
    """Grey values as labels (0 to 4, or up to 16 levels), or as one drawing with soft edges.

    Raises:
        BadRequest: fractions, negative values, no background, or a picture's many greys.
    """
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise _wrong("The mask holds fractions; expected whole numbers.", "Save 0 and 1.")
    whole = values.astype(np.int64)
    top, low = int(whole.max()), int(whole.min())
    if low < 0:
        raise _wrong("The mask holds negative values.")
    if lossy and 0 < top < 32:
        raise _wrong(
            "The mask was compressed with loss and its values lie close to 0: labels do not "
            "survive that.",
            "Save it as PNG.",
        )
    if top <= LARGEST_LABEL:
        return Drawing(whole, True)
    return _many(whole, top, low, lossy=lossy)


def _many(whole: NDArray[np.int64], top: int, low: int, *, lossy: bool) -> Drawing:
    levels = np.unique(whole)
    if len(levels) == 2 and low > 0:
        raise _wrong("No pixel of the mask is 0: which of its two values is drawn is not clear.")
    if len(levels) <= 2:
        return Drawing(whole, True)
    if _soft(whole, top):
        return _solid(whole * 2 >= top, SOFT)
    if len(levels) <= _LEVELS and low == 0 and not lossy:
        return Drawing(whole, True)
    raise _wrong(f"The mask holds {len(levels)} grey values, like a radiograph, not a drawing.")


def _wrong(message: str, hint: str = _LAYER) -> BadRequest:
    return BadRequest(message, code="mask_values", hint=hint)


def _soft(values: NDArray[np.int64], top: int) -> bool:
    """Whether all between black and the brightest value is the rim of what is brightest."""
    solid, dark = values * 10 >= top * 9, values * 10 <= top
    between = ~solid & ~dark
    if not solid.any() or not dark.any() or between.sum() > solid.sum():
        return False
    near = ndimage.binary_dilation(solid, iterations=6)
    return bool((between & ~near).sum() <= _STRAY * solid.sum())


def _coloured(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, *, lossy: bool) -> Drawing:
    """One colour on black or white, or what an alpha layer shows."""
    if alpha is not None and not alpha.any():
        raise _wrong("The mask picture is wholly transparent.")
    layer = None
    if alpha is not None and alpha.min() != alpha.max():
        layer = alpha.astype(np.int64) * 2 > int(alpha.max())
        if _one_colour(rgb[alpha == alpha.max()]):
            return _solid(layer)
    if (rgb == rgb[..., :1]).all():
        return grey_drawing(rgb[..., 0] if layer is None else rgb[..., 0] * layer, lossy=lossy)
    return _solid(_painted(rgb, layer))


def _one_colour(pixels: NDArray[np.uint8]) -> bool:
    """Whether N x 3 colours are one, but for a stray few."""
    middle = np.median(pixels, axis=0)
    return bool((np.abs(pixels - middle).max(1) > _NEAR / 2).mean() <= _STRAY)


def _painted(rgb: NDArray[np.uint8], layer: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Where the one colour is that differs from a black or white ground; H x W."""
    rim = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    ground = np.zeros(3) if layer is not None else np.median(rim, axis=0)
    if ground.max() >= 32 and ground.min() <= 223:
        raise BadRequest(
            "The mask picture is coloured to its rim; expected a colour on black or white.",
            code="mask_colours",
            hint=_LAYER,
        )
    away = rgb.astype(np.float32) - ground.astype(np.float32)
    drawn = np.linalg.norm(away, axis=2) > _NEAR
    if layer is not None:
        drawn &= layer
    if not drawn.any():
        return np.asarray(drawn)
    full = np.linalg.norm(away, axis=2) * drawn
    colour = np.median(away[full > 0.8 * np.percentile(full[drawn], 90)], axis=0)
    along = np.tensordot(away, colour, 1) / float(colour @ colour)
    off = np.linalg.norm(away - along[..., None] * colour, axis=2)
    if (off[drawn] > _NEAR).mean() > _STRAY or _flat_share(along[drawn]) > 0.5:
        raise BadRequest(
            "The mask picture holds several colours; which one is meant cannot be told.",
            code="mask_colours",
            hint=_LAYER,
        )
    return np.asarray(drawn & (along >= 0.5))


def _flat_share(along: NDArray[np.floating]) -> float:
    """Share of what is drawn that is neither the colour itself nor the ground."""
    return float(((along > 0.15) & (along < 0.85)).mean())
