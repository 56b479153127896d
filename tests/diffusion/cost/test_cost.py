# SPDX-License-Identifier: Apache-2.0
"""F is counted, and the figures of docs/method.md 5 come out of the counts."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from monai_cxr_cf.diffusion.cost.estimate import (
    check_memory,
    estimate,
    seconds_per_f,
    within_memory,
)
from monai_cxr_cf.diffusion.cost.flops import config_key, unet_flops, vae_flops
from monai_cxr_cf.diffusion.cost.meter import Meter, Ratios, ratios
from monai_cxr_cf.diffusion.model.single_file import SD1_SCHEDULER, SD1_UNET, SD1_VAE
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.errors import ResourceExhausted
from monai_cxr_cf.presets import DEFAULT, FAST, PAPER
from tests.diffusion.small import EVERY

SIDE = (64, 64)
CROPPED = FAST.with_overrides({"output": {"roi_crop": 384}})
GRADIENTS = {  # last attn2 -> forward, forward + backward (docs/method.md 2.5)
    "down_blocks.1.attentions.1": (0.206, 0.471),
    "down_blocks.2.attentions.1": (0.285, 0.630),
    "mid_block.attentions.0": (0.317, 0.694),
    "up_blocks.1.attentions.2": (0.495, 1.050),
    "up_blocks.3.attentions.2": (0.986, 2.121),
}


@pytest.fixture(scope="module")
def sd15():
    """SD v1.5 at 512 px without weights: everything the cost model asks of a backbone."""
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**SD1_UNET), AutoencoderKL(**SD1_VAE)
    return SimpleNamespace(
        unet=unet,
        vae=vae,
        text_encoder=torch.nn.Linear(1, 1),
        scheduler_config=SD1_SCHEDULER,
        side=512,
        factor=8,
        multiple=64,
    )


@pytest.fixture(scope="module")
def keys(sd15):
    return config_key(sd15.unet), config_key(sd15.vae)


def test_one_forward_is_0_803_tflop(keys) -> None:
    assert unet_flops(keys[0], SIDE) / 1e12 == pytest.approx(0.803, abs=5e-4)


def test_vae_costs_1_39_and_3_13_forwards(keys) -> None:
    r = Ratios(*keys, native=SIDE, hw=SIDE)
    assert r.encode == pytest.approx(1.39, abs=5e-3)
    assert r.decode == pytest.approx(3.13, abs=5e-3)
    assert vae_flops(keys[1], (48, 48), encode=False) / r.unit / 3.13 == pytest.approx(
        0.5625, abs=0.01
    )


@pytest.mark.parametrize(("side", "share"), [(32, 0.224), (40, 0.357), (48, 0.527), (96, 2.67)])
def test_forward_cost_by_latent_side(keys, side, share) -> None:
    assert Ratios(*keys, native=SIDE, hw=(side, side)).forward() == pytest.approx(share, abs=5e-3)


@pytest.mark.parametrize("layer", GRADIENTS)
def test_truncated_gradient_costs(keys, layer) -> None:
    """Up to 0.004 F below the table, which counted the rest of the last block too."""
    name, r = f"{layer}.transformer_blocks.0.attn2", Ratios(*keys, native=SIDE, hw=SIDE)
    forward, both = GRADIENTS[layer]
    assert r.forward(name) == pytest.approx(forward, abs=4e-3)
    assert r.forward(name) + r.backward(name) == pytest.approx(both, abs=5e-3)


@pytest.mark.parametrize(
    ("config", "crop", "f"),
    [
        (PAPER, False, 147.2),
        (EVERY, False, 39.0),
        (DEFAULT, False, 35.65),
        (FAST, False, 19.65),
        (CROPPED, True, 10.59),
    ],
)
def test_presets_cost_what_the_method_says(sd15, config, crop, f) -> None:
    found = estimate(sd15, config, crop=crop, seconds_per_f=2.0)
    assert found.f == pytest.approx(f, abs=0.2)
    assert found.tflop == pytest.approx(f * 0.803, abs=0.5)
    assert found.seconds == pytest.approx(2 * found.f)
    assert found.memory_gib > 3


def test_targets_default_40_and_fast_20(sd15) -> None:
    assert estimate(sd15, DEFAULT).f <= 40
    assert estimate(sd15, FAST).f <= 20


@pytest.mark.parametrize("config", [PAPER, EVERY, DEFAULT, FAST], ids=str)
def test_the_trace_counts_the_calls_that_the_targets_assume(tiny, task, config) -> None:
    """The loop's real calls are those that the estimate prices."""
    trace = sample(tiny, task, config, seeds=[1]).trace
    calls = trace["cost"]["calls"]
    n_exec = {50: 50, 20: 14, 10: 6}[config.sampling.steps]
    guided = 11 if config is EVERY else n_exec
    window = trace["boost_window"][1] - trace["boost_window"][0]
    corrected = window if config in (PAPER, EVERY) else 0
    assert calls["unet"] == n_exec + guided
    assert calls.get("gradient", 0) == calls.get("backward", 0) == corrected
    assert calls["encode"] == 1
    if trace["window"] is None:
        assert trace["cost"]["f"]["unet"] == pytest.approx(n_exec + guided)
    estimated = estimate(tiny, config, crop=trace["window"] is not None)
    decodes = 1 if config is PAPER else 2
    hw = (8, 8) if trace["window"] else (16, 16)
    f = trace["cost"]["f"]
    assert f["total"] - f["census"] + decodes * ratios(tiny, hw).decode == pytest.approx(
        estimated.f
    )
    assert f["census"] < 1


