# SPDX-License-Identifier: Apache-2.0
"""Ours and the plain baseline on one signature; auto strength sums what it spent."""

import jsonschema
import numpy as np
import pytest
import torch

from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.strength import auto_strength, region_ssim, ssim_map
from monai_cxr_cf.diffusion.trace import schema
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.methods.registry import METHODS, run_method
from monai_cxr_cf.presets import DEFAULT

QUICK = DEFAULT.with_overrides({"sampling": {"steps": 5}})


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_one_signature_and_a_valid_trace(tiny, task, name) -> None:
    heard = []
    samples = run_method(name, tiny, task, config=QUICK, seeds=[1, 2], progress=heard.append)
    assert samples.z.shape == (2, 4, 16, 16)
    assert samples.trace["method"] == name
    assert heard
    jsonschema.Draft202012Validator(schema()).validate(samples.trace)


def test_an_unknown_method_is_refused(tiny, task) -> None:
    with pytest.raises(BadRequest, match="Unknown method 'gan'"):
        run_method("gan", tiny, task, config=QUICK, seeds=[1])


def test_regulated_is_the_sampler(tiny, task) -> None:
    ours = METHODS["regulated"](tiny, task, QUICK, seeds=[1])
    assert torch.equal(ours.z, sample(tiny, task, QUICK, seeds=[1]).z)


def test_plain_image_to_image_costs_two_forwards_a_step_and_has_no_law(tiny, task) -> None:
    samples = METHODS["sdedit"](tiny, task, QUICK, seeds=[1])
    assert samples.trace["cost"]["calls"] == {"encode": 1, "unet": 6}
    assert all(s["roi_score"] == {} and not s["gated"] for s in samples.trace["steps"])
    other = QUICK.with_overrides({"boost": {"eta": 9.0}, "gate": {"mode": "keys"}})
    assert torch.equal(samples.z, METHODS["sdedit"](tiny, task, other, seeds=[1]).z)


def test_auto_strength_finds_the_target_and_sums_its_cost(tiny, task) -> None:
    config = DEFAULT.with_overrides(
        {"start": {"auto_ssim": 0.9}, "keep": {"paste": True}, "correct": {"alpha_max": 0.0}}
    )
    samples = METHODS["regulated"](tiny, task, config, seeds=[1])
    search = samples.trace["auto_strength"]
    tried = search["evaluations"]
    assert 1 <= len(tried) <= 5
    best = min(tried, key=lambda one: abs(one["ssim"] - 0.9))
    assert samples.trace["strength"] == best["strength"]
    assert samples.trace["cost"]["f"]["total"] == pytest.approx(sum(one["f"] for one in tried))
    assert samples.trace["config_hash"] == config.hash()
    jsonschema.Draft202012Validator(schema()).validate(samples.trace)
    alone = DEFAULT.with_overrides(
        {"start": {"strength": best["strength"]}, "correct": {"alpha_max": 0.0}}
    )
    assert torch.equal(samples.z, sample(tiny, task, alone, seeds=[1]).z), "the same noise"


def test_bisection_keeps_the_best_of_at_most_five() -> None:
    asked = []

    def falling(strength: float) -> tuple[float, str]:
        asked.append(strength)
        return 1 - strength, f"at {strength}"

    found = auto_strength(falling, 0.63, steps=1000)
    assert len(asked) <= 5
    assert asked[0] == pytest.approx(0.55)
    assert found.strength == pytest.approx(0.37, abs=0.02)
    assert found.result == f"at {found.strength}"
    assert all(0.2 <= s <= 0.9 for s in asked)
    unreachable = auto_strength(lambda s: (0.1, s), 0.99, steps=1000)
    assert len(unreachable.tried) == 5


def test_bisection_stops_when_steps_cannot_tell_strengths_apart() -> None:
    assert len(auto_strength(lambda s: (0.1, s), 0.9, steps=4).tried) <= 3


def test_ssim_is_one_for_equal_images_and_falls_with_noise() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((64, 64))
    assert np.allclose(ssim_map(image, image), 1)
    near, far = (image + rng.normal(0, s, image.shape) for s in (0.05, 0.5))
    assert 1 > ssim_map(image, near).mean() > ssim_map(image, far).mean()


def test_region_ssim_looks_only_where_kappa_is_positive() -> None:
    image = np.random.default_rng(0).random((1, 64, 64)).astype(np.float32)
    changed = image.copy()
    changed[:, :20] = 0
    kappa = np.zeros((64, 64), np.float32)
    kappa[40:] = 0.1
    assert region_ssim(changed, image[0], kappa) == pytest.approx(1)
    assert region_ssim(changed, image[0], np.ones((64, 64), np.float32)) < 0.9
    assert region_ssim(changed, image[0], np.zeros((64, 64), np.float32)) == 1
