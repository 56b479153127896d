# SPDX-License-Identifier: Apache-2.0
"""One card in at most eight minutes: seconds, memory and equality of SD v1.5 at random weights.

    python -m benchmarks.gpu --json gpu.json
    python -m benchmarks.gpu --tiny --device cpu --minutes 1        tries the script, small

Parts in the order of their worth, so that what the time does not reach is the least: equality
checks, presets by precision and batch, torch.compile, training of cxr-mini's networks. A row that
would not fit into the time left, going by the one before it, is left out and said so.
"""

import argparse
import copy
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.against import machine
from benchmarks.sd15 import settings, small_backbone, task_for, timed, true_backbone
from monai_cxr_cf.devices import device_of
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.codec import decode
from monai_cxr_cf.diffusion.sample import sample

BATCHES = (1, 2, 4, 8, 16, 32, 64)
PRESETS = ("default", "fast", "plain")
TRAINED = (12, 48, 192)  # images a step
GROWTH = 2.3  # seconds of a row over those of the one before it, at most
NEAR = 1e-3  # share of the latents' range by which a batch may differ from single runs, fp32
Told = dict[str, Any]


class Budget:
    """The time that is left."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes
        self.skipped: list[str] = []

    def fits(self, seconds: float, words: str) -> bool:
        """Whether so many seconds are left; what does not fit is noted."""
        if time.monotonic() + seconds < self.end:
            return True
        self.skipped.append(words)
        return False


def wait(device: torch.device) -> None:
    """Until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clocked(device: torch.device, work: Callable[[], Any], times: int = 3) -> float:
    """Median seconds of some calls after one that is not counted."""
    work()
    found = []
    for _ in range(times):
        wait(device)
        began = time.perf_counter()
        work()
        wait(device)
        found.append(time.perf_counter() - began)
    return sorted(found)[len(found) // 2]


def peak_mib(device: torch.device) -> float | None:
    """Most memory of the card since the last reset."""
    return round(torch.cuda.max_memory_allocated(device) / 2**20) if device.type == "cuda" else None


def reset(device: torch.device) -> None:
    """Free what nobody holds, and count memory anew."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def equality(full: Backbone, half: Backbone, steps: int) -> Told:
    """Repeated, batched and halved runs beside the first; None where memory did not suffice."""
    task, config = task_for(full), settings("default", steps)

    def drawn(backbone: Backbone, *seeds: int) -> Any:
        return sample(backbone, task, config, seeds=seeds).z.cpu()

    one, two = drawn(full, 1), drawn(full, 1, 2)
    low = drawn(half, 1)
    span = float(one.max() - one.min())
    apart = np.abs(decode(full, one) - decode(full, low)).mean() * 255
    told = {
        "fp32_same_bytes_again": torch.equal(one, drawn(full, 1)),
        "bf16_same_bytes_again": torch.equal(low, drawn(half, 1)),
        "batch_over_alone": float((two[:1] - one).abs().max()) / span,
        "finite": bool(one.isfinite().all() and low.isfinite().all()),
        "bf16_grey_levels_whole_decode": round(float(apart), 3),
    }
    return {**told, "batch_near": told["batch_over_alone"] < NEAR}


def presets(
    backbone: Backbone, name: str, batches: tuple[int, ...], steps: int, budget: Budget
) -> Iterator[Told]:
    """Rows of one preset, batch by batch, until time or memory ends."""
    expected = 0.0
    for batch in batches:
        words = f"{name}, {str(backbone.dtype).removeprefix('torch.')}, batch {batch}"
        if not budget.fits(expected, words):
            return
        reset(backbone.device)
        began = time.perf_counter()
        try:
            told, _ = timed(backbone, name, steps=steps, seeds=tuple(range(1, batch + 1)))
        except torch.OutOfMemoryError:
            budget.skipped.append(f"{words}: out of memory")
            return
        expected = (time.perf_counter() - began) * GROWTH
        each = told["wall_s_per_step"] * told["steps_executed"] / batch
        yield {"preset": name, **told, "s_per_image": round(each, 4),
               "peak_mib": peak_mib(backbone.device)}  # fmt: skip


@torch.no_grad()
def compiled(backbone: Backbone, batch: int) -> Told:
    """A plain forward pass before and after torch.compile, and how far apart they are."""
    unet, device = copy.deepcopy(backbone.unet), backbone.device
    side = backbone.side // backbone.factor
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(batch, 4, side, side, generator=generator).to(device, backbone.dtype)
    width = int(unet.config.cross_attention_dim)
    text = torch.randn(batch, 77, width, generator=generator).to(device, backbone.dtype)
    t = torch.full((batch,), 500, device=device)
    eager = unet(z, t, encoder_hidden_states=text).sample.float()
    before = clocked(device, lambda: unet(z, t, encoder_hidden_states=text))
    fast = torch.compile(unet)
    began = time.perf_counter()
    try:
        found = fast(z, t, encoder_hidden_states=text).sample.float()
    except Exception as error:  # no compiler on this machine
        return {"batch": batch, "eager_s": round(before, 4), "skipped": type(error).__name__}
    took = time.perf_counter() - began
    after = clocked(device, lambda: fast(z, t, encoder_hidden_states=text))
    return {
        "batch": batch,
        "eager_s": round(before, 4),
        "compiled_s": round(after, 4),
        "compiling_s": round(took, 1),
        "largest_difference": float((found - eager).abs().max() / eager.abs().max()),
    }


def trained(device: torch.device, what: str, precision: str, batch: int, *, tiny: bool) -> Told:
    """Samples a second of a step of a training: forward, backward, AdamW, as its loop has it."""
    from accelerate import Accelerator

    from monai_cxr_cf.training.autoencoder.recipe import AutoencoderRecipe, build
    from monai_cxr_cf.training.generator.pipeline_folder import build_unet
    from monai_cxr_cf.training.masters import Masters, adamw

    widths = (32, 32, 64, 64) if tiny else (64, 128, 192, 192)
    inputs: tuple[Any, ...]
    if what == "diffusion":
        network: Any = build_unet(widths).to(device)
        t, text = torch.arange(batch, device=device), torch.randn(batch, 77, 256, device=device)
        pixels, inputs = torch.randn(batch, 4, 32, 32, device=device), (t, text)
    else:
        form = AutoencoderRecipe()
        network, inputs = build(form).to(device), ()
        crop = 64 if tiny else form.crop
        pixels = torch.randn(batch, 3, crop, crop, device=device)
    masters = Masters(network, precision, Accelerator(cpu=device.type == "cpu"))
    steps = adamw(network.parameters(), device)

    def step() -> None:
        masters.publish()
        with masters.autocast():
            kept = [
                x.to(masters.cast(pixels).dtype) if x.is_floating_point() else x for x in inputs
            ]
            found = masters.worker(masters.cast(pixels), *kept).sample
        F.mse_loss(found.float(), torch.zeros_like(found, dtype=torch.float32)).backward()
        masters.gather()
        steps.step()
        steps.zero_grad()

    reset(device)
    seconds = clocked(device, step)
    return {"what": what, "precision": precision, "batch": batch, "peak_mib": peak_mib(device),
            "samples_per_second": round(batch / seconds, 1)}  # fmt: skip


def measured(args: argparse.Namespace, say: Callable[[str, Told], None]) -> Told:
    """All parts."""
    device, budget = device_of(args.device), Budget(args.minutes)
    build = small_backbone if args.tiny else true_backbone
    full, half = build(device, "fp32"), build(device, "bf16")
    batches = BATCHES[:2] if args.tiny else BATCHES
    told: Told = {"rows": [], "compile": [], "training": [], "skipped": budget.skipped}
    told["equality"] = equality(full, half, args.steps)
    say("equality", told["equality"])
    for backbone, most in ((half, batches), (full, batches[:3])):
        for name in PRESETS:
            for row in presets(backbone, name, most, args.steps, budget):
                told["rows"].append(row)
                say("rows", row)
    for batch in (1, batches[-1] // 8 or 2):
        if not args.tiny and budget.fits(90, f"compile, batch {batch}"):
            told["compile"].append(compiled(half, batch))
            say("compile", told["compile"][-1])
    del full, half
    for what in ("diffusion", "autoencoder"):
        for precision in ("bf16-pure", "bf16", "no"):
            for batch in (2,) if args.tiny else TRAINED:
                if budget.fits(10, f"training, {what}, {precision}, batch {batch}"):
                    row = trained(torch.device(device), what, precision, batch, tiny=args.tiny)
                    told["training"].append(row)
                    say("training", row)
    return told


def card(device: str) -> Told:
    """What ran it: no name and no path of this machine."""
    told = machine()
    if device_of(device).startswith("cuda"):
        properties = torch.cuda.get_device_properties(device_of(device))
        told |= {"card": properties.name, "card_gib": round(properties.total_memory / 2**30, 1)}
        told |= {"cuda": torch.version.cuda, "tf32": torch.backends.cudnn.allow_tf32}
    return told


def main(words: list[str] | None = None) -> int:
    """Measure, print a line a row, write; 1 if an equality check fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument("--steps", type=int, default=20, help="scheduled; 7 of 10 are executed")
    parser.add_argument("--tiny", action="store_true", help="small networks, to try the script")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    args = parser.parse_args(words)
    told: Told = {"machine": card(args.device)}

    def say(part: str, row: Told) -> None:
        cells = "  ".join(f"{name} {value}" for name, value in row.items())
        sys.stdout.write(f"{part:<10}{cells}\n")
        sys.stdout.flush()

    told |= measured(args, say)
    for words_left in told["skipped"]:
        sys.stdout.write(f"left out: {words_left}\n")
    if args.json:
        args.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    checks = {name: value for name, value in told["equality"].items() if isinstance(value, bool)}
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
