# SPDX-License-Identifier: Apache-2.0
"""Editors that take orders: their words, and networks that never learned to look."""

from dataclasses import replace

import pytest
import torch

from monai_cxr_cf.catalogue.table import choose
from monai_cxr_cf.diffusion.model.tiny import tiny_backbone
from monai_cxr_cf.diffusion.modes import sham_task
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.methods.ip2p import instruction
from monai_cxr_cf.methods.registry import run_method
from monai_cxr_cf.presets import DEFAULT
from monai_cxr_cf.prompts.compose import instruction as order
from monai_cxr_cf.prompts.parse import parse_prompt
from tests.diffusion.conftest import make_task
from tests.methods.quick import bench_of, quick, samples, task


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("moderate left pleural effusion", "Add the finding of moderate left pleural effusion"),
        ("no cardiomegaly", "Remove the finding of cardiomegaly"),
        (
            "edema and no cardiomegaly",
            "Add the finding of edema and remove the finding of cardiomegaly",
        ),
    ],
)
def test_an_order_is_made_of_the_findings(asked, words) -> None:
    assert order(parse_prompt(asked)) == words


def test_whose_words_rule() -> None:
    given = replace(task("instruct"), instruction="Add it")
    assert instruction(bench_of(given, kind="instruct"), choose("ip2p").settings) == "Add it"
    own = choose("ip2p", {"instruction": "Take it away"}).settings
    assert instruction(bench_of(given, kind="instruct"), own) == "Take it away"
    sham = sham_task(given)
    assert instruction(bench_of(sham, kind="instruct"), own) == ""


def test_a_sham_has_no_order_to_follow() -> None:
    given = sham_task(replace(task("instruct"), instruction="Add it"))
    strong, weak = (samples("ip2p", given=given, guidance=g).z for g in (9.0, 1.0))
    assert torch.allclose(strong, weak, atol=1e-3)


def test_a_network_that_was_only_widened_is_refused() -> None:
    made = tiny_backbone(side=64, channels=8)
    made.unet.conv_in.weight[:, 4:] = 0
    given = replace(make_task(made.tokenizer), instruction="Add it")
    with pytest.raises(BadRequest, match="never trained on instructions"):
        run_method(quick("ip2p"), made, given, config=DEFAULT, seeds=[1])
