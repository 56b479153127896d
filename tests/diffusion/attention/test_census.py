# SPDX-License-Identifier: Apache-2.0
"""The census of tokens equals a literal exchange of keys and values, and keeps its invariants."""

import pytest
import torch

from monai_cxr_cf.diffusion.attention import census
from monai_cxr_cf.diffusion.attention.census import (
    Prompts,
    attention_maps,
    carrier_of,
    contexts,
    cross_layers,
    measure,
)
from monai_cxr_cf.diffusion.attention.groups import GROUPS, MEASURED, TAIL, tail, token_groups
from monai_cxr_cf.diffusion.model.text import encode_text
from tests.diffusion.attention.exchanged import literal
from tests.diffusion.small import latent, predict, small_unet, states

T = 500
WHERE = token_groups(eos=8, finding=(3, 4), modifier=(1, 2), organ=(6,))
RATIOS = ("without", "alone")


@pytest.fixture(scope="module")
def unet():
    return small_unet()


@pytest.fixture(scope="module")
def texts():
    """Random states; the start token is the same, as in a causal text encoder."""
    target, source = states(seed=1), states(seed=7)
    target[:, 0] = source[:, 0]
    return Prompts(target, source, WHERE)


@pytest.fixture(scope="module")
def found(unet, texts):
    return measure(unet, latent(), T, texts)


def ratios(unet, texts, taken, *, level=None):
    """|e_target - e_exchanged| / |e_target - e_source|, literally."""
    target, _ = literal(unet, latent(), T, texts, ())
    source, _ = literal(unet, latent(), T, texts, range(77))
    e, _ = literal(unet, latent(), T, texts, taken, level=level)
    total = (target - source).norm()
    return float((target - e).norm() / total), float((e - source).norm() / total)


def test_every_position_is_in_one_group_and_a_finding_goes_before_an_organ() -> None:
    found = token_groups(eos=6, finding=(2, 3), organ=(3, 4), modifier=(1, 4), length=9)
    assert found == {
        "bos": (0,), "finding": (2, 3), "modifier": (1,), "organ": (4,), "other": (5,),
        "eos": (6,), "padding": (7, 8),
    }  # fmt: skip
    assert tuple(found) == GROUPS
    assert tail(found) == (6, 7, 8)
    assert sorted(k for where in WHERE.values() for k in where) == list(range(77))


@pytest.mark.parametrize("name", [*GROUPS[1:], TAIL])
def test_an_exchanged_group_is_the_literal_exchange_of_its_keys_and_values(
    unet, texts, found, name
) -> None:
    where = texts.measured()[name]
    without, _ = ratios(unet, texts, where)
    _, alone = ratios(unet, texts, set(range(77)) - set(where))
    assert found.without[name] == pytest.approx(without, abs=2e-5)
    assert found.alone[name] == pytest.approx(alone, abs=2e-5)
    assert without > 0.01


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_an_exchange_on_one_level_leaves_the_others(unet, texts, found, level) -> None:
    for name in ("finding", "padding"):
        without, _ = ratios(unet, texts, texts.measured()[name], level=level)
        assert found.without_at[level][name] == pytest.approx(without, abs=2e-5)
    assert set(found.without_at) == {0, 1, 2, 3}


def test_attention_mass_is_that_of_stored_maps_and_sums_to_one(unet, texts, found) -> None:
    _, maps = literal(unet, latent(), T, texts, ())
    layers = cross_layers(unet, latent())
    for level, row in found.mass.items():
        assert sum(row.values()) == pytest.approx(1, abs=1e-6)
        own = [maps[layer.name].mean((0, 1, 2)) for layer in layers if layer.level == level]
        mean = torch.stack(own).mean(0)
        for name, where in WHERE.items():
            assert row[name] == pytest.approx(float(mean[list(where)].sum()), abs=1e-6)


def test_exchanging_all_groups_gives_the_source_and_none_the_target(unet, texts) -> None:
    every = [k for where in WHERE.values() for k in where]
    assert torch.equal(texts.exchanged(every), texts.source)
    assert torch.equal(texts.exchanged(()), texts.target)
    assert torch.equal(texts.alone(every), texts.target)
    layers = cross_layers(unet, latent())
    with contexts(unet, {layer.name: texts.exchanged(every) for layer in layers}):
        assert torch.equal(predict(unet, text=texts.target), predict(unet, text=texts.source))
    with contexts(unet, {layer.name: texts.exchanged(()) for layer in layers}):
        assert torch.equal(predict(unet, text=texts.source), predict(unet, text=texts.target))


