# SPDX-License-Identifier: Apache-2.0
"""Float32 masters of a bfloat16 network: what they keep, and where they are not needed."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.training import masters
from monai_cxr_cf.training.masters import Masters, adamw
from monai_cxr_cf.training.memory import keep_freed
from monai_cxr_cf.training.processes import start_accelerator


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that multiplies bfloat16, whatever this one does."""
    monkeypatch.setattr(masters, "multiplies_bf16", lambda: True)


def one(value: float = 1.0) -> nn.Linear:
    """A network of one weight."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


@pytest.mark.usefixtures("native")
def test_masters_keep_steps_that_bfloat16_alone_would_lose() -> None:
    accelerator, rate, steps = start_accelerator("bf16-pure"), 1e-4, 60
    lone = one().to(torch.bfloat16)
    alone = adamw(lone.parameters(), accelerator.device, rate=rate, decay=0.0)
    pair = Masters(one(), "bf16-pure", accelerator)
    kept = adamw(pair.model.parameters(), accelerator.device, rate=rate, decay=0.0)
    for _ in range(steps):
        pair.publish()
        for network in (lone, pair.worker):
            network(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
        pair.gather()
        for optimizer in (alone, kept):
            optimizer.step()
            optimizer.zero_grad()
    pair.publish()
    assert lone.weight.item() == 1.0
    assert pair.model.weight.item() == pytest.approx(1 - steps * rate, abs=1e-6)
    assert pair.worker.weight.item() == 1 - 2 * 2**-8  # of 0.994, the nearest that bf16 has
    assert (pair.model.weight.dtype, pair.worker.weight.dtype) == (torch.float32, torch.bfloat16)


@pytest.mark.usefixtures("native")
def test_gradients_of_a_window_are_added_in_float32() -> None:
    pair = Masters(one(), "bf16-pure", start_accelerator("bf16-pure"))
    for value in (1.0, 2.0**-9, 2.0**-9):
        pair.worker(torch.full((1, 1), value, dtype=torch.bfloat16)).sum().backward()
        pair.gather()
    assert pair.worker.weight.grad is None
    assert pair.model.weight.grad.item() == 1 + 2**-8


@pytest.mark.usefixtures("native")
def test_a_frozen_weight_has_no_gradient_and_stays() -> None:
    network = nn.Sequential(one(), one(3.0))
    network[1].requires_grad_(False)
    pair = Masters(network, "bf16-pure", start_accelerator("bf16-pure"))
    pair.worker(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
    pair.gather()
    assert network[0].weight.grad.item() == 3.0
    assert network[1].weight.grad is None
    assert pair.worker[1].weight.item() == 3.0


@pytest.mark.parametrize("precision", ["bf16", "no"])
def test_other_precisions_compute_on_the_masters_themselves(precision: str) -> None:
    network = one()
    pair = Masters(network, precision, start_accelerator(precision))
    assert pair.worker is network
    assert pair.cast(torch.ones(1, 1, 2, 2)).dtype == torch.float32


@pytest.mark.parametrize("precision", ["bf16", "bf16-pure"])
def test_a_processor_without_bfloat16_trains_in_float32_and_says_so(
    precision: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    network = one()
    with caplog.at_level(logging.WARNING):
        pair = Masters(network, precision, start_accelerator(precision))
    assert pair.worker is network
    with pair.autocast():
        assert network(torch.ones(1, 1)).dtype == torch.float32
    assert f"precision {precision} of the recipe is run in float32" in caplog.text
    assert "AVX512-BF16" in caplog.text


def test_an_unknown_precision_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadRequest, match="bf16-pure, bf16, no"):
        start_accelerator("half")


def test_the_allocator_is_told_or_is_another_one() -> None:
    import platform

    assert keep_freed() is (platform.libc_ver()[0] == "glibc")


@pytest.mark.usefixtures("native")
def test_what_a_checkpoint_restores_reaches_frozen_weights_of_the_worker_too() -> None:
    network = one()
    network.requires_grad_(False)
    pair = Masters(network, "bf16-pure", start_accelerator("bf16-pure"))
    pair.model.load_state_dict({"weight": torch.full((1, 1), 3.0)})
    pair.restored()
    assert pair.worker.weight.item() == 3.0


@pytest.mark.usefixtures("native")
def test_a_step_cut_short_leaves_no_gradient_in_the_worker() -> None:
    pair = Masters(one(), "bf16-pure", start_accelerator("bf16-pure"))
    pair.publish()
    pair.worker(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
    assert pair.worker.weight.grad is not None
    pair.forget()
    assert pair.worker.weight.grad is None
