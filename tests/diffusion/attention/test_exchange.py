# SPDX-License-Identifier: Apache-2.0
"""Shares of one layer's output: against loops over images and cells, and their invariants."""

import math

import pytest
import torch

from monai_cxr_cf.diffusion.attention.exchange import Exchange
from monai_cxr_cf.diffusion.laws.specification import TokenGain

B, HEADS, CELLS, WIDTH = 2, 3, 6, 5


def tensors():
    """q, k, v of the text, k and v of the source, float64."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return (
        draw(B, HEADS, CELLS, WIDTH),
        draw(B, HEADS, 77, WIDTH),
        draw(B, HEADS, 77, WIDTH),
        draw(1, HEADS, 77, WIDTH),
        draw(1, HEADS, 77, WIDTH),
    )


GAIN = TokenGain((3, 4), torch.linspace(1, 3, 2 * CELLS, dtype=torch.float64).view(2, CELLS))
OMEGA = torch.linspace(0, 1, CELLS, dtype=torch.float64)
LAWS = [
    {},
    {"gain": GAIN},
    {"omega": OMEGA},
    {"gain": TokenGain(GAIN.tokens, GAIN.gain, renorm=True), "omega": OMEGA},
]


def output(given, taken, gain=None):
    """The layer's output for one choice of tokens, cell by cell with concatenated K and V."""
    q, k, v, k_source, v_source = given
    out = torch.zeros(B, HEADS, CELLS, WIDTH, dtype=torch.float64)
    for b in range(B):
        for h in range(HEADS):
            keys = [k_source[0, h, i] if i in taken else k[b, h, i] for i in range(77)]
            values = [v_source[0, h, i] if i in taken else v[b, h, i] for i in range(77)]
            for n in range(CELLS):
                weights = [math.exp(float(q[b, h, n] @ key) / math.sqrt(WIDTH)) for key in keys]
                weights = [w / sum(weights) for w in weights]
                if gain is not None:
                    for row, token in enumerate(gain.tokens):
                        weights[token] *= 1 if token in taken else float(gain.gain[row, n])
                    if gain.renorm:
                        weights = [w / sum(weights) for w in weights]
                out[b, h, n] = sum(w * x for w, x in zip(weights, values, strict=True))
    return out


@pytest.mark.parametrize("laws", LAWS, ids=["plain", "gain", "region", "renormalised in region"])
def test_a_share_is_the_lost_part_along_the_effect(laws) -> None:
    given, taken = tensors(), (3, 4, 10)
    gain, omega = laws.get("gain"), laws.get("omega", torch.ones(CELLS, dtype=torch.float64))
    target, source = output(given, (), gain), output(given, range(77))
    lost = (target - output(given, taken, gain)) * omega[:, None]
    effect = (target - source) * omega[:, None]
    expected = sum(float((lost[b] * effect[b]).sum() / effect[b].square().sum()) for b in range(B))
    assert Exchange(*given, **laws).share(taken) == pytest.approx(expected / B, abs=1e-12)


@pytest.mark.parametrize("laws", LAWS, ids=["plain", "gain", "region", "renormalised in region"])
def test_all_tokens_hold_the_whole_effect_and_none_hold_nothing(laws) -> None:
    seen = Exchange(*tensors(), **laws)
    assert seen.share(range(77)) == 1
    assert seen.share(()) == 0


def test_masses_of_all_tokens_sum_to_one_whatever_the_laws() -> None:
    parts = (range(5), range(5, 20), range(20, 77))
    for laws in LAWS:
        seen = Exchange(*tensors(), **laws)
        assert sum(seen.mass(part) for part in parts) == pytest.approx(1, abs=1e-12)


def test_a_text_that_is_the_source_has_no_shares() -> None:
    q, k, v, _, _ = tensors()
    same = Exchange(q[:1], k[:1], v[:1], k[:1], v[:1])
    assert same.share((3,)) is None
    nowhere = Exchange(*tensors(), omega=torch.zeros(CELLS, dtype=torch.float64))
    assert nowhere.share((3,)) is None


def test_what_it_asks_is_counted() -> None:
    seen = Exchange(*tensors())
    product = 2 * B * HEADS * CELLS * WIDTH * 77
    assert seen.flops == 4 * product
    seen.share((1,))
    assert seen.flops == 5 * product
