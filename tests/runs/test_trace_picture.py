# SPDX-License-Identifier: Apache-2.0
"""The trace as a picture: drawn with or without laws, the census of the run in plain words."""

from pathlib import Path

import pytest
from PIL import Image

from monai_cxr_cf.runs.trace_picture import census_words, trace_figure
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
    assert census_words(ENTRY) == (
        "What carries the effect of the prompt: 'pleural effusion' 3 %; side, zone and degree 0 %; "
        "organ names unknown; end and padding 95 %."
    )
    away = {**ENTRY, "prompt": "negative", "groups": ENTRY["groups"][:1]}
    assert census_words(away) == (
        "What carries the effect of the words to steer away from: 'pleural effusion' 3 %."
    )


def test_the_words_stand_above_the_panels(tmp_path: Path) -> None:
    steps = [step(i, window=i < 3) for i in range(7)]
    trace_figure({"steps": steps}, tmp_path / "plain.png")
    trace_figure({"steps": steps, "census": [ENTRY, ENTRY]}, tmp_path / "told.png")
    plain, told = (Image.open(tmp_path / f"{name}.png").convert("L") for name in ("plain", "told"))

    def dark(picture: Image.Image) -> int:
        return sum(picture.crop((0, 0, picture.width, 60)).point(lambda v: v < 128).histogram()[1:])

    assert dark(told) > dark(plain) + 200
