# SPDX-License-Identifier: Apache-2.0
"""One steered layer: the order of its laws, the layer's own options, and what it refuses."""

from types import SimpleNamespace

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

from monai_cxr_cf.diffusion.attention.processors import SteeredCross, SteeredSelf
from monai_cxr_cf.diffusion.laws.specification import DenseShift, MaskGate, TokenGain
from monai_cxr_cf.errors import CxrError


def attention(*, cross, **options):
    """A diffusers layer with every option that Stable Diffusion leaves off."""
    torch.manual_seed(1)
    made = Attention(
        query_dim=16,
        cross_attention_dim=12 if cross else None,
        heads=2,
        dim_head=8,
        qk_norm="layer_norm",
        rescale_output_factor=2.0,
        **options,
    ).double()
    for name, weight in made.named_parameters():
        if "norm" in name:
            weight.data.uniform_(0.5, 2.0)
    return made.eval()


def control(**answers):
    made = SimpleNamespace(
        branch="cond", gating=True, dense_level=1.0, stored=[], several="shares" in answers
    )
    made.plan = SimpleNamespace(
        gates={0: MaskGate(torch.ones(6).double())}, tokens={"cond": (4, 2)}, source_states=None
    )
    for name in ("gain", "region", "shift", "shares"):
        setattr(made, name, lambda level, name=name: answers.get(name))
    made.records = lambda level: answers.get("record", False)
    made.store = lambda layer, columns: made.stored.append(columns)
    return made


LAYER = SimpleNamespace(level=0, grid=(2, 3), name="layer")


@torch.no_grad()
def test_a_steered_layer_keeps_the_norms_and_the_scale_of_the_layer():
    hidden, context = torch.randn(2, 6, 16).double(), torch.randn(2, 9, 12).double()
    own = attention(cross=False)
    steered = SteeredSelf(control(), LAYER, None)
    assert torch.allclose(steered(own, hidden), AttnProcessor2_0()(own, hidden), atol=1e-12)
    other = attention(cross=True, cross_attention_norm="layer_norm")
    plain = AttnProcessor2_0()(other, hidden, encoder_hidden_states=context)
    law = TokenGain((4,), torch.ones(1, 6).double())
    steered = SteeredCross(control(gain=law), LAYER, None)
    assert torch.allclose(steered(other, hidden, encoder_hidden_states=context), plain, atol=1e-12)


@torch.no_grad()
def test_an_idle_layer_hands_everything_to_the_processor_it_had():
    idle, told = control(), {}

    def plain(attn, hidden, **given):
        told.update(given)
        return hidden + 1

    idle.gating = False
    for kind in (SteeredSelf, SteeredCross):
        hidden = torch.randn(1, 6, 16)
        mask, context = torch.ones(1), torch.randn(1, 9, 12)
        out = kind(idle, LAYER, plain)(
            None, hidden, encoder_hidden_states=context, attention_mask=mask
        )
        assert torch.equal(out, hidden + 1)
        assert told["encoder_hidden_states"] is context
        assert told["attention_mask"] is mask


def test_a_busy_layer_refuses_masks_other_sizes_and_missing_words():
    own, other = attention(cross=False), attention(cross=True)
    hidden = torch.randn(1, 6, 16).double()
    with pytest.raises(CxrError, match="no attention mask"):
        SteeredSelf(control(), LAYER, None)(own, hidden, attention_mask=torch.ones(1))
    with pytest.raises(CxrError, match="A layer of 6 planned cells met 5"):
        SteeredSelf(control(), LAYER, None)(own, hidden[:, :5])
    law = TokenGain((4,), torch.ones(1, 6).double())
    with pytest.raises(CxrError, match="without text states"):
        SteeredCross(control(gain=law), LAYER, None)(other, hidden)
    with pytest.raises(CxrError, match="without source states"), torch.no_grad():
        SteeredCross(control(region=torch.ones(6)), LAYER, None)(
            other, hidden, encoder_hidden_states=torch.randn(1, 9, 12).double()
        )


def maps(attn, hidden, context):
    """The explicit softmax (B, heads, N, 9) and the values."""
    q, k, v = (
        layer(x).unflatten(-1, (2, -1)).transpose(1, 2)
        for layer, x in ((attn.to_q, hidden), (attn.to_k, context), (attn.to_v, context))
    )
    return (attn.norm_q(q) @ attn.norm_k(k).transpose(-1, -2) / 8**0.5).softmax(-1), v


@pytest.mark.parametrize("answers", ["", "gain", "shift", "region", "gain shift", "gain region"])
@pytest.mark.parametrize("record", [True, False])
@torch.no_grad()
def test_shift_then_gain_then_region_and_the_raw_columns(answers, record):
    attn, generator = attention(cross=True), torch.Generator().manual_seed(0)
    hidden, context, source = (
        torch.randn(2, n, c, generator=generator, dtype=torch.float64)
        for n, c in ((6, 16), (9, 12), (9, 12))
    )
    rand = torch.rand(4, 6, 9, generator=generator, dtype=torch.float64)
    laws = {
        "gain": TokenGain((4, 1), 1 + rand[0, :, :2].T),
        "shift": DenseShift((rand[1] > 0.5).double(), rand[2, :1], 1.0),
        "region": rand[3, :, 0],
    }
    acting = {name: laws[name] for name in answers.split()}
    one = control(record=record, **acting)
    busy = SteeredCross(one, LAYER, None).busy()
    assert busy == (record or bool(acting))
    if not busy:
        return
    one.plan.source_states, one.dense_level = source[:1], 0.5
    out = SteeredCross(one, LAYER, None)(attn, hidden, encoder_hidden_states=context)
    raw, v = maps(attn, hidden, context)
    probs = laws["shift"](raw, 0.5) if "shift" in acting else raw
    expected = (laws["gain"](probs) if "gain" in acting else probs) @ v
    if "region" in acting:
        there, w = maps(attn, hidden, source[:1].expand(2, -1, -1))
        omega = laws["region"][:, None]
        expected = omega * expected + (1 - omega) * (there @ w)
    expected = attn.to_out[0](expected.transpose(1, 2).flatten(2)) / 2.0
    assert torch.allclose(out, expected, atol=1e-6)
    assert len(one.stored) == record
    for columns in one.stored:
        assert torch.allclose(columns, raw.mean(1)[..., [4, 2]], atol=1e-7)
