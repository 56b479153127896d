# SPDX-License-Identifier: Apache-2.0
"""ProgEmu (arXiv 2503.23149) as a method: source and words in, the next radiograph as tokens out.

No diffusion and no F: what it costs is tokens and seconds. It has no region; the composite comes
after it as after every method.
"""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cxr_cf.catalogue.orders import ProgEmu
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.schedule import Level
from monai_cxr_cf.methods.progemu.ids import allowed, codes_of, prompt
from monai_cxr_cf.methods.progemu.model import Emu, fingerprint, load, needed_bytes

CELL = 8  # px of a code
PER_TOKEN = 1.2e-9  # seconds per byte of weights and token on a CPU of some 20 GB/s, with slack


def progemu(bench: Bench, settings: ProgEmu) -> Tensor:
    """The source's latent; the pictures stand in ``bench.images``.

    Raises:
        ComponentMissing, BadRequest, ResourceExhausted: as ``model.load``; nothing large is read
            before.
    """
    folder = Path(settings.folder).expanduser()
    size = needed_bytes(folder)
    side = settings.side // CELL
    _say(bench, size, side)
    emu, end = load(folder, bench.backbone.device), bench.schedule.final
    began = perf_counter()
    codes = _codes(emu, bench.task.image, settings.side)
    words = "" if bench.task.mode == "sham" else (bench.task.instruction or bench.task.prompt)
    images = []
    for level in bench.run([Level(n, 0, end, end) for n in range(len(bench.seeds))]):
        made = generate(emu, settings, words, codes, seed=bench.seeds[level.index])
        images.append(_picture(emu, made, side, bench.task.side))
    bench.images = np.stack(images)
    bench.notes += [
        f"{side * (side + 1) + 2} tokens an image, {perf_counter() - began:.1f} s in all",
        f"fingerprint of ProgEmu's weights {fingerprint(folder)}",
        "the backbone named here drew nothing",
    ]
    return bench.z0.expand(len(bench.seeds), -1, -1, -1)


def _say(bench: Bench, size: int, side: int) -> None:
    """A word on memory and time before it starts."""
    if bench.progress is None:
        return
    tokens = side * (side + 1) + 2
    minutes = tokens * size * PER_TOKEN * len(bench.seeds) / 60
    message = (
        f"ProgEmu holds {size / 1e9:.1f} GB of weights and writes {tokens} tokens an image: about "
        f"{max(1, round(minutes))} min on a CPU for {len(bench.seeds)} images."
    )
    warning = {"code": "slow_method", "message": message}
    bench.progress({"stage": "sample", "step": 0, "total": len(bench.seeds), "warning": warning})


def _codes(emu: Emu, image: np.ndarray, side: int) -> list[list[int]]:
    """The source, area-resized, as rows of codes."""
    grey = torch.from_numpy(np.array(image, np.float32))[None, None]
    shown = F.interpolate(grey, (side, side), mode="area") * 2 - 1
    given = shown.expand(-1, 3, -1, -1).to(emu.vision.device)
    with torch.no_grad():
        found = emu.vision.encode(given, torch.tensor([[side, side]])).image_tokens[0]
    rows: list[list[int]] = found.tolist()
    return rows


@torch.no_grad()
def generate(
    emu: Emu, settings: ProgEmu, words: str, codes: Sequence[Sequence[int]], *, seed: int
) -> list[int]:
    """New ids up to the picture's end; sampled among the ``top_k`` likeliest of those allowed.

    With guidance also without source and words; of a ``top_k`` of 1 nothing is drawn.
    """

    def encode(text: str) -> list[int]:
        return list(emu.text.encode(text, add_special_tokens=False).ids)

    side, drawn = len(codes), torch.Generator("cpu").manual_seed(seed)
    branches = [prompt(encode, words, codes, side)]
    branches += [prompt(encode, "", (), side)] if settings.guidance != 1 else []
    caches: list[Any] = [None] * len(branches)
    ids, made = branches, list[int]()
    for offset in range(1, side * (side + 1) + 3):
        told = []
        for n, new in enumerate(ids):
            given = torch.tensor([new], device=emu.language.device)
            out = emu.language(given, past_key_values=caches[n], use_cache=True)
            caches[n] = out.past_key_values
            told.append(out.logits[0, -1].float().log_softmax(-1).cpu())
        logits = told[0]
        if len(told) > 1:
            logits = told[1] + settings.guidance * (told[0] - told[1])
        choice = torch.tensor(allowed(offset, side, emu.codes))
        best = logits[choice].topk(min(settings.top_k, len(choice)))
        at = torch.multinomial(best.values.softmax(-1), 1, generator=drawn)
        made.append(int(choice[best.indices[at]]))
        ids = [[made[-1]]] * len(branches)
    return made


def _picture(emu: Emu, ids: Sequence[int], side: int, size: int) -> np.ndarray:
    """Codes to a grey picture of ``size``, 0..1."""
    codes = torch.tensor(codes_of(ids, side), device=emu.vision.device).view(1, side, side)
    with torch.no_grad():
        rgb = emu.vision.decode(codes).reshape(-1, 3, side * CELL, side * CELL)[:1].float().cpu()
    grey = (rgb.mean(1, keepdim=True) / 2 + 0.5).clamp(0, 1)
    return F.interpolate(grey, (size, size), mode="bilinear", antialias=True)[0, 0].numpy()
