# SPDX-License-Identifier: Apache-2.0
"""The loop in its modes: removal, several findings, sham, and the window of output.roi_crop."""

from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import torch

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.cost.meter import Meter
from monai_cxr_cf.diffusion.denoise import Denoiser
from monai_cxr_cf.diffusion.model.tiny import tiny_backbone
from monai_cxr_cf.diffusion.modes import sham_task
from monai_cxr_cf.diffusion.prepare import prepare
from monai_cxr_cf.diffusion.render import render
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.steps import Noise
from monai_cxr_cf.diffusion.trace import schema
from monai_cxr_cf.diffusion.window import Window, fit_window
from monai_cxr_cf.errors import BadRequest
from tests.diffusion.conftest import box
from tests.diffusion.small import EVERY

SHORT = {"sampling": {"steps": 6}}
QUICK = EVERY.with_overrides(SHORT)


def test_a_removal_boosts_the_finding_in_the_negative_branch_only(tiny, task) -> None:
    target = replace(task.targets[0], where="negative")
    removal = replace(
        task,
        prompt="no acute cardiopulmonary process",
        negative_prompt=task.prompt,
        targets=(target,),
        mode="removal",
    )
    with_boost = sample(tiny, removal, QUICK, seeds=[1])
    without = sample(tiny, removal, QUICK.with_overrides({"boost": {"eta": 0.0}}), seeds=[1])
    assert not torch.equal(with_boost.z, without.z)
    assert all(step["correction"] is None for step in with_boost.trace["steps"])
    assert with_boost.trace["steps"][0]["roi_score"]["0"]["pleural effusion"]
    with pytest.raises(BadRequest, match="removal needs guidance"):
        sample(
            tiny,
            removal,
            QUICK.with_overrides({"sampling": {"guidance_scale": 1.0}}),
            seeds=[1],
        )


def test_the_negative_branch_ignores_the_boost_in_an_edit(tiny, task) -> None:
    """CFG alone differs: with the conditional branch left out, η changes nothing."""
    results = []
    for eta in (0.0, 1.5):
        config = QUICK.with_overrides({"boost": {"eta": eta}})
        run = prepare(tiny, task, config, seeds=(1,))
        with controlled(tiny.unet, run.plan) as control:
            unet = Denoiser(run, control, Meter(tiny))
            z = Noise((1,), run.z_src.shape[1:], "cpu").draw()
            results.append((unet.predict(z, 0, "cond"), unet.predict(z, 0, "negative")))
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][0], results[1][0])


def test_two_findings_are_edited_at_once(tiny, task) -> None:
    other = replace(
        task.targets[0],
        name="cardiomegaly",
        tokens=(1,),
        region=np.flip(task.targets[0].region, 1).copy(),
        eta=3.0,
    )
    kappa = np.maximum(task.kappa, other.region)
    both = replace(task, targets=(*task.targets, other), kappa=kappa)
    samples = sample(tiny, both, QUICK, seeds=[1])
    row = samples.trace["steps"][0]["roi_score"]["0"]
    assert set(row) == {"pleural effusion", "cardiomegaly"}


def test_a_mixed_edit_brings_one_finding_and_takes_another(tiny, task) -> None:
    """Each finding is scored in the prompt that carries it; only the coming one is corrected."""
    going = replace(
        task.targets[0],
        name="cardiomegaly",
        tokens=(1, 2),
        region=np.flip(task.targets[0].region, 1).copy(),
        where="negative",
    )
    mixed = replace(
        task, negative_prompt="cardiomegaly", targets=(*task.targets, going), mode="mixed"
    )
    samples = sample(tiny, mixed, QUICK, seeds=[1])
    step = samples.trace["steps"][0]
    assert set(step["roi_score"]["0"]) == {"pleural effusion", "cardiomegaly"}
    assert set(step["correction"]["scores"]["score"]["2"]) == {"pleural effusion"}
    jsonschema.Draft202012Validator(schema()).validate(samples.trace)
    unboosted = replace(mixed, targets=(task.targets[0], replace(going, eta=0.0)))
    assert not torch.equal(samples.z, sample(tiny, unboosted, QUICK, seeds=[1]).z)


def test_a_sham_runs_the_source_prompt_without_words_to_boost(tiny, task) -> None:
    samples = sample(tiny, sham_task(task), QUICK, seeds=[1])
    assert samples.trace["mode"] == "sham"
    assert all(step["roi_score"] == {} for step in samples.trace["steps"])
    assert not torch.equal(samples.z, samples.z_src)


def test_a_crop_of_384_is_a_window_of_three_quarters(task) -> None:
    """Derived from the model side; what lies outside is shown as it was."""
    wide, big = tiny_backbone(side=256), doubled(task)
    cropped = QUICK.with_overrides({"output": {"roi_crop": 384}})
    samples = sample(wide, big, cropped, seeds=[1])
    assert samples.window.side == 192
    assert samples.z.shape == (1, 4, 24, 24)
    shown = render(wide, samples, big.image)
    assert shown.edited.shape == (1, 256, 256)
    outside = samples.window.put(np.zeros((192, 192), np.float32), np.ones((256, 256))) > 0
    assert np.array_equal(shown.edited[0][outside], big.image[outside])
    assert np.array_equal(shown.reference[outside], big.image[outside])
    whole = replace(big, targets=(replace(big.targets[0], region=big.image),))
    uncropped = sample(wide, whole, cropped, seeds=[1])
    assert uncropped.window is None
    assert "does not fit" in uncropped.trace["notes"][0]


def doubled(task):
    """The same task at twice the side."""

    def twice(plane):
        return np.kron(plane, np.ones((2, 2), np.float32))

    return replace(
        task,
        image=twice(task.image),
        organs={name: twice(plane) for name, plane in task.organs.items()},
        targets=tuple(replace(t, region=twice(t.region)) for t in task.targets),
        kappa=twice(task.kappa),
    )


def test_the_window_holds_region_and_band_wherever_they_lie(task) -> None:
    """Corners on latent cells, inside the image, all of κ inside; side 64 of 128."""
    for top in range(0, 92, 5):
        for left in (0, 3, 50, 77, 91):
            region = box(top, top + 30, left, left + 37)
            kappa = box(max(0, top - 7), min(128, top + 36), max(0, left - 6), min(128, left + 41))
            case = replace(task, targets=(replace(task.targets[0], region=region),), kappa=kappa)
            window = fit_window(case, roi_crop=384, multiple=64, factor=8)
            assert window.side == 64
            assert window.top % 8 == window.left % 8 == 0
            assert window.cut(kappa).sum() == kappa.sum()
            assert window.cut(region).sum() == region.sum()


@pytest.mark.parametrize(
    ("region", "roi_crop"), [(box(0, 52, 0, 20), 384), (box(0, 20, 0, 20), 0)], ids=["big", "off"]
)
def test_no_window_if_the_margin_does_not_fit_or_it_is_off(task, region, roi_crop) -> None:
    case = replace(task, targets=(replace(task.targets[0], region=region),), kappa=region)
    assert fit_window(case, roi_crop=roi_crop, multiple=64, factor=8) is None


def test_the_side_of_the_window_is_three_quarters_of_the_model(task) -> None:
    region = np.zeros((512, 512), np.float32)
    region[200:300, 100:250] = 1
    case = replace(
        task,
        image=region,
        organs={},
        targets=(replace(task.targets[0], region=region),),
        kappa=region,
    )
    window = fit_window(case, roi_crop=384, multiple=64, factor=8)
    assert window == Window(top=56, left=0, side=384, full=512)
