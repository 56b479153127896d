# SPDX-License-Identifier: Apache-2.0
"""Keys and values of a text are made once, and only where that changes nothing."""

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from monai_cxr_cf.diffusion.attention.install import controlled
from tests.diffusion.small import ALL_ON, latent, plan, small_unet, states

T = 500


@pytest.fixture(scope="module")
def unet():
    return small_unet()


def test_keys_and_values_of_a_text_are_made_once(unet):
    made, asked = plan(unet), []
    layers = [x.name for x in made.layers if x.cross and x.level < 3]
    hooks = [
        unet.get_submodule(f"{name}.to_k").register_forward_hook(
            lambda _, given, __: asked.append(given[0])
        )
        for name in layers
    ]
    prompt, other = states(), states(seed=9)
    with controlled(unet, made) as control, torch.no_grad():
        found = {}
        for step in range(3):
            for branch, text in (("cond", prompt), ("negative", other)):
                control.set(**(ALL_ON | {"branch": branch, "regional": False}))
                found[branch, step] = unet(latent(), T, encoder_hidden_states=text).sample
        assert len(asked) == 2 * len(layers)
        control.set(**(ALL_ON | {"regional": False}))
        moved = unet(latent(), T, encoder_hidden_states=other).sample
        assert len(asked) == 3 * len(layers), "another text under the same branch"
    for hook in hooks:
        hook.remove()
    assert torch.equal(found["cond", 0], found["cond", 2])
    assert torch.equal(found["negative", 0], found["negative", 2])
    assert not torch.equal(moved, found["cond", 0])


def test_an_own_processor_is_still_the_one_that_runs_where_no_law_acts(unet):
    class Own(AttnProcessor2_0):
        pass

    layer = next(x for x in plan(unet).layers if x.cross)
    module, own = unet.get_submodule(layer.name), Own()
    before = module.processor
    module.set_processor(own)
    try:
        with controlled(unet, plan(unet)) as control:
            control.set(**(ALL_ON | {"branch": "negative"}))
            assert not module.processor.busy()
            control.set(**ALL_ON)
            assert module.processor.busy()
    finally:
        module.set_processor(before)


def test_states_that_want_a_gradient_get_one(unet):
    text = states().clone().requires_grad_(True)
    with controlled(unet, plan(unet)) as control:
        control.set(**ALL_ON)
        for _ in range(2):
            unet(latent(), T, encoder_hidden_states=text).sample.sum().backward()
            assert float(text.grad.abs().sum()) > 0
            text.grad = None
