# SPDX-License-Identifier: Apache-2.0
"""Evidence in the box: a network that looks at one spot points there, and boxes are laid right."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.evaluation.classifier.places import boxes_of, places, pointed
from monai_cxr_cf.judges.classifier import load_judge
from tests.evaluation.classifier.made import row

HEAD = "id,finding,x0,y0,x1,y1,side\n"


class Spot(nn.Module):
    """Every finding's logit is the brightness of one spot of the square."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0, 40:52, 8:20].mean((1, 2))[:, None].repeat(1, 3)


@pytest.fixture
def judge(tiny_judge):
    return replace(load_judge(tiny_judge), network=Spot())


def chest(bright: bool) -> np.ndarray:
    image = np.full((96, 64), 0.3, np.float32)
    if bright:
        image[60:78, 0:12] = 1.0  # rows .62 to .81, columns 0 to .19 of a tall picture
    return image


def test_a_judge_that_looks_at_one_spot_points_there(judge):
    image = np.full((64, 64), 0.3, np.float32)
    image[40:52, 8:20] = 1.0
    y, x = pointed(judge, image, "consolidation")
    assert 40 <= y < 52
    assert 8 <= x < 20


def test_boxes_are_laid_on_the_padded_square(judge, tmp_path: Path):
    (tmp_path / "images").mkdir()
    image = chest(bright=True)
    Image.fromarray((image * 255).astype(np.uint8)).save(tmp_path / "images" / "00000.png")
    Image.fromarray((image * 255).astype(np.uint8)).save(tmp_path / "images" / "00001.png")
    inside, outside = "0,0.6,0.2,0.85", "0.7,0.1,0.9,0.3"
    (tmp_path / "boxes.csv").write_text(
        f"{HEAD}00000,Lung Opacity,{inside},right\n00001,Pneumonia,{outside},left\n"
        f"00000,Infiltrate,{inside},right\n00000,Hernia,{inside},right\n"
    )
    told = places(judge, tmp_path, [row(0), row(1), row(2)])
    assert set(told) == {"consolidation"}
    found = told["consolidation"]
    assert found["images"] == 2
    assert found["hit"] == 0.5
    assert found["side"] == 0.5
    assert found["sided"] == 2
    assert 0.02 < found["chance"] < 0.05  # the pad counts as picture


def test_without_boxes_nothing_is_said_and_a_broken_one_is_refused(judge, tmp_path: Path):
    assert places(judge, tmp_path, [row(0)]) == {}
    (tmp_path / "boxes.csv").write_text(f"{HEAD}00000,Effusion,a,b,c,d,left\n")
    with pytest.raises(UnreadableInput, match="without numbers, of 00000"):
        boxes_of(tmp_path)