def test_looking_changes_no_bit_and_leaves_no_hook(unet, texts) -> None:
    plain = predict(unet, text=texts.target)
    layers = cross_layers(unet, latent())
    with attention_maps(unet, layers) as maps:
        assert torch.equal(predict(unet, text=texts.target), plain)
    assert set(maps) == {layer.name for layer in layers}
    with pytest.raises(RuntimeError, match="stop"), contexts(
        unet, {layers[0].name: texts.source}
    ):  # fmt: skip
        raise RuntimeError("stop")
    assert not any(module._forward_pre_hooks for module in unet.modules())


def test_a_group_with_the_same_states_costs_no_pass_and_moves_nothing(unet, texts, found) -> None:
    assert texts.alike(WHERE["bos"])
    assert found.without["bos"] == found.alone["bos"] == 0.0
    images = []
    hook = unet.register_forward_pre_hook(lambda _, args: images.append(len(args[0])))
    try:
        measure(unet, latent(), T, texts)
    finally:
        hook.remove()
    live = len(texts.measured()) - 1
    assert sum(images) == 2 + live * (2 + 4)


def test_a_large_network_runs_pass_by_pass_to_the_same_figures(
    unet, texts, found, monkeypatch
) -> None:
    monkeypatch.setattr(census, "LARGE", 1)
    one = measure(unet, latent(), T, texts)
    for name in MEASURED:
        for figure in RATIOS:
            assert getattr(one, figure)[name] == pytest.approx(
                getattr(found, figure)[name], abs=1e-5
            )


def test_two_texts_that_are_one_have_no_effect_to_share(unet, texts) -> None:
    same = measure(unet, latent(), T, Prompts(texts.target, texts.target, WHERE))
    assert same.change == 0
    assert set(same.without.values()) == set(same.alone.values()) == {None}
    assert all(set(row.values()) == {None} for row in same.without_at.values())
    assert sum(same.mass[0].values()) == pytest.approx(1, abs=1e-6)


def test_a_tiny_random_stable_diffusion_gives_the_pinned_census(tiny, task) -> None:
    where = token_groups(eos=5, finding=task.targets[0].tokens, modifier=(1, 2))
    texts = Prompts(encode_text(tiny, task.prompt), encode_text(tiny, ""), where)
    found = measure(tiny.unet, latent(seed=0), T, texts)
    assert texts.alike(where["bos"])  # a causal encoder knows no word yet
    assert found.without == pytest.approx(PINNED["without"], abs=0.001)
    assert found.alone == pytest.approx(PINNED["alone"], abs=0.001)
    assert found.mass[0] == pytest.approx(PINNED["mass"], abs=0.001)


PINNED = {
    "without": {
        "bos": 0.0,
        "finding": 0.127,
        "modifier": 0.066,
        "eos": 0.051,
        "padding": 0.804,
        "eos+padding": 0.853,
    },
    "alone": {
        "bos": 0.0,
        "finding": 0.147,
        "modifier": 0.072,
        "eos": 0.061,
        "padding": 0.823,
        "eos+padding": 0.867,
    },
    "mass": {
        "bos": 0.014,
        "finding": 0.027,
        "modifier": 0.028,
        "organ": 0.0,
        "other": 0.0,
        "eos": 0.013,
        "padding": 0.917,
    },
}


@pytest.mark.parametrize(
    ("without", "carrier"),
    [
        ({"effusion": 0.5, "edema": 0.9}, "finding"),
        ({"effusion": 0.499, "edema": 0.9}, "finding+eos"),
        ({"effusion": 0.04}, "finding+eos"),
        ({"effusion": None, "edema": 0.6}, "finding"),
        ({"effusion": None}, "finding+eos"),
        ({}, "finding+eos"),
    ],
    ids=str,
)
def test_a_finding_is_carried_by_its_words_if_half_goes_with_them(without, carrier) -> None:
    assert carrier_of(without) == carrier
