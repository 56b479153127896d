# SPDX-License-Identifier: Apache-2.0
"""The trace as a picture: drawn with or without laws, the census of the run in plain words."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from monai_cxr_cf.diffusion.trace import schema
from monai_cxr_cf.runs import trace_picture
from monai_cxr_cf.runs.trace_picture import LAWS, LINE, census_words, laws_words, trace_figure
from tests.runs.test_pictures import step

ENTRY = {
    "prompt": "prompt",
    "step": 2,
    "groups": [
        {"group": "pleural effusion", "tokens": 2, "mass": 0.04, "share": 0.031},
        {"group": "modifier", "tokens": 2, "mass": 0.06, "share": -0.004},
        {"group": "organ", "tokens": 1, "mass": 0.01, "share": None},
        {"group": "eos+padding", "tokens": 72, "mass": 0.89, "share": 0.952},
    ],
}


def test_trace_is_drawn_and_repeats(tmp_path: Path) -> None:
    trace = {"steps": [step(i, window=i < 3) for i in range(7)], "census": [ENTRY]}
    trace_figure(trace, tmp_path / "a.png")
    trace_figure(trace, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    "trace",
    [
        {},
        {"steps": [], "census": []},
        {"steps": [{**step(0, window=False), "roi_score": {}, "energy": []}]},
    ],
)
def test_a_run_without_laws_has_a_trace_too(trace: dict[str, object], tmp_path: Path) -> None:
    trace_figure(trace, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 0


def test_the_census_is_said_in_plain_words() -> None:
    away = {**ENTRY, "prompt": "negative", "groups": ENTRY["groups"][:1]}
    assert census_words([ENTRY, away]) == [
        "What carries the effect of the prompt: 'pleural effusion' 3 %; side, zone and degree 0 %; "
        "organ names unknown; end and padding 95 %.",
        "What carries the effect of the words to steer away from: 'pleural effusion' 3 %.",
    ]


def test_each_of_several_findings_has_a_sentence() -> None:
    own = {**ENTRY, "prompt": "own", "finding": "pleural effusion"}
    assert census_words([own, {**ENTRY, "groups": ENTRY["groups"][:1]}]) == [
        "What carries the effect of the text of 'pleural effusion' in its region: its own words "
        "3 %; side, zone and degree 0 %; organ names unknown; end and padding 95 %.",
        "What carries the effect of the prompt of all, where layers know no region: "
        "'pleural effusion' 3 %.",
    ]


def test_laws_that_acted_and_laws_at_rest_are_named() -> None:
    assert laws_words(["gate", "boost", "paste"]) == [
        "Laws that acted: organ gate (Eq. 5), boost (Eq. 6), paste.",
        "Laws at rest: correction (Eq. 9), organ words, regional prompt, regional guidance.",
    ]
    assert laws_words([])[0] == "Laws that acted: none."
    assert laws_words(list(LAWS))[1] == "Laws at rest: none."
    assert set(LAWS) == set(schema()["properties"]["laws"]["items"]["enum"])


def drawn(
    laws: list[str], path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], list[int], str]:
    """Titles of the panels, how many tints each has, and what stands below them."""
    found: list[tuple[str, int, str]] = []

    def look(figure: Figure, *_: object, **__: object) -> None:
        for axes in figure.axes:
            tints = sum(isinstance(patch, Rectangle) and patch.get_alpha() == 0.25
                        for patch in axes.patches)  # fmt: skip
            found.append((axes.get_ylabel().split(" (")[0], tints, axes.get_xlabel()))

    monkeypatch.setattr(trace_picture, "save_figure", look)
    trace_figure({"steps": [step(i, window=i < 3) for i in range(7)], "laws": laws}, path)
    return [name for name, _, _ in found], [tints for _, tints, _ in found], found[-1][2]


@pytest.mark.parametrize(
    ("laws", "panels", "below"),
    [
        (["gate"], ["region score"], ""),
        (["boost"], ["region score"], "; tinted: window of Eq. 6"),
        (["correction"], ["region score", "energy", "correction"], "; tinted: window of Eq. 9"),
        (
            ["boost", "correction"],
            ["region score", "energy", "correction"],
            "; tinted: window of Eq. 6 and 9",
        ),
    ],
)
def test_a_law_at_rest_has_no_panel_and_no_tint(
    laws: list[str], panels: list[str], below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, tints, said = drawn(laws, tmp_path / "a.png", monkeypatch)
    assert names == panels
    assert tints == [int(bool(below))] * len(panels)
    assert said == f"executed step (first: most noise){below}"


def test_the_words_stand_above_the_panels(tmp_path: Path) -> None:
    steps = [step(i, window=i < 3) for i in range(7)]
    trace_figure({"steps": steps}, tmp_path / "plain.png")
    trace_figure({"steps": steps, "census": [ENTRY, ENTRY]}, tmp_path / "told.png")
    plain, told = (Image.open(tmp_path / f"{name}.png").convert("L") for name in ("plain", "told"))

    def dark(picture: Image.Image) -> int:
        return sum(picture.point(lambda v: v < 128).histogram()[1:])

    assert told.height - plain.height == pytest.approx(4 * LINE * 180, abs=6), "two lines each"
    assert dark(told) > dark(plain) + 1000
