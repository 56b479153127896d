# SPDX-License-Identifier: Apache-2.0
"""Ours and the plain baseline on one signature."""

import jsonschema
import pytest
import torch

from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.trace import schema
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.methods.registry import BY_PRESET as METHODS
from monai_cxr_cf.methods.registry import run_method
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
