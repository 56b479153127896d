# SPDX-License-Identifier: Apache-2.0
"""Editors that look at attention: what they need, what they find, that their laws act."""

from dataclasses import replace

import pytest
import torch

from monai_cxr_cf.catalogue.table import choose
from monai_cxr_cf.diffusion.laws.priors import area_pool
from monai_cxr_cf.errors import BadRequest, UnsupportedImage
from monai_cxr_cf.methods.frame.align import replacement
from monai_cxr_cf.methods.frame.attention import hooked, layers_of
from monai_cxr_cf.methods.frame.blend import differing
from monai_cxr_cf.methods.frame.maps import Maps, gradient
from monai_cxr_cf.methods.frame.schedule import noised
from monai_cxr_cf.methods.layout_guidance import guided_layers, outside
from monai_cxr_cf.methods.ledits import concept, masks
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


@pytest.mark.parametrize(
    "changes",
    [{"cross": 0.0}, {"self_share": 1.0}, {"reweight": 3.0}, {"blend": True, "blend_from": 0.99}],
)
def test_every_part_of_p2p_acts(changes) -> None:
    assert (samples("p2p").z - samples("p2p", **changes).z).abs().max() > 1e-3


def test_the_local_blend_of_p2p_keeps_the_source_where_nothing_looks() -> None:
    found = samples("p2p", blend=True, blend_from=0.99)
    kept = (found.z - found.z_src).abs().amax(1) < 1e-4
    assert kept.any()
    assert not kept.all()
    assert differing(bench_of(replace(task(), prompt="large heart"))) == (
        (1, 2, 3, 4, 5),
        (1, 2, 3, 4),
    )


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
    with pytest.raises(UnsupportedImage, match="change no cell"):
        run_method(quick("rse", threshold=1.0), backbone(), replace(task(), kappa=task().kappa / 2),
                   config=DEFAULT, seeds=[1])  # fmt: skip
    assert choose("rse").settings.threshold == 0.1


@pytest.mark.parametrize("name", ["attend_excite", "layout_guidance"])
def test_what_can_only_add_says_so(name) -> None:
    with pytest.raises(BadRequest, match=f"'{name}' can add a finding, but not remove one"):
        samples(name, given=replace(task(), mode="removal"))


def test_layout_guidance_draws_attention_into_the_region() -> None:
    bench = bench_of()
    layers = guided_layers(bench)
    assert {x.name.split(".")[0] for x in layers} == {"mid_block", "up_blocks"}
    rows, columns = layers[0].grid
    probs = torch.rand(1, 2, rows * columns, 77, generator=torch.Generator().manual_seed(0))
    (target,) = bench.task.targets
    tokens = [target.tokens]
    omega = area_pool(target.region, layers[0].grid).ravel()
    told = [
        (1 - float((probs[0, h, :, k].numpy() * omega).sum() / probs[0, h, :, k].sum())) ** 2
        for h in range(2)
        for k in target.tokens
    ]
    assert float(outside(bench, [(layers[0], probs)], tokens)) == pytest.approx(
        sum(told) / len(told)
    )


def test_layout_guidance_lowers_its_loss() -> None:
    bench, maps, z = bench_of(), Maps(), noised(bench_of().z0, bench_of().noise.draw(), 0.1)
    tokens = [bench.task.targets[0].tokens]

    def loss(seen):
        return outside(bench, seen, tokens)

    with hooked(bench.backbone.unet, guided_layers(bench), maps):
        before, slope = gradient(bench, maps, z, 700, loss)
        after, none = gradient(bench, maps, z - 5 * slope, 700, loss, back=False)
    assert after < before
    assert none is None


def test_once_low_is_low_for_good_in_the_published_layout_guidance() -> None:
    never = samples("layout_guidance", enough=1.0)
    assert never.trace["cost"]["calls"]["gradient"] == 2  # one look in each guided step
    late = samples("layout_guidance", enough=1.0, as_published=True)
    assert late.trace["cost"]["calls"]["gradient"] == 1


def test_attend_excite_moves_the_latent_and_a_sham_does_not() -> None:
    moved, still = samples("attend_excite"), samples("attend_excite", altered=0)
    assert (moved.z - still.z).abs().max() > 1e-2
    sham = replace(task(), mode="sham", targets=(replace(task().targets[0], tokens=()),))
    one, other = (samples("attend_excite", given=sham, altered=n) for n in (0, 2))
    assert torch.equal(one.z, other.z)


def test_a_null_edit_of_ledits_is_the_source() -> None:
    same = replace(task(), prompt="", source_prompt="")
    found = samples("ledits", given=same, steps=16)
    assert torch.allclose(found.z, found.z_src, atol=1e-4)


def test_ledits_goes_away_from_what_is_to_be_removed() -> None:
    gone = replace(task(), mode="removal", prompt="clear lungs", source_prompt="effusion")
    assert concept(bench_of(gone)) == ("effusion", -1.0)
    assert concept(bench_of(replace(gone, source_prompt=""))) == ("clear lungs", 1.0)
    assert concept(bench_of()) == (task().prompt, 1.0)


def test_ledits_edits_where_words_look_and_act() -> None:
    bench, settings = bench_of(), choose("ledits", {"threshold": 0.75}).settings
    attended = torch.zeros(1, 4, 4, 77)
    attended[0, :2, :2, 1] = 1
    added = torch.zeros(1, 4, 16, 16)
    added[0, 0, :, :8] = 1
    found = masks(bench, settings, (attended, added), bench.task.prompt, 900)
    assert found[0, 0, :4, :4].all()
    assert not found[0, 0, 12:, 12:].any()
    both = masks(bench, settings, (attended, added), bench.task.prompt, 500)
    assert (both <= found).all()
    assert not both[..., 8:].any()


def test_ledits_lays_its_levels_as_published() -> None:
    found = samples("ledits", steps=30, given=replace(task(), source_prompt=""))
    times = [step["timestep"] for step in found.trace["steps"]]
    assert (times[0], times[-1], len(times)) == (841, 29, 30)
