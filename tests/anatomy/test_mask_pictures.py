# SPDX-License-Identifier: Apache-2.0
"""Drawn pictures as editors save them: what is drawn is found, or one sentence says what to do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from monai_cxr_cf.anatomy.mask_pictures import SOFT
from monai_cxr_cf.anatomy.user_masks import UNTURNED, Canvas, Notes, read_masks, read_region
from monai_cxr_cf.dicom.turn import EXIF, EXIF_TAG
from monai_cxr_cf.errors import BadRequest, CxrError, UnreadableInput

SHAPE = (60, 80)
DRAWN = np.zeros(SHAPE, bool)
DRAWN[34:50, 44:70] = True
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[5:50, 4:30], LABELS[5:50, 50:76], LABELS[20:50, 32:48] = 1, 2, 3
BLACK, WHITE, GREEN = (0, 0, 0), (255, 255, 255), (0, 180, 0)


def grey(on: int = 255, off: int = 0, kind: Any = np.uint8) -> Image.Image:
    """The drawing in two grey values."""
    return Image.fromarray(np.where(DRAWN, on, off).astype(kind))


def colour(on: tuple[int, ...], off: tuple[int, ...]) -> Image.Image:
    """The drawing in two colours, with or without alpha."""
    return Image.fromarray(np.where(DRAWN[..., None], on, off).astype(np.uint8))


def palette(indices: NDArray[Any], colours: list[int], clear: int | None = None) -> Image.Image:
    """Indices with a palette."""
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(colours + [7] * (768 - len(colours)))
    if clear is not None:
        image.info["transparency"] = clear
    return image


def soft(image: Image.Image, radius: float) -> Image.Image:
    """With soft edges."""
    return image.filter(ImageFilter.GaussianBlur(radius))


def deep(image: Image.Image) -> Image.Image:
    """The same in 16 bits."""
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)


def radiograph() -> NDArray[np.uint8]:
    """Many greys, as of a picture of a chest."""
    return np.random.default_rng(2).integers(1, 255, SHAPE).astype(np.uint8)


def over(alpha: NDArray[Any]) -> Image.Image:
    """A radiograph with an alpha layer."""
    return Image.fromarray(np.dstack([radiograph()] * 3 + [alpha.astype(np.uint8)]))


def painted_over() -> Image.Image:
    """Green paint on a radiograph."""
    paint = np.where(DRAWN[..., None], GREEN, radiograph()[..., None])
    return Image.fromarray(paint.astype(np.uint8))


def two_colours() -> Image.Image:
    """Red beside green on black."""
    image = np.asarray(colour((200, 0, 0), (0, 0, 0))).copy()
    image[5:20, 5:30] = (0, 200, 0)
    return Image.fromarray(image)


HALF = [0, 0, 0, 255, 0, 0]
# name -> (file, picture); each gives DRAWN exactly as a region.
RIGHT: dict[str, tuple[str, Image.Image]] = {
    "0 and 255": ("a.png", grey()),
    "0 and 1": ("a.png", grey(1)),
    "0 and 128": ("a.png", grey(128)),
    "0 and 4": ("a.png", grey(4)),
    "one bit": ("a.png", grey().convert("1")),
    "16 bits, full": ("a.png", grey(65535, kind=np.uint16)),
    "16 bits, 1": ("a.png", grey(1, kind=np.uint16)),
    "16 bits, 256": ("a.png", grey(256, kind=np.uint16)),
    "opaque alpha": ("a.png", colour((255, 255, 255, 255), (0, 0, 0, 255))),
    "opaque alpha, grey": ("a.png", colour((255, 255), (0, 255))),
    "half opaque everywhere": ("a.png", colour((255, 255, 255, 128), (0, 0, 0, 128))),
    "white, alpha drawn": ("a.png", colour((255, 255, 255, 255), (255, 255, 255, 0))),
    "black, alpha drawn": ("a.png", colour((0, 0, 0, 255), (0, 0, 0, 0))),
    "red, alpha half": ("a.png", colour((255, 0, 0, 120), (255, 0, 0, 0))),
    "green on clear black": ("a.png", colour((0, 200, 0, 255), (0, 0, 0, 0))),
    "grey, alpha drawn": ("a.png", colour((255, 255), (255, 0))),
    "green on black": ("a.png", colour(GREEN, BLACK)),
    "blue on black": ("a.png", colour((0, 0, 255), BLACK)),
    "dark red on black": ("a.png", colour((128, 0, 0), BLACK)),
    "yellow on black": ("a.png", colour((255, 255, 0), BLACK)),
    "red on white": ("a.png", colour((220, 20, 20), WHITE)),
    "green on white": ("a.png", colour(GREEN, WHITE)),
    "green, opaque alpha": ("a.png", colour((0, 180, 0, 255), (0, 0, 0, 255))),
    "white on black, in three": ("a.png", colour(WHITE, BLACK)),
    "palette, black first": ("a.png", palette(DRAWN, HALF)),
    "palette, green on black": ("a.png", palette(DRAWN, [0, 0, 0, 0, 180, 0])),
    "palette, clear first": ("a.png", palette(DRAWN, [255, 0, 255, 0, 180, 0], clear=0)),
    "palette, black last": ("a.png", palette(~DRAWN, [255, 255, 255, 0, 0, 0])),
    "palette, white first": ("a.png", palette(DRAWN, [255, 255, 255, 200, 0, 0])),
    "palette, a high index": ("a.png", palette(DRAWN * 9, [0, 0, 0])),
    "BMP": ("a.bmp", grey()),
    "BMP in colour": ("a.bmp", colour(GREEN, BLACK)),
    "TIFF": ("a.tif", grey()),
    "TIFF, 16 bits": ("a.tif", grey(65535, kind=np.uint16)),
    "GIF": ("a.gif", grey()),
    "WebP without loss": ("a.webp", grey()),
}  # fmt: skip


def save(image: Image.Image, path: Path) -> Path:
    """Save as the name says, without further loss."""
    image.save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_drawn_becomes_the_region(name: str, tmp_path: Path) -> None:
    file, image = RIGHT[name]
    notes: Notes = []
    region = read_region(save(image, tmp_path / file), SHAPE, notes)
    assert np.array_equal(region, DRAWN)
    assert notes == []


@pytest.mark.parametrize("name", RIGHT)
def test_a_picture_named_after_an_organ_is_that_organ(name: str, tmp_path: Path) -> None:
    file, image = RIGHT[name]
    path = save(image, tmp_path / file.replace("a.", "heart."))
    masks = read_masks(path, SHAPE)
    assert list(masks) == ["heart"]
    assert np.array_equal(masks["heart"], DRAWN)


# name -> (file, picture, how it is saved); what is at least half as bright is DRAWN.
EDGES: dict[str, tuple[str, Image.Image, dict[str, Any]]] = {
    "antialiased grey": ("a.png", soft(grey(), 0.5), {}),
    "soft grey": ("a.png", soft(grey(), 1.0), {}),
    "soft 16 bits": ("a.png", deep(soft(grey(), 1.0)), {}),
    "JPEG": ("a.jpg", grey(), {"quality": 75}),
    "JPEG, bad": ("a.jpeg", grey(), {"quality": 40}),
    "WebP with loss": ("a.webp", grey(), {"quality": 60}),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_soft_edges_are_cut_at_half_and_told(name: str, tmp_path: Path) -> None:
    file, image, how = EDGES[name]
    path = tmp_path / file
    image.save(path, **how)
    notes: Notes = []
    region = read_region(path, SHAPE, notes)
    assert int((region ^ DRAWN).sum()) <= 4, "a corner at most"
    # WebP with loss tints greys, so that it is read as a colour on black.
    assert notes == ([] if file == "a.webp" else [SOFT])


SOFT_COLOURS = {
    "green on black": colour(GREEN, BLACK),
    "red on white": colour((230, 0, 0), WHITE),
    "layer": colour((255, 0, 0, 255), (255, 0, 0, 0)),
}


@pytest.mark.parametrize("name", SOFT_COLOURS)
@pytest.mark.parametrize("radius", [0.5, 1.0])
def test_soft_edges_of_a_colour_or_a_layer_are_cut_at_half(
    name: str, radius: float, tmp_path: Path
) -> None:
    path = save(soft(SOFT_COLOURS[name], radius), tmp_path / "a.png")
    region = read_region(path, SHAPE)
    assert int((region ^ DRAWN).sum()) <= 4, "a corner at most"


# name -> (picture or values, words of the refusal), read as a region.
REFUSED: dict[str, tuple[Image.Image, str]] = {
    "empty": (grey(0), "region is empty"),
    "empty in colour": (colour(BLACK, BLACK), "region is empty"),
    "all clear": (colour((255, 0, 0, 0), (255, 0, 0, 0)), "wholly transparent"),
    "a radiograph": (Image.fromarray(radiograph()), "grey values, like a radiograph"),
    "a radiograph in three": (Image.fromarray(np.dstack([radiograph()] * 3)), "like a radiograph"),
    "a hole rubbed out": (over(np.where(DRAWN, 0, 255)), "like a radiograph"),
    "no background": (grey(255, 40), "No pixel of the mask is 0"),
    "two colours": (two_colours(), "several colours"),
    "two colours, layer": (two_colours().convert("RGBA"), "several colours"),
    "paint over a radiograph": (painted_over(), "(several colours|coloured to its rim)"),
    "coloured to its rim": (colour(GREEN, (200, 40, 40)), "coloured to its rim"),
    "on grey": (colour(GREEN, (120, 120, 120)), "coloured to its rim"),
    "another size": (grey().resize((40, 30)), "30 x 40, the image 60 x 80"),
    "rows and columns swapped": (
        grey().transpose(Image.Transpose.TRANSPOSE),
        "80 x 60, the image 60 x 80.* look swapped",
    ),
    "an undefined orientation": (grey(), "EXIF orientation is 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_mean_two_things_is_refused(name: str, tmp_path: Path) -> None:
    image, words = REFUSED[name]
    path = tmp_path / "a.png"
    exif = Image.Exif()
    if "orientation" in name:
        exif[EXIF_TAG] = 0
    image.save(path, exif=exif)
    with pytest.raises(CxrError, match=words) as caught:
        read_region(path, SHAPE)
    assert caught.value.exit_code == 2
    assert caught.value.hint


# name -> (file, picture, how it is saved, words), read as organs.
NO_ORGANS: dict[str, tuple[str, Image.Image, dict[str, Any], str]] = {
    "0 and 255": ("m.png", grey(), {}, r"label values \[255\]"),
    "one bit": ("m.png", grey().convert("1"), {}, r"label values \[255\]"),
    "a colour": ("m.png", colour(GREEN, BLACK), {}, r"label values \[255\]"),
    "a layer": ("m.png", colour((9, 9, 9, 255), (9, 9, 9, 0)), {}, r"label values \[255\]"),
    "label 5": ("m.png", grey(5), {}, r"label values \[5\]"),
    "labels times 50": ("m.png", Image.fromarray(LABELS * 50), {}, r"values \[50, 100, 150\]"),
    "labels in an organ's file": ("heart.png", Image.fromarray(LABELS), {}, "holds 3 labels"),
    "labels as JPEG": ("m.jpg", Image.fromarray(LABELS), {"quality": 95}, "do not survive"),
    "empty": ("m.png", grey(0), {}, "No mask of a known name"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_ORGANS)
def test_a_drawing_that_names_no_organ_is_none(name: str, tmp_path: Path) -> None:
    file, image, how, words = NO_ORGANS[name]
    image.save(tmp_path / file, **how)
    with pytest.raises(BadRequest, match=words):
        read_masks(tmp_path / file, SHAPE)


VOC = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128]
LABELLED: dict[str, Image.Image] = {
    "grey": Image.fromarray(LABELS),
    "16 bits": Image.fromarray(LABELS.astype(np.uint16)),
    "palette": palette(LABELS, VOC),
    "grey palette": palette(LABELS, [k for n in range(5) for k in (n * 60,) * 3]),
    "palette, clear first": palette(LABELS, [255, 255, 255, *VOC[3:]], clear=0),
    "grey, opaque alpha": Image.fromarray(np.dstack([LABELS, np.full_like(LABELS, 255)])),
    "three channels": Image.fromarray(np.dstack([LABELS] * 3)),
    "four channels": Image.fromarray(np.dstack([LABELS] * 3 + [np.full_like(LABELS, 255)])),
}


@pytest.mark.parametrize("name", LABELLED)
def test_labels_one_to_four_are_organs(name: str, tmp_path: Path) -> None:
    LABELLED[name].save(tmp_path / "m.png")
    masks = read_masks(tmp_path / "m.png", SHAPE)
    assert list(masks) == ["right_lung", "left_lung", "heart"]
    for value, mask in enumerate(masks.values(), 1):
        assert np.array_equal(mask, value == LABELS)


@pytest.mark.parametrize("value", EXIF)
def test_a_mask_lies_as_viewers_show_it(value: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[EXIF_TAG] = value
    Image.fromarray(EXIF[value].undo(DRAWN).astype(np.uint8) * 255).save(
        tmp_path / "a.png", exif=exif
    )
    assert np.array_equal(read_region(tmp_path / "a.png", SHAPE), DRAWN)
    turned = Canvas(SHAPE, EXIF[value], EXIF[value])  # a DICOM source, shown as it is stored
    plain = save(Image.fromarray(EXIF[value].undo(DRAWN).astype(np.uint8)), tmp_path / "b.png")
    notes: Notes = []
    assert np.array_equal(read_region(plain, turned, notes), DRAWN)
    assert notes == []


def test_a_mask_without_exif_on_a_source_with_lies_on_the_stored_pixels(tmp_path: Path) -> None:
    notes: Notes = []
    for value in (2, 3, 4):
        stored = EXIF[value].undo(DRAWN).astype(np.uint8)
        source = Canvas(SHAPE, EXIF[value], EXIF[1])  # a JPEG, which viewers turn
        path = save(Image.fromarray(stored), tmp_path / "a.png")
        assert np.array_equal(read_region(path, source, notes), DRAWN)
    assert notes == [UNTURNED]
    for value in (5, 6, 7, 8):  # its size tells that it was drawn on the picture as shown
        path = save(Image.fromarray(DRAWN.astype(np.uint8)), tmp_path / "a.png")
        source = Canvas(SHAPE, EXIF[value], EXIF[1])
        assert np.array_equal(read_region(path, source), DRAWN)


def test_damaged_and_animated_pictures_are_refused(tmp_path: Path) -> None:
    path = save(grey(), tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UnreadableInput, match="cannot be read"):
        read_region(path, SHAPE)
    grey().save(tmp_path / "b.gif", save_all=True, append_images=[grey(90)])
    with pytest.raises(BadRequest, match="several frames"):
        read_region(tmp_path / "b.gif", SHAPE)
