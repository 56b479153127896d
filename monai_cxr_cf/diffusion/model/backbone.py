# SPDX-License-Identifier: Apache-2.0
"""A Stable-Diffusion-v1-architecture model: a name, folder, hub id or file in, a ``Backbone`` out.

Everything else in ``diffusion`` takes the ``Backbone``. Loading is offline, reads safetensors
only, hashes every weight file and refuses another architecture in one sentence.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from monai_cxr_cf.devices import dtype_of
from monai_cxr_cf.diffusion.model.checkpoints import KINDS, Parts, read_folder
from monai_cxr_cf.diffusion.model.encoders import BERT_POSITIONS
from monai_cxr_cf.diffusion.model.single_file import read_single_file, stem_channels
from monai_cxr_cf.diffusion.model.widened import NOTE, read_widened
from monai_cxr_cf.errors import BadRequest, ComponentMissing

Arrays = Mapping[str, NDArray[Any]]
# (kind, digest of all it depends on, how to make it) -> the arrays, made now or before
Recall = Callable[[str, str, Callable[[], Arrays]], Arrays]
PICKLED = (".ckpt", ".pt", ".pth", ".bin")
WANTED = (
    "unet/*",
    "vae/*",
    "text_encoder/*",
    "tokenizer/*",
    "scheduler/*",
    "*.json",
    "*.md",
    "LICENSE*",
)


@dataclass
class Backbone:
    """The parts of one latent diffusion model, frozen and in evaluation mode.

    Attributes:
        unet: UNet2DConditionModel in ``dtype``; 4 latent channels, and what ``kind`` adds.
        vae: AutoencoderKL, always float32 (half precision costs image quality).
        text_encoder: CLIPTextModel, or the layers of a BERT; float32.
        tokenizer: its tokenizer, which knows ``positions``.
        scheduler_config: betas, prediction type and so on, as saved beside the weights.
        side: pixel side of the images the UNet was trained on.
        files: weight file -> sha256.
        compiled: whether its blocks run as PyTorch compiled them (``compiled``).
        recall: keeps results for the next edit (``recall``); None computes everything.
    """

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: dict[str, Any]
    name: str
    side: int
    files: Mapping[str, str] = field(default_factory=dict)
    licence: str = "unknown"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    compiled: bool = False
    recall: Recall | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """What the UNet sees beside the latent: ``text`` alone, ``instruct``, or ``inpaint``."""
        return KINDS[int(self.unet.config.in_channels)]

    @property
    def positions(self) -> int:
        """Tokens of an encoded text: 77 for CLIP, 128 for a BERT."""
        return min(BERT_POSITIONS, int(self.text_encoder.config.max_position_embeddings))

    @property
    def factor(self) -> int:
        """Pixels per latent cell side (8 for SD v1.5)."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def multiple(self) -> int:
        """Image sides must be a multiple of this, so that every UNet level has whole cells."""
        return int(self.factor * 2 ** (len(self.unet.config.block_out_channels) - 1))

    @property
    def prediction_type(self) -> str:
        """``epsilon`` or ``v_prediction``."""
        return str(self.scheduler_config.get("prediction_type", "epsilon"))


def load_backbone(
    spec: str, *, device: str = "cpu", precision: str = "fp32", models: Path
) -> Backbone:
    """Load ``spec``: a shipped name in ``models``, a diffusers folder, a hub id, or one file.

    A folder may hold what is new of a widened UNet (``widened``). ``device`` is one of torch,
    ``precision`` one of ``devices.PRECISIONS``, for the UNet.

    Raises:
        BadRequest: the weights are pickled, or of another architecture; float16 on a CPU.
        ComponentMissing: nothing is found, or a part of it is missing or incomplete.
    """
    path = place_of(spec, models=models)
    if (path / NOTE).is_file():
        parts = read_widened(path, lambda base: _read(base, models))
    else:
        parts = _read(spec, models)
    size = sum(weight.numel() for weight in parts.unet.parameters())
    dtype = dtype_of(precision, device=device, parameters=size)
    return assemble(
        parts, name=spec if not path.is_file() else path.stem, device=device, dtype=dtype
    )


