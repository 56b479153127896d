# SPDX-License-Identifier: Apache-2.0
"""Stable Diffusion v1.5 at true size and random weights: seconds of an executed step, and memory.

    python benchmarks/sd15.py --steps 4 --json sd15.json

Every run is a process of its own: ``default`` in float32, in the precision that ``auto`` chooses,
and plain image-to-image (every law off, both branches on every step) in that precision. Encoding,
planning and decoding are not in the seconds. A few steps are guided and corrected in other shares
than the preset's 20, so F of a step (passes of the UNet) stands beside its seconds.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.against import machine
from monai_cxr_cf.devices import device_of, dtype_of
from monai_cxr_cf.diffusion.cost.memory import peak_memory_mib
from monai_cxr_cf.diffusion.model import single_file
from monai_cxr_cf.diffusion.model.backbone import Backbone, assemble
from monai_cxr_cf.diffusion.model.checkpoints import Parts
from monai_cxr_cf.diffusion.model.tiny import WORDS, tiny_backbone, tiny_tokenizer
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.task import EditTask, Target
from monai_cxr_cf.presets import PRESETS, SWITCHES, EditConfig

PARAMETERS = 859_520_964
PROMPT, FINDING = "moderate left pleural effusion", "pleural effusion"
RUNS = {"float32": ("default", "fp32"), "auto": ("default", "auto"), "plain": ("plain", "auto")}
LAWS = ("no-gate", "no-boost", "no-correction", "no-regional-prompt", "no-regional-guidance",
        "no-anatomy", "no-paste")  # fmt: skip
PLAIN: dict[str, Any] = {
    "sampling": {"cfg_until": 1.0, "solver": "dpmpp"}, "start": {"kind": "strength"},
}  # fmt: skip


@torch.no_grad()
def filled(module: Any, dtype: torch.dtype, device: str) -> Any:
    """A module made on the meta device, its weights random in ``dtype`` and never in another."""
    module = module.to(dtype).to_empty(device=device)
    values = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    for name, weight in module.named_parameters():
        flat = weight.view(-1)
        if weight.dim() == 1:
            flat.fill_(float(name.endswith("weight")))
            continue
        for chunk in flat.split(len(values)):
            chunk.copy_(values[: len(chunk)] * weight[0].numel() ** -0.5)
    for name, buffer in module.named_buffers():
        if name.endswith("position_ids"):
            buffer.copy_(torch.arange(buffer.shape[-1], device=device))
    return module


def true_backbone(device: str, precision: str) -> Backbone:
    """SD v1.5's three networks at random weights, the UNet in ``precision``."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    dtype = dtype_of(precision, device=device, parameters=PARAMETERS)
    with torch.device("meta"):
        unet: nn.Module = UNet2DConditionModel(**single_file.SD1_UNET)
        vae = AutoencoderKL(**single_file.SD1_VAE)
        text = CLIPTextModel(CLIPTextConfig(**single_file.SD1_TEXT))
    parts = Parts(
        filled(unet, dtype, device),
        filled(vae, torch.float32, device),
        filled(text, torch.float32, device),
        tiny_tokenizer([WORDS]),
        single_file.SD1_SCHEDULER,
    )
    return assemble(parts, name="sd15", device=device, dtype=dtype)


def small_backbone(device: str, precision: str) -> Backbone:
    """The same classes at a thousandth of the size."""
    made = tiny_backbone()
    size = sum(weight.numel() for weight in made.unet.parameters())
    dtype = dtype_of(precision, device=device, parameters=size)
    parts = Parts(made.unet, made.vae, made.text_encoder, made.tokenizer, made.scheduler_config)
    return assemble(parts, name="tiny", device=device, dtype=dtype)


def task_for(backbone: Backbone) -> EditTask:
    """An effusion at the base of the left lung of a drawn chest, small enough for ``fast``."""
    side = backbone.side

    def box(top: float, bottom: float, left: float, right: float) -> Any:
        plane = np.zeros((side, side), np.float32)
        plane[int(top * side) : int(bottom * side), int(left * side) : int(right * side)] = 1
        return plane

    length = {"padding": "max_length", "max_length": 77, "truncation": True}
    spans = backbone.tokenizer(PROMPT, return_offsets_mapping=True, **length)["offset_mapping"]
    begin = PROMPT.index(FINDING)
    tokens = [i for i, (a, b) in enumerate(spans) if a < begin + len(FINDING) and b > max(begin, a)]
    image = np.random.default_rng(0).random((side, side)).astype(np.float32) * 0.2 + 0.4
    region = box(0.56, 0.78, 0.62, 0.88)
    return EditTask(
        image=image,
        organs={
            "right_lung": box(0.1, 0.8, 0.1, 0.4),
            "left_lung": box(0.1, 0.8, 0.6, 0.9),
            "heart": box(0.45, 0.82, 0.4, 0.68),
        },
        prompt=PROMPT,
        targets=(Target(FINDING, tuple(tokens), region),),
        kappa=np.maximum(region, box(0.53, 0.81, 0.59, 0.91) * 0.5).astype(np.float32),
        special_tokens=tuple(i for i, (a, b) in enumerate(spans) if a == b and i > 0),
    )


