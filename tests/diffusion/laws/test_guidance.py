# SPDX-License-Identifier: Apache-2.0
"""Guidance as written (docs/method.md 2.8): explicit formulas, cell by cell, and its identities."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_cxr_cf.diffusion.guidance import (
    Guidance,
    first_steps,
    guidance_of,
    references,
    scales_of,
)
from monai_cxr_cf.diffusion.laws.priors import guidance_map
from monai_cxr_cf.diffusion.window import Window, cut_task
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import DEFAULT

REGION = DEFAULT.with_overrides({"sampling": {"guidance_map": "region", "guidance_scale": 5.0}})
UNIFORM = REGION.with_overrides({"sampling": {"guidance_map": "uniform"}})
HW = (16, 16)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def e():
    """Predictions of target, source and negative prompt, (2, 4, 16, 16)."""
    return {
        name: random(2, 4, *HW, seed=n) for n, name in enumerate(("cond", "source", "negative"))
    }


def made(task, config=REGION):
    return guidance_of(task, config, HW, like=torch.empty(0))


def guided(law, e):
    return law(e["cond"], {name: e[name] for name in law.references})


def test_which_branches_are_read():
    assert references(regional=False, negative=False) == ("negative",)
    assert references(regional=False, negative=True) == ("negative",)
    assert references(regional=True, negative=False) == ("source",)
    assert references(regional=True, negative=True) == ("source", "negative")


def test_the_region_alone_is_guided_from_the_source(task, e):
    law = made(task)
    omega, found = guidance_map(task.targets[0].region, HW, task.organs), guided(law, e)
    for n, c, y, x in np.ndindex(*found.shape):
        a, s = (float(e[name][n, c, y, x]) for name in ("cond", "source"))
        assert float(found[n, c, y, x]) == pytest.approx(s + 5 * omega[y, x] * (a - s), abs=1e-5)
    far = torch.as_tensor(omega == 0)
    assert far.any()
    assert torch.equal(found[..., far], e["source"][..., far])


def test_with_a_negative_prompt_it_stands_for_the_source_inside(task, e):
    law = made(replace(task, negative_prompt="edema"))
    omega, found = guidance_map(task.targets[0].region, HW, task.organs), guided(law, e)
    for n, c, y, x in np.ndindex(*found.shape):
        a, s, m = (float(e[name][n, c, y, x]) for name in ("cond", "source", "negative"))
        wanted = s + omega[y, x] * (m - s) + 5 * omega[y, x] * (a - m)
        assert float(found[n, c, y, x]) == pytest.approx(wanted, abs=2e-5)


def test_a_negative_prompt_that_says_what_the_source_does_takes_no_part(task):
    assert not made(task).negative
    assert not made(replace(task, source_prompt="edema")).negative
    assert not made(replace(task, source_prompt="edema", negative_prompt="edema")).negative
    assert made(replace(task, source_prompt="edema", negative_prompt="mass")).negative


def test_all_of_the_picture_as_region_is_uniform_guidance(task, e):
    everywhere = np.ones_like(task.kappa)
    whole = replace(task, targets=(replace(task.targets[0], region=everywhere),))
    uniform = made(whole, UNIFORM)
    same = e | {"source": e["negative"]}
    assert torch.equal(guided(made(whole), same), guided(uniform, same))
    words = replace(whole, negative_prompt="edema")
    assert torch.allclose(guided(made(words), e), guided(uniform, e), atol=1e-5)


@pytest.mark.parametrize("negative", ["", "edema"])
def test_scale_one_on_all_of_the_picture_is_the_plain_target(task, e, negative):
    target = replace(task.targets[0], region=np.ones_like(task.kappa), guidance=1.0)
    law = made(replace(task, targets=(target,), negative_prompt=negative))
    assert torch.allclose(guided(law, e), e["cond"], atol=1e-6)


@pytest.mark.parametrize("negative", [False, True])
def test_no_region_leaves_the_source(e, negative):
    nowhere = Guidance(
        maps=torch.zeros(1, *HW), scales=(5.0,), rms=(0.0,), first=(0,), negative=negative
    )
    assert torch.equal(guided(nowhere, e), e["source"])


def test_findings_have_scales_of_their_own_and_the_strongest_holds_in_each_cell(task, e):
    mirror = task.targets[0].region[:, ::-1].copy()
    both = np.maximum(mirror, task.targets[0].region)
    targets = (
        replace(task.targets[0], guidance=9.0),
        replace(task.targets[0], name="mass", region=mirror),
        replace(task.targets[0], name="edema", region=both, guidance=2.0),
    )
    three = replace(task, targets=targets)
    assert scales_of(three, REGION) == (9.0, 5.0, 2.0)
    assert scales_of(three, UNIFORM) == (5.0, 5.0, 5.0)
    maps = [guidance_map(t.region, HW, task.organs) for t in targets]
    plain, steered = (
        guided(made(replace(three, negative_prompt=words)), e)[0, 0] for words in ("", "mass")
    )
    for y, x in np.ndindex(*HW):
        a, b, c = (float(m[y, x]) for m in maps)
        y_, s, m = (float(e[name][0, 0, y, x]) for name in ("cond", "source", "negative"))
        most, omega = max(9 * a, 5 * b, 2 * c), max(a, b, c)
        assert float(plain[y, x]) == pytest.approx(s + most * (y_ - s), abs=1e-5)
        wanted = s + omega * (m - s) + most * (y_ - m)
        assert float(steered[y, x]) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("negative", ["", "edema"])
@pytest.mark.parametrize("where", ["region", "uniform"])
def test_an_rms_says_how_much_is_added_in_the_region(task, e, negative, where) -> None:
    """For each image apart: s is what brings the mean square in Ω to that of the RMS."""
    config = REGION.with_overrides({"sampling": {"guidance_rms": 0.3, "guidance_map": where}})
    law = made(replace(task, negative_prompt=negative), config)
    omega, found = guidance_map(task.targets[0].region, HW, task.organs), guided(law, e)
    reference = e["negative" if negative or where == "uniform" else "source"]
    for n in range(2):
        added = (e["cond"] - reference)[n].double().numpy()
        square = sum(omega[y, x] * added[c, y, x] ** 2 / 4 for c, y, x in np.ndindex(*added.shape))
        s = 0.3 / float(np.sqrt(square / omega.sum()))
        here = omega if where == "region" else np.ones(HW)
        source = e["source"][n].numpy() if where == "region" else reference[n].numpy()
        wanted = source + here * (reference[n].numpy() - source) + s * here * added
        assert np.allclose(found[n].numpy(), wanted, atol=1e-5)


def test_with_an_rms_twice_the_answer_of_the_network_adds_the_same(task, e) -> None:
    law = made(task, REGION.with_overrides({"sampling": {"guidance_rms": 0.3}}))
    twice = e | {"cond": e["source"] + 2 * (e["cond"] - e["source"])}
    assert torch.allclose(guided(law, twice), guided(law, e), atol=1e-5)
    still = e | {"cond": e["source"].clone()}
    assert torch.equal(guided(law, still), e["source"])


def test_no_answer_is_stretched_more_than_thirtyfold(task, e) -> None:
    law = made(task, REGION.with_overrides({"sampling": {"guidance_rms": 5.0}}))
    faint = e | {"cond": e["source"] + 1e-3 * (e["cond"] - e["source"])}
    most = made(task, REGION.with_overrides({"sampling": {"guidance_scale": 30.0}}))
    assert torch.allclose(guided(law, faint), guided(most, faint), atol=1e-5)


def test_findings_have_an_rms_of_their_own_beside_a_scale(task, e) -> None:
    mirror = task.targets[0].region[:, ::-1].copy()
    both = (replace(task.targets[0], rms=0.3), replace(task.targets[0], name="mass", region=mirror))
    law = made(replace(task, targets=both))
    assert (law.rms, law.scales) == ((0.3, 0.0), (5.0, 5.0))
    alone = made(replace(task, targets=both[:1]))
    other = made(replace(task, targets=both[1:]))
    far = torch.as_tensor(guidance_map(mirror, HW, task.organs) == 0)
    near = torch.as_tensor(guidance_map(task.targets[0].region, HW, task.organs) == 0)
    assert torch.equal(guided(law, e)[..., far], guided(alone, e)[..., far])
    assert torch.equal(guided(law, e)[..., near], guided(other, e)[..., near])


def test_a_finding_of_less_strength_is_guided_from_where_a_run_of_it_would_begin(task, e):
    mirror = task.targets[0].region[:, ::-1].copy()
    late = replace(task.targets[0], name="mass", region=mirror, strength=0.4)
    both = replace(task, targets=(task.targets[0], late))
    config = REGION.with_overrides({"start": {"strength": 0.55}})  # 11 of 20 steps
    assert first_steps(both, config) == (0, 3)
    law, alone = made(both, config), made(task, config)
    others = {name: e[name] for name in law.references}
    for i in (0, 2):
        assert torch.equal(law(e["cond"], others, i), alone(e["cond"], others, i))
    whole = made(replace(both, targets=(task.targets[0], replace(late, strength=None))), config)
    for i in (3, 10):
        assert torch.equal(law(e["cond"], others, i), whole(e["cond"], others, i))
    assert not torch.allclose(law(e["cond"], others, 2), law(e["cond"], others, 3), atol=1e-2)


@pytest.mark.parametrize(("strength", "first"), [(0.55, 0), (1.0, 0), (0.5, 1), (0.01, 10)])
def test_no_finding_begins_before_the_run_or_after_its_last_step(task, strength, first):
    own = replace(task, targets=(replace(task.targets[0], strength=strength),))
    assert first_steps(own, REGION.with_overrides({"start": {"strength": 0.55}})) == (first,)


def test_before_any_finding_is_guided_the_source_rules(task, e):
    own = replace(task, targets=(replace(task.targets[0], strength=0.1),))
    law = made(own, REGION.with_overrides({"start": {"strength": 0.55}}))
    others = {name: e[name] for name in law.references}
    assert torch.equal(law(e["cond"], others, 8), e["source"])
    assert not torch.equal(law(e["cond"], others, 9), e["source"])


def test_a_scale_of_one_finding_is_refused_where_the_whole_picture_is_guided(task):
    own = replace(task, targets=(replace(task.targets[0], guidance=2.0),))
    with pytest.raises(BadRequest, match="guidance of its own") as caught:
        made(own, UNIFORM)
    assert "guidance_map=region" in caught.value.hint


def test_scales_and_texts_go_with_the_task_into_a_window(task):
    own = replace(task, targets=(replace(task.targets[0], guidance=2.0),))
    cut = cut_task(own, Window(top=64, left=64, side=64, full=128))
    law = guidance_of(cut, REGION, (8, 8), like=torch.empty(0))
    whole = made(own)
    assert (law.scales, float(law.maps.max())) == ((2.0,), 1.0)
    assert torch.allclose(law.maps[:, 2:-1, 2:-1], whole.maps[:, 10:-1, 10:-1], atol=1e-2)


def blurred(plane):
    """Area pooling of 128 x 128 to 16 x 16, and a Gaussian of one cell, written out."""
    taps = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    taps /= taps.sum()
    at = np.clip(np.arange(16)[:, None] + np.arange(-4, 5), 0, 15)
    rows = np.einsum("t,rtc->rc", taps, plane.reshape(16, 8, 16, 8).mean((1, 3))[at])
    return np.einsum("t,rtc->rc", taps, rows.T[at]).T


def test_the_map_is_the_blurred_region_over_the_blurred_organs(task):
    region = task.targets[0].region
    around = np.maximum.reduce([region, *task.organs.values()])
    wanted = blurred(region) / np.maximum(blurred(around), 0.5)
    found = guidance_map(region, HW, task.organs)
    assert np.allclose(found, wanted / wanted.max(), atol=1e-12)
    assert (found.min(), found.max()) == (0, 1)
    assert np.array_equal(guidance_map(np.ones((128, 128)), HW, {}), np.ones(HW))
    speck = np.zeros((128, 128))
    speck[3, 5] = 1e-3
    assert guidance_map(speck, HW, {}).max() == 1
    assert guidance_map(speck, (12, 20), task.organs).shape == (12, 20)


def test_the_map_fades_over_a_border_within_an_organ_and_is_one_up_to_the_organs_own():
    lung, region = np.zeros((2, 128, 128))
    lung[:, 64:] = 1
    region[64:, 64:] = 1  # the lower half of the lung
    found = guidance_map(region, HW, {"left_lung": lung})
    tail = [0.30053, 0.05856, 0.00457, 0.00013]  # of the Gaussian beyond 1 to 4 cells
    assert found[4:8, 12] == pytest.approx(tail[::-1], abs=1e-4)  # above the cut, in the lung
    assert found[8:12, 12] == pytest.approx([1 - t for t in tail], abs=1e-4)  # below it
    assert found[12, 8:] == pytest.approx(1, abs=1e-4)  # up to the lung's border
    assert found[12, 4:8] == pytest.approx([2 * t for t in tail[::-1]], abs=1e-4)  # beyond it