def place_of(spec: str, *, models: Path) -> Path:
    """Where ``spec`` would lie on this machine, unless it is a hub id."""
    return models / spec if (models / spec).is_dir() else Path(spec).expanduser()


def _read(spec: str, models: Path) -> Parts:
    path = place_of(spec, models=models)
    if path.suffix in PICKLED:
        raise BadRequest(
            f"'{path.name}' holds pickled weights, which can run code when they are read.",
            hint="Convert it to safetensors.",
        )
    if path.is_file():
        return read_single_file(path, models=models)
    return read_folder(path if path.is_dir() else _hub_folder(spec))


def kind_of(spec: str, *, models: Path) -> str | None:
    """The kind of UNet that ``spec`` names, before weights are read.

    None where that cannot be told; loading then says what is wrong.
    """
    path = place_of(spec, models=models)
    if path.is_file():
        return KINDS.get(stem_channels(path) or 0)
    note, config = path / NOTE, path / "unet" / "config.json"
    try:
        if note.is_file():
            kind = json.loads(note.read_text(encoding="utf-8"))["kind"]
            return kind if kind in KINDS.values() else None
        told = json.loads(config.read_text(encoding="utf-8"))
        return KINDS.get(int(told.get("in_channels", 4)))
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return None


def assemble(
    parts: Parts, *, name: str, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Backbone:
    """Freeze the parts and put them on the device; the UNet in ``dtype``, the rest in float32."""
    for module in (parts.unet, parts.vae, parts.text_encoder):
        freeze(module)
    side = parts.unet.config.sample_size * 2 ** (len(parts.vae.config.block_out_channels) - 1)
    return Backbone(
        unet=_placed(parts.unet, device, dtype),
        vae=_placed(parts.vae, device, torch.float32),
        text_encoder=_placed(parts.text_encoder, device, torch.float32),
        tokenizer=parts.tokenizer,
        scheduler_config=dict(parts.scheduler_config),
        name=name,
        side=int(side),
        files=parts.files,
        licence=parts.licence,
        device=torch.device(device),
        dtype=dtype,
    )


def freeze(module: nn.Module) -> nn.Module:
    """Evaluation mode, no gradients of weights."""
    return module.eval().requires_grad_(False)


def _placed(module: Any, device: str, dtype: torch.dtype) -> Any:
    """The module on the device; cast only if needed, since diffusers warns at every cast.

    In half precision a picture's channels lie side by side, as those convolutions want them; in
    float32 that is slower on a CPU.
    """
    placed = module.to(device) if module.dtype == dtype else module.to(device).to(dtype)
    half = dtype in (torch.bfloat16, torch.float16)
    return placed.to(memory_format=torch.channels_last) if half else placed


def _hub_folder(spec: str) -> Path:
    """The cached snapshot of a hub id; fetched only if CXR_CF_ALLOW_HUB=1."""
    from huggingface_hub import snapshot_download

    if spec.count("/") != 1 or spec.startswith((".", "/", "~")):
        raise ComponentMissing(
            f"No backbone '{Path(spec).name}' was found.",
            hint="Give cxr-mini, a diffusers folder, a hub id or one .safetensors file.",
        )
    allowed = os.environ.get("CXR_CF_ALLOW_HUB") == "1"
    try:
        found = snapshot_download(
            spec,
            local_files_only=not allowed,
            allow_patterns=list(WANTED),
            ignore_patterns=["*.bin"],
        )
    except (OSError, ValueError) as error:  # the hub's not-found and offline errors are both
        raise ComponentMissing(
            f"The hub model '{spec}' is not on this machine, and downloads are off.",
            hint="Set CXR_CF_ALLOW_HUB=1 once to fetch it, or give a local folder.",
        ) from error
    return Path(found)
