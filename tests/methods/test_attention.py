# SPDX-License-Identifier: Apache-2.0
"""Editors that look at attention: what they need, what they find, that their laws act."""

from dataclasses import replace

import pytest
import torch

from monai_cxr_cf.catalogue.table import choose
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.methods.frame.align import replacement
from monai_cxr_cf.methods.frame.attention import hooked, layers_of
from monai_cxr_cf.methods.masactrl import mutual_layers
from monai_cxr_cf.methods.registry import run_method
from monai_cxr_cf.presets import DEFAULT
from tests.methods.quick import backbone, bench_of, quick, samples, task


def test_a_hook_that_answers_nothing_changes_nothing() -> None:
    bench = bench_of()
    z = bench.noise.draw()
    with torch.no_grad():
        before = bench.predict(z, 500, bench.task.prompt)
        with hooked(bench.backbone.unet, layers_of(bench), lambda *given: None):
            assert torch.equal(bench.predict(z, 500, bench.task.prompt), before)


def test_p2p_needs_to_know_the_source() -> None:
    with pytest.raises(BadRequest, match="what the source shows"):
        samples("p2p", given=replace(task(), source_prompt=""))


def test_words_are_replaced_one_by_one_or_not_at_all() -> None:
    with pytest.raises(BadRequest, match="the source has 1, the prompt 2"):
        replacement(backbone().tokenizer, "heart", "left effusion")


@pytest.mark.parametrize("changes", [{"cross": 0.0}, {"self_share": 1.0}, {"reweight": 3.0}])
def test_every_part_of_p2p_acts(changes) -> None:
    assert (samples("p2p").z - samples("p2p", **changes).z).abs().max() > 1e-3


def test_a_null_edit_of_p2p_is_the_source() -> None:
    same = replace(task(), prompt="normal", source_prompt="normal")
    found = samples("p2p", given=same, guidance=3.5)
    assert torch.allclose(found.z, found.z_src, atol=1e-4)


def test_masactrl_reads_the_last_two_blocks_of_the_way_up() -> None:
    named = [x.name for x in mutual_layers(bench_of())]
    assert len(named) == 4
    assert all(x.startswith(("up_blocks.2.", "up_blocks.3.")) for x in named)
    assert (samples("masactrl").z - samples("masactrl", start=6).z).abs().max() > 1e-3
    assert (samples("masactrl").z - samples("masactrl", masked=True).z).abs().max() > 1e-3


@pytest.mark.parametrize("editor", ["sd_inpaint", "blended", "pie_latent"])
def test_rse_edits_in_the_region_that_it_found(editor) -> None:
    found = samples("rse", editor=editor, strength=1.0)
    changed = (found.z - found.z_src).abs().amax(1)[0] > 0.2
    region = bench_of().mask()[0, 0] > 0
    assert changed.any()
    assert not changed[~region].any()
    assert found.trace["notes"][0].startswith("own region, latent cells per seed: ")


def test_rse_says_when_it_finds_nothing() -> None:
    with pytest.raises(BadRequest, match="change no cell"):
        run_method(quick("rse", threshold=1.0), backbone(), replace(task(), kappa=task().kappa / 2),
                   config=DEFAULT, seeds=[1])  # fmt: skip
    assert choose("rse").settings.threshold == 0.1
