# SPDX-License-Identifier: Apache-2.0
"""One pass of cxr-mini's UNet on one thread: as it is, and in forms that might be faster.

python -m benchmarks.unet_forms
"""

import copy
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from monai_cxr_cf.runs.networks import Networks


def main() -> int:
    """Milliseconds a latent (least of twenty, in turns), and how far the prediction moves."""
    torch.set_num_threads(1)
    unet = Networks().backbone("cxr-mini").unet
    latent = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    text = torch.zeros(1, 77, unet.config.cross_attention_dim)
    rows, half = copy.deepcopy(unet).to(memory_format=torch.channels_last), torch.bfloat16
    narrow, pair = copy.deepcopy(unet).to(half), (latent.repeat(2, 1, 1, 1), text.repeat(2, 1, 1))
    beside = latent.contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(copy.deepcopy(unet))
    forms: dict[str, tuple[Callable[[], Any], int]] = {
        "plain": (lambda: unet(latent, 500, text).sample, 1),
        "channels_last": (lambda: rows(beside, 500, text).sample, 1),
        "two_at_once": (lambda: unet(pair[0], 500, pair[1]).sample, 2),
        "bfloat16": (lambda: narrow(latent.to(half), 500, text.to(half)).sample, 1),
        "compiled": (lambda: compiled(latent, 500, text).sample, 1),
    }
    told: dict[str, dict[str, float]] = {}
    with torch.inference_mode():
        expected = unet(latent, 500, text).sample
        first = {name: taken(call) for name, (call, _) in forms.items()}
        rounds = [{name: taken(call) for name, (call, _) in forms.items()} for _ in range(20)]
        for name, (call, latents) in forms.items():
            each = min(one[name] for one in rounds) / latents
            moved = float((call()[:1].float() - expected).abs().max())
            told[name] = {"ms": 1e3 * each, "first_s": round(first[name], 2), "moved": moved}
    for form in told.values():
        form["of_plain"] = round(form["ms"] / told["plain"]["ms"], 2)
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    return 0


def taken(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
