# SPDX-License-Identifier: Apache-2.0
"""One ``.safetensors`` file in the original Stable Diffusion v1 layout in, its parts out.

Used by ``backbone``. Such a file carries no configuration: the SD v1 one is written here, so
nothing is asked of a hub. Only the tokenizer's vocabulary must lie on the machine.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monai_cxr_cf.diffusion.model.checkpoints import KINDS, Parts, check_keys, sha256_file
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.weights import stated_licence

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT = "cond_stage_model.transformer."
STEM = f"{UNET}input_blocks.0.0.weight"
CROSS = f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"

SD1_UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "layers_per_block": 2,
}
SD1_VAE: dict[str, Any] = {
    "sample_size": 512,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "scaling_factor": 0.18215,
}
SD1_TEXT: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 49407,
}
SD1_SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}


@dataclass(frozen=True)
class Layout:
    """Configurations of the parts of a single file, which carries none."""

    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    text: Mapping[str, Any]
    scheduler: Mapping[str, Any]


SD1 = Layout(SD1_UNET, SD1_VAE, SD1_TEXT, SD1_SCHEDULER)


def read_single_file(path: Path, *, models: Path, layout: Layout = SD1) -> Parts:
    """Load one original-layout SD v1 checkpoint.

    Raises:
        BadRequest: not safetensors, another architecture, or keys that do not fit.
        ComponentMissing: a part is missing in the file, or no CLIP vocabulary is on the machine.
    """
    from safetensors import SafetensorError, safe_open
    from transformers import CLIPTokenizer

    if path.suffix != ".safetensors":
        raise BadRequest(f"'{path.name}' is no .safetensors file.", hint="Convert it first.")
    try:
        with safe_open(str(path), framework="pt") as opened:
            shapes = {k: tuple(opened.get_slice(k).get_shape()) for k in opened.keys()}  # noqa: SIM118
            check_single_file(path.name, shapes, text_width=layout.unet["cross_attention_dim"])
            weights = {k: opened.get_tensor(k) for k in opened.keys()}  # noqa: SIM118
            layout = replace(layout, unet={**layout.unet, "in_channels": shapes[STEM][1]})
    except SafetensorError as error:
        raise BadRequest(f"'{path.name}' is damaged: {error}", hint="Copy it again.") from error
    vocabulary = find_vocabulary((path.parent / "tokenizer", models / "clip_tokenizer"))
    return Parts(
        **convert(weights, label=path.name, layout=layout),
        tokenizer=CLIPTokenizer.from_pretrained(str(vocabulary), local_files_only=True),
        scheduler_config=layout.scheduler,
        files={path.name: sha256_file(path)},
        licence=stated_licence(path.parent),
    )


def check_single_file(
    name: str, shapes: Mapping[str, tuple[int, ...]], *, text_width: int = 768
) -> None:
    """Refuse by the names and shapes of the weights alone, in one sentence."""
    if any(k.startswith("conditioner.embedders.") for k in shapes):
        raise _foreign(name, "the Stable Diffusion XL layout")
    if any(k.startswith("cond_stage_model.model.") for k in shapes):
        raise _foreign(name, "the Stable Diffusion 2 layout (OpenCLIP text encoder)")
    if STEM not in shapes:
        raise _foreign(name, "no original-layout UNet (LoRA or part of a model?)")
    if shapes[STEM][1] not in KINDS:
        raise _foreign(name, f"a UNet with {shapes[STEM][1]} input channels")
    if CROSS in shapes and shapes[CROSS][1] != text_width:
        raise _foreign(name, f"a UNet that reads text states of {shapes[CROSS][1]}")
    for prefix, part in ((VAE, "VAE"), (TEXT, "text encoder")):
        if not any(k.startswith(prefix) for k in shapes):
            raise ComponentMissing(
                f"'{name}' has no {part}.", hint="Use the full checkpoint, or a diffusers folder."
            )


def stem_channels(path: Path) -> int | None:
    """Input channels of the UNet of a file, by its header alone; None if it is no such file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as opened:
            return int(opened.get_slice(STEM).get_shape()[1])
    except (OSError, SafetensorError):
        return None


def _foreign(name: str, found: str) -> BadRequest:
    return BadRequest(
        f"'{name}' is not a Stable Diffusion v1 checkpoint: it holds {found}.",
        hint="Use a 4-channel Stable Diffusion v1 model, or a diffusers folder.",
    )


def find_vocabulary(folders: Iterable[Path]) -> Path:
    """The first folder with a CLIP vocabulary, the hub cache last; ComponentMissing if none."""
    from huggingface_hub import snapshot_download

    for folder in folders:
        if (folder / "vocab.json").is_file() or (folder / "tokenizer.json").is_file():
            return folder
    try:
        return Path(
            snapshot_download(
                "openai/clip-vit-large-patch14",
                local_files_only=True,
                allow_patterns=["*.json", "*.txt"],
            )
        )
    except (OSError, ValueError) as error:
        raise ComponentMissing(
            "A single file carries no tokenizer, and no CLIP vocabulary is on this machine.",
            hint="Put the model's 'tokenizer' folder beside the file.",
        ) from error


def convert(weights: Mapping[str, Any], *, label: str, layout: Layout = SD1) -> dict[str, Any]:
    """UNet, VAE and text encoder from original-layout weights; every key must find its place."""
    from accelerate import init_empty_weights
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.loaders.single_file_utils import (
        convert_ldm_unet_checkpoint,
        convert_ldm_vae_checkpoint,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    with init_empty_weights():
        unet = UNet2DConditionModel(**layout.unet)
        vae = AutoencoderKL(**layout.vae)
        text = CLIPTextModel(CLIPTextConfig(**layout.text))
    prefix = TEXT if hasattr(text, "text_model") else f"{TEXT}text_model."
    words = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(TEXT)}
    try:
        renamed = {
            "unet": (unet, UNET, convert_ldm_unet_checkpoint(dict(weights), unet.config)),
            "vae": (vae, VAE, convert_ldm_vae_checkpoint(dict(weights), vae.config)),
            "text_encoder": (text, TEXT, words),
        }
    except KeyError as error:
        raise BadRequest(f"'{label}' has no weight {error}.", hint="Copy it again.") from error
    for part, (model, start, state) in renamed.items():
        given = [k for k in weights if k.startswith(start)]
        if len(given) != len(state):
            raise BadRequest(
                f"{len(given) - len(state)} weights of '{label}/{part}' are not part of the "
                "Stable Diffusion v1 layout."
            )
        _load(f"{label}/{part}", model, state)
    return {part: model for part, (model, _, _) in renamed.items()}


def _load(label: str, model: Any, state: Mapping[str, Any]) -> None:
    """Assign copies of ``state``, as ``aligned`` makes; BadRequest if a key or shape misfits."""
    import torch

    expected = model.state_dict()
    shapes = [k for k in state if k in expected and state[k].shape != expected[k].shape]
    check_keys(label, {"mismatched_keys": shapes})
    floats = {k: v.to(torch.float32, copy=True) for k, v in state.items()}
    missing, unexpected = model.load_state_dict(floats, strict=False, assign=True)
    check_keys(label, {"missing_keys": missing, "unexpected_keys": unexpected})
