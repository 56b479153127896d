# SPDX-License-Identifier: Apache-2.0
"""Readers' boxes: the side and zone that they give to captions, and those that are not used."""

from pathlib import Path

import numpy as np
import pytest

from monai_cxr_cf.data.boxes import Box, read_boxes
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.training.drawn_pairs.drawing import Drawing
from monai_cxr_cf.training.drawn_pairs.grounding import boxed
from tests.training.phantom import chest

HEAD = "id,finding,x0,y0,x1,y1,side,by\n"


def around(side: str, share: float, finding: str = "Lung Opacity", by: str = "rsna") -> Box:
    """A box at ``share`` of a lung's height."""
    _, labels = chest()
    rows, columns = np.nonzero(labels == {"right": 1, "left": 2}[side])
    y = (rows.min() + share * np.ptp(rows)) / len(labels)
    x = columns.mean() / len(labels)
    return Box(finding, x - 0.05, y - 0.05, x + 0.05, y + 0.05, side, by)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(("share", "zone"), [(0.2, "upper"), (0.5, "mid"), (0.8, "lower")])
def test_a_box_gives_side_and_zone(side: str, share: float, zone: str) -> None:
    image, labels = chest()
    two = [around(side, share), around(side, share + 0.02)]
    assert boxed(two, labels, image.shape) == (Drawing("consolidation", side, zone, ""),)


def test_a_box_of_a_wide_radiograph_lies_where_it_lies_on_the_padded_square() -> None:
    image, labels = chest()
    box, side = around("left", 0.2), len(labels)
    top, height = side // 8, side - side // 4  # the picture without its padding
    top_, bottom = (((y * side) - top) / height for y in (box.top, box.bottom))
    wide = Box(box.finding, box.left, top_, box.right, bottom, "left")
    assert boxed([wide], labels, (height, side)) == boxed([box], labels, image.shape)


def test_boxes_that_must_not_be_learnt_from_or_place_nothing_are_left_out() -> None:
    image, labels = chest()
    others = [
        around("right", 0.5, "Mass", "physician (non-commercial)"),
        around("right", 0.5, "Cardiomegaly"),
        around("right", 0.5, "Hernia"),
        Box("Mass", 0.9, 0.4, 1.0, 0.5, "right"),
    ]
    assert boxed(others, labels, image.shape) == ()
    fluid = around("left", 0.5, "Effusion")
    assert boxed([fluid], labels, image.shape) == (Drawing("effusion", "left", "", ""),)


def test_the_file_is_read_by_radiograph(tmp_path: Path) -> None:
    assert read_boxes(tmp_path) == {}
    (tmp_path / "boxes.csv").write_text(HEAD + "a,Mass,0.1,0.2,0.3,0.4,left,rsna\n")
    assert read_boxes(tmp_path) == {"a": [Box("Mass", 0.1, 0.2, 0.3, 0.4, "left", "rsna")]}
    (tmp_path / "boxes.csv").write_text(HEAD + "a,Mass,?,0.2,0.3,0.4,left,rsna\n")
    with pytest.raises(UnreadableInput, match="box without numbers, of a"):
        read_boxes(tmp_path)