def test_a_batch_costs_as_many_times_one_image(tiny, task) -> None:
    config = EVERY.with_overrides({"sampling": {"steps": 5}})
    one, three = (sample(tiny, task, config, seeds=s).trace["cost"] for s in ([1], [1, 2, 3]))
    assert three["f"]["unet"] == pytest.approx(3 * one["f"]["unet"])
    assert three["images"] == 3


def test_the_meter_counts_calls_and_leaves_no_hooks(tiny) -> None:
    meter = Meter(tiny)
    z, states = torch.zeros(2, 4, 16, 16), torch.zeros(2, 77, 24)
    with meter.counting(), torch.no_grad():
        tiny.unet(z, 1, encoder_hidden_states=states)
        with meter.during("inversion"):
            tiny.unet(sample=z[:1], timestep=1, encoder_hidden_states=states[:1])
        tiny.vae.decode(z)
    with torch.no_grad():
        tiny.unet(z, 1, encoder_hidden_states=states)
    assert dict(meter.calls) == {"unet": 1, "inversion": 1, "decode": 1}
    assert dict(meter.images) == {"unet": 2, "inversion": 1, "decode": 2}
    split = meter.split((16, 16))
    assert split["unet"] == pytest.approx(2)
    assert split["total"] == pytest.approx(sum(v for k, v in split.items() if k != "total"))


def test_one_forward_is_timed_on_this_machine(tiny) -> None:
    assert 0 < seconds_per_f(tiny) < 60


def test_a_run_that_surely_does_not_fit_is_refused_with_advice(tiny, sd15) -> None:
    check_memory(tiny, DEFAULT)
    sd15.device, sd15.side = torch.device("cpu"), 64 * 1024  # 64 k pixels a side: terabytes
    try:
        with pytest.raises(ResourceExhausted, match="more memory") as caught:
            check_memory(sd15, DEFAULT)
    finally:
        sd15.side = 512
    assert "fast" in caught.value.hint


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")]
)
def test_memory_that_runs_out_is_told_with_the_preset_that_fits(tiny, error):
    with (
        pytest.raises(ResourceExhausted, match="--preset fast"),
        within_memory(tiny, DEFAULT),
    ):
        raise error
    with pytest.raises(RuntimeError, match="another"), within_memory(tiny, DEFAULT):
        raise RuntimeError("another fault")
