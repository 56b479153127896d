# SPDX-License-Identifier: Apache-2.0
"""Pictures: panels in order, an honest change map, the notice, and the same bytes every time."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from monai_cxr_cf.runs import pictures, trace_picture
from monai_cxr_cf.runs.pictures import NOTICE, PreviewData, grey_png, overlay, preview
from monai_cxr_cf.runs.trace_picture import trace_figure

SHAPE = (120, 100)


def scene(size: float = 0.2, shape: tuple[int, int] = SHAPE) -> PreviewData:
    """A grey ramp with a disc that becomes denser by ``size``."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    radius = np.hypot(y - 0.6 * shape[0], x - 0.6 * shape[1])
    region = radius < 15
    return PreviewData(
        source=(0.2 + 0.5 * y / shape[0]).astype(np.float32),
        region=region,
        band=(radius < 20) & ~region,
        change=(size * region).astype(np.float32),
        caption=("add left pleural effusion", "strength 0.7 | seed 1"),
        organs={"heart": radius < 30},
    )


def step(number: int, *, window: bool) -> dict[str, object]:
    """One step of a trace."""
    moved = {"displacement": [0.05, 0.04], "reason": ["", "cap"]}
    return {
        "index": number,
        "window": window,
        "roi_score": {"2": {"pleural effusion": [0.3, None]}},
        "energy": [0.7, None],
        "correction": moved if window else None,
    }


def pixels(path: Path) -> np.ndarray:
    """A PNG as H x W x 3."""
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Previews of a denser, a more lucent and a merely rounded disc."""
    folder = tmp_path_factory.mktemp("previews")
    for name, size in (("denser", 0.2), ("lucent", -0.2), ("rounded", 0.5 / 255)):
        preview(scene(size), folder / f"{name}.png")
    return folder


def test_preview_has_the_same_bytes_whatever_the_settings(drawn: Path, tmp_path: Path) -> None:
    with matplotlib.rc_context({"font.size": 17.0, "axes.facecolor": "green", "savefig.dpi": 50}):
        preview(scene(), tmp_path / "b.png")
        assert matplotlib.rcParams["font.size"] == 17.0, "the caller's settings are left alone"
    assert (drawn / "denser.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_pictures_carry_no_date_and_no_version(drawn: Path, tmp_path: Path) -> None:
    trace_figure({"steps": [step(0, window=True)]}, tmp_path / "trace.png")
    for path in (drawn / "denser.png", tmp_path / "trace.png"):
        assert not set(Image.open(path).info) & {"Software", "date", "Creation Time"}


def colours(path: Path) -> tuple[int, int]:
    """How many pixels of the change panel are red, and how many blue."""
    image = pixels(path)
    height, width, _ = image.shape
    panel = image[: int(0.85 * height), int(0.72 * width) : int(0.92 * width)]
    tint = panel[..., 0] - panel[..., 2]
    return int((tint > 50).sum()), int((tint < -50).sum())


def test_denser_is_red_more_lucent_is_blue_and_rounding_is_neither(drawn: Path) -> None:
    red, blue = colours(drawn / "denser.png")
    assert red > 1000 > 50 > blue
    red, blue = colours(drawn / "lucent.png")
    assert blue > 1000 > 50 > red
    assert sum(colours(drawn / "rounded.png")) < 50


def test_the_notice_stands_below(drawn: Path) -> None:
    image = pixels(drawn / "denser.png")
    red_text = (image[..., 0] > 140) & (image[..., 1] < 90) & (image[..., 2] < 80)
    rows = np.flatnonzero(red_text[:, : image.shape[1] // 4].any(1))
    assert rows.max() > 0.93 * image.shape[0]
    assert NOTICE.startswith("SYNTHETIC")


@pytest.mark.parametrize("shape", [(60, 200), (200, 60)])
def test_any_shape_of_image_can_be_shown(shape: tuple[int, int], tmp_path: Path) -> None:
    preview(scene(shape=shape), tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size[0] > 1000


def test_a_full_or_empty_mask_can_be_shown(tmp_path: Path) -> None:
    data = scene()
    everything, nothing = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    for region in (everything, nothing):
        shown = PreviewData(data.source, region, nothing, data.change * 0)
        preview(shown, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 0


def test_a_long_caption_makes_the_picture_taller_not_wider(drawn: Path, tmp_path: Path) -> None:
    data = scene()
    long = PreviewData(data.source, data.region, data.band, data.change, ("word " * 120,))
    preview(long, tmp_path / "long.png")
    short, tall = Image.open(drawn / "denser.png").size, Image.open(tmp_path / "long.png").size
    assert tall[0] == short[0]
    assert tall[1] > short[1]


def test_overlay_tints_the_mask_and_names_it(tmp_path: Path) -> None:
    data = scene()
    overlay(data.source, {"heart": data.region}, tmp_path / "a.png")
    image = pixels(tmp_path / "a.png")
    assert ((image[..., 0] - image[..., 2]) > 30).sum() > 500


def test_grey_png_keeps_size_and_values(tmp_path: Path) -> None:
    image = np.linspace(0, 1, 256, dtype=np.float32).reshape(4, 64)
    grey_png(image, tmp_path / "new" / "a.png")
    assert np.array_equal(
        np.asarray(Image.open(tmp_path / "new" / "a.png")), np.arange(256).reshape(4, 64)
    )


@pytest.mark.parametrize(
    "box", [(0, 40, 0, 30), (50, 120, 70, 100), (30, 31, 20, 21), (5, 90, 3, 80)]
)
def test_an_outline_lies_where_one_through_the_whole_picture_would(
    box: tuple[int, int, int, int],
) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[box[0] : box[1], box[2] : box[3]] = True
    mask[box[0] + 3 : box[1] - 3 : 7, box[2] + 2] = False  # holes: outlines of their own
    ours, whole = Figure().subplots(1, 2)
    pictures._outline(ours, mask, "red", width=1.0)
    padded = np.pad(mask, 1).astype(np.float32)
    whole.contour(*(np.arange(n) - 1 for n in padded.shape[::-1]), padded, [0.5])
    found, wanted = (axes.collections[0].get_paths() for axes in (ours, whole))
    assert len(found) == len(wanted) == 1
    assert np.array_equal(found[0].vertices, wanted[0].vertices)
    assert np.array_equal(found[0].codes, wanted[0].codes)


def test_a_drawn_figure_lets_its_arrays_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Figure] = []

    class Seen(Figure):
        def __init__(self, *words: object, **named: object) -> None:
            super().__init__(*words, **named)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(pictures, "Figure", Seen)
    monkeypatch.setattr(trace_picture, "Figure", Seen)
    preview(scene(), tmp_path / "one.png")
    overlay(scene().source, {"heart": scene().region}, tmp_path / "two.png")
    trace_figure({"steps": [step(0, window=True)]}, tmp_path / "three.png")
    assert [figure.axes for figure in made] == [[], [], []]
