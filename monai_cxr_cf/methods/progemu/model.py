# SPDX-License-Identifier: Apache-2.0
"""ProgEmu's weights by transformers' own Emu3 classes: no code of the folder is run.

A folder holds ``config.json`` and safetensors of the language model, ``tokenizer.json`` (made once
from its tiktoken file) and ``vision/`` with the image tokenizer's ``config.json`` and safetensors.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.cost.estimate import free_bytes
from monai_cxr_cf.diffusion.model.checkpoints import check_keys, quiet
from monai_cxr_cf.errors import BadRequest, ComponentMissing, ResourceExhausted

PARTS = (".", "vision")
HEAD = 64 * 1024  # bytes of a weight file that a fingerprint reads
RENAMED = (
    (r"\.mid\.", ".middle_block."),
    (r"^(encoder|decoder)\.(down|up)\.", r"\1.\2_block.\2."),
    (r"middle_block\.attn_1\.norm\.", "middle_block.attn_norm."),
    (r"attn\.(\d+)\.norm\.", r"attn_norms.\1."),
    (r"(attn_1|attn\.\d+)\.(q|k|v)\.", r"\1.\2_proj."),
    (r"(attn_1|attn\.\d+)\.proj_out\.", r"\1.out_proj."),
)
VISION = {"ch": "base_channels", "ch_mult": "channel_multiplier", "z_channels": "latent_channels",
          "double_z": "double_latent"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Emu:
    """Language model, image tokenizer, text tokenizer."""

    language: Any
    vision: Any
    text: Any

    @property
    def codes(self) -> int:
        """Size of the codebook."""
        return int(self.vision.config.codebook_size)


def weight_files(folder: Path) -> list[Path]:
    """All weight files, sorted.

    Raises:
        ComponentMissing: a file is not there.
        BadRequest: weights are pickled.
    """
    found = []
    for part in PARTS:
        place = folder / part
        here = sorted(place.glob("*.safetensors"))
        if not here and any(place.glob("*.bin")):
            raise BadRequest("ProgEmu's weights are pickled, which can run code when read.",
                             hint="Save them as safetensors.")  # fmt: skip
        names = ("config.json", "tokenizer.json") if part == "." else ("config.json",)
        missing = [name for name in names if not (place / name).is_file()]
        if missing or not here:
            raise ComponentMissing(
                "'progemu' needs a folder with ProgEmu's weights: "
                f"{(missing or ['*.safetensors'])[0]} is missing in {part}.",
                hint="--method-set folder=DIR; docs/methods.md 3 says what lies in it.",
            )
        found += here
    return found


def fingerprint(folder: Path) -> str:
    """sha256 of names, sizes and first bytes of the weight files: 17 GB are not read for it."""
    found = sha256()
    for path in weight_files(folder):
        with path.open("rb") as stream:
            found.update(f"{path.name} {path.stat().st_size}".encode() + stream.read(HEAD))
    return found.hexdigest()


def needed_bytes(folder: Path) -> int:
    """Memory of the weights: the files as they are, the image tokenizer in float32 at most."""
    return sum(path.stat().st_size for path in weight_files(folder))


def load(folder: Path, device: torch.device) -> Emu:
    """The three parts.

    Raises:
        ResourceExhausted: memory cannot hold the weights; told before they are read.
        ComponentMissing, BadRequest: as ``weight_files``; or keys do not fit.
    """
    needed, free = needed_bytes(folder), free_bytes(device)
    if needed > free:
        raise ResourceExhausted(
            f"ProgEmu's weights need {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free.",
            hint="Run it on a machine with more memory, and bring its pictures: --external.",
        )
    from tokenizers import Tokenizer
    from transformers import Emu3ForCausalLM, Emu3TextConfig, Emu3VQVAE, Emu3VQVAEConfig

    told, seen = (_config(folder / part) for part in PARTS)
    known = set(Emu3TextConfig().to_dict())
    config = Emu3TextConfig(**{k: v for k, v in told.items() if k in known - {"model_type"}})
    with quiet():
        language, info = Emu3ForCausalLM.from_pretrained(
            str(folder), config=config, local_files_only=True, use_safetensors=True,
            output_loading_info=True, dtype="auto",
        )  # fmt: skip
    check_keys("ProgEmu", info)
    own = {VISION.get(k, k): v for k, v in seen.items()}
    shape = {k: v for k, v in own.items() if k in Emu3VQVAEConfig().to_dict()}
    shape |= {"hidden_size": own["base_channels"] * own["channel_multiplier"][-1]}
    shape.pop("model_type", None)
    vision = Emu3VQVAE(Emu3VQVAEConfig(**shape))
    _fill(vision, folder / "vision")
    text = Tokenizer.from_file(str(folder / "tokenizer.json"))
    language, vision = (x.to(device).eval().requires_grad_(False) for x in (language, vision))
    return Emu(language, vision, text)


def _config(place: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads((place / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadRequest("A config.json of ProgEmu is not JSON.") from error
    return told


def renamed(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published image tokenizer's keys as transformers has them; 1 x 1 kernels as matrices."""
    found = {}
    for key, value in weights.items():
        name = key
        for old, new in RENAMED:
            name = re.sub(old, new, name)
        flat = name in expected and value.ndim == 4 and expected[name].ndim == 2
        found[name] = value[:, :, 0, 0] if flat else value
    return found


def _fill(vision: Any, place: Path) -> None:
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = {}
    for path in sorted(place.glob("*.safetensors")):
        weights |= load_file(path)
    expected = vision.state_dict()
    given = renamed(weights, expected)
    wrong = [k for k in given if k in expected and given[k].shape != expected[k].shape]
    check_keys("ProgEmu/vision", {
        "missing_keys": [k for k in expected if k not in given],
        "unexpected_keys": [k for k in given if k not in expected],
        "mismatched_keys": wrong,
    })  # fmt: skip
    vision.load_state_dict(given)
