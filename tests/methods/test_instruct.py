# SPDX-License-Identifier: Apache-2.0
"""Editors that take orders: their words, and networks that never learned to look."""

from dataclasses import replace

import pytest
import torch

from monai_cxr_cf.catalogue.table import choose
from monai_cxr_cf.diffusion.model.codec import decode
from monai_cxr_cf.diffusion.model.tiny import tiny_backbone
from monai_cxr_cf.diffusion.modes import sham_task
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.methods.ip2p import instruction
from monai_cxr_cf.methods.registry import run_method
from monai_cxr_cf.presets import DEFAULT
from monai_cxr_cf.prompts.compose import instruction as order
from monai_cxr_cf.prompts.parse import parse_prompt
from tests.diffusion.conftest import make_task
from tests.methods.quick import backbone, bench_of, dark, quick, samples, task


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


@pytest.mark.parametrize("weights", ["", "c0ffee", "deadbeef"])
def test_nothing_else_is_called_biomedjourney(weights) -> None:
    with pytest.raises(ComponentMissing, match="needs BiomedJourney's weights; 'tiny'"):
        samples("biomedjourney", weights=weights)
    assert torch.equal(samples("biomedjourney").z, samples("ip2p").z)


def test_instructx2x_edits_where_the_order_acts_in_the_region() -> None:
    found = samples("instructx2x", instruction="Add it")
    outside = (bench_of(kind="instruct").mask() == 0).expand_as(found.z)
    assert (found.z - found.z_src)[outside].abs().max() < 1e-4
    assert (found.z - found.z_src).abs().max() > 0.1
    whole = samples("instructx2x", instruction="Add it", prior="image")
    assert (whole.z - whole.z_src)[outside].abs().max() > 0.1
    sham = sham_task(replace(task("instruct"), instruction="Add it"))
    still = samples("instructx2x", given=sham)
    assert torch.equal(still.z, still.z_src)  # no words, no region


@pytest.mark.parametrize(("mode", "sign"), [("edit", 1), ("removal", -1), ("sham", 0)])
def test_latent_shift_moves_the_probability_as_asked(mode, sign) -> None:
    asked = replace(task(), mode=mode)
    found = samples("latent_shift", given=asked)
    (before, after) = (float(dark(torch.from_numpy(decode(backbone(), z)))) for z in
                       (found.z_src, found.z))  # fmt: skip
    assert (after > before) - (after < before) == sign
    assert found.trace["notes"][1].startswith("guided by dark, sha256 0000")
    down = samples("latent_shift", given=asked, as_published=True)
    assert float(dark(torch.from_numpy(decode(backbone(), down.z)))) <= before


def test_latent_shift_needs_a_classifier_and_one_finding() -> None:
    with pytest.raises(ComponentMissing, match="needs a classifier"):
        samples("latent_shift", given=replace(task(), scorer=None))
    with pytest.raises(BadRequest, match="moves one finding"):
        samples("latent_shift", given=replace(task(), targets=task().targets * 2))
    assert choose("latent_shift").settings.shifts[-1] == 1000
    assert choose("latent_shift").settings.shifts[8:12] == [9, 10, 20, 30]