def settings(name: str, steps: int) -> EditConfig:
    """A preset, or ``plain``: image-to-image with its solver and no law."""
    config = PRESETS["default" if name == "plain" else name]
    if name == "plain":
        for switch in LAWS:
            config = config.with_overrides(SWITCHES[switch])
        config = config.with_overrides(PLAIN)
    return config.with_overrides({"sampling": {"steps": steps}})


def timed(backbone: Backbone, name: str, *, steps: int, seeds: tuple[int, ...] = (1,)) -> Any:
    """Figures of one run from its first pass of the UNet on, and its latents."""
    marks: list[tuple[float, float]] = []

    def mark(*_: Any) -> None:
        if backbone.device.type == "cuda":
            torch.cuda.synchronize(backbone.device)
        marks.append((time.perf_counter(), time.process_time()))

    mark()
    hook = backbone.unet.register_forward_pre_hook(lambda *_: mark() if len(marks) == 1 else None)
    try:
        done = sample(
            backbone, task_for(backbone), settings(name, steps), seeds=seeds, progress=mark
        )
    finally:
        hook.remove()
    count, f = done.trace["steps_executed"], done.trace["cost"]["f"]
    wall, own = ((marks[-1][k] - marks[1][k]) / count for k in (0, 1))
    told = {
        "dtype": done.trace["backbone"]["dtype"],
        "images": len(seeds),
        "steps_executed": count,
        "wall_s_per_step": round(wall, 4),
        "cpu_s_per_step": round(own, 4),
        "f_per_step": round((f["unet"] + f["gradient"]) / count / len(seeds), 3),
    }
    return told, done.z


def alone(name: str, *, steps: int, device: str, tiny: bool) -> dict[str, Any]:
    """One run in this process."""
    preset, precision = RUNS[name]
    backbone = (small_backbone if tiny else true_backbone)(device_of(device), precision)
    gc.collect()
    told, _ = timed(backbone, preset, steps=steps)
    return {**told, "peak_mib": round(peak_memory_mib() or 0)}


def ratios(found: Mapping[str, list[dict[str, Any]]]) -> dict[str, float]:
    """What the targets are about; means of the rounds. Seconds of a pass are added to each run."""

    def of(name: str, figure: str) -> float:
        return mean(float(run[figure]) for run in found[name])

    for runs in found.values():
        for run in runs:
            run["cpu_s_per_f"] = round(run["cpu_s_per_step"] / run["f_per_step"], 4)
    pairs = {"auto_over_float32": ("auto", "float32"), "default_over_plain": ("auto", "plain")}
    figures = ("wall_s_per_step", "cpu_s_per_step", "cpu_s_per_f", "peak_mib", "f_per_step")
    return {
        f"{words}_{figure}": round(of(a, figure) / of(b, figure), 3)
        for words, (a, b) in pairs.items()
        for figure in figures
        if of(b, figure)
    }


def main(words: list[str] | None = None) -> int:
    """Run each in turn; print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=4, help="scheduled; 7 of 10 are executed [4]")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tiny", action="store_true", help="a small network, to try the script")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--one", choices=list(RUNS), help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    if args.one:
        told = alone(args.one, steps=args.steps, device=args.device, tiny=args.tiny)
        sys.stdout.write("\n" + json.dumps(told) + "\n")
        return 0
    given = ["--steps", str(args.steps), "--device", args.device, *["--tiny"][: args.tiny]]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in RUNS}
    result: dict[str, Any] = {"machine": machine(), "steps": args.steps, "runs": found}
    for _ in range(args.rounds):
        for name in RUNS:
            command = [sys.executable, "-m", "benchmarks.sd15", "--one", name, *given]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            sys.stdout.write(f"{name:<8} {json.dumps(found[name][-1])}\n")
            sys.stdout.flush()
    result["ratios"] = ratios(found)
    sys.stdout.write(json.dumps(result["ratios"], indent=1) + "\n")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
