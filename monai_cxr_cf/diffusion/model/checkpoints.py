# SPDX-License-Identifier: Apache-2.0
"""A diffusers folder in, the five parts of a latent diffusion model out; strict about both.

Used by ``backbone``. Refuses another architecture before any weight is read, pickled weights,
and missing or unexpected keys (names change between library versions; a silent gap is noise).
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any

from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.imports import loading
from monai_cxr_cf.weights import stated_licence

FOLDERS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
HARMLESS = ("position_ids",)  # a buffer that older CLIP files carry and newer code recomputes
TEXT_POSITIONS = 77
# What layers of torch call for their first weights.
DRAWN = ("kaiming_uniform_", "uniform_", "normal_", "xavier_uniform_", "ones_", "zeros_")


@dataclass(frozen=True)
class Parts:
    """The parts as loaded, before they are put on a device."""

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)  # weight file -> sha256
    licence: str = "unknown"


def read_folder(folder: Path) -> Parts:
    """Load a diffusers pipeline folder from disk only.

    Raises:
        ComponentMissing: a part or its weights are missing.
        BadRequest: another architecture, pickled weights, or keys that do not fit.
    """
    with loading():
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTokenizer

    configs = check_layout(folder)
    models = {
        name: _strict(cls, folder, name)
        for name, cls in (
            ("unet", UNet2DConditionModel),
            ("vae", AutoencoderKL),
            ("text_encoder", CLIPTextModel),
        )
    }
    weights = sorted(p for name in models for p in (folder / name).glob("*.safetensors"))
    return Parts(
        **models,
        tokenizer=CLIPTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True),
        scheduler_config=configs["scheduler"],
        files={p.relative_to(folder).as_posix(): sha256_file(p) for p in weights},
        licence=stated_licence(folder),
    )


def check_layout(folder: Path) -> dict[str, dict[str, Any]]:
    """Configurations of all parts; refuses by them alone, before any weight is read."""
    missing = [name for name in FOLDERS if not (folder / name).is_dir()]
    if (folder / "text_encoder_2").is_dir() or (folder / "transformer").is_dir():
        raise _foreign(folder, "a pipeline with other or more parts than Stable Diffusion v1")
    if missing:
        raise ComponentMissing(
            f"The model folder '{folder.name}' has no {', '.join(missing)}.",
            hint=f"A diffusers pipeline folder holds {', '.join(FOLDERS)}.",
        )
    names = {"scheduler": "scheduler_config.json"}
    configs = {
        n: _config(folder / n / names.get(n, "config.json")) for n in FOLDERS if n != "tokenizer"
    }
    check_architecture(configs, folder)
    for name in ("unet", "vae", "text_encoder"):
        if not any((folder / name).glob("*.safetensors")):
            pickled = any((folder / name).glob("*.bin"))
            raise (BadRequest if pickled else ComponentMissing)(
                f"'{folder.name}/{name}' has {'only pickled' if pickled else 'no'} weights.",
                hint="Save the model with safe_serialization=True.",
            )
    return configs


def check_architecture(configs: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """BadRequest unless the configurations describe a 4-channel, one-text-encoder UNet."""
    unet, vae, text = configs["unet"], configs["vae"], configs["text_encoder"]
    width = unet.get("cross_attention_dim", 1280)
    prediction = configs["scheduler"].get("prediction_type", "epsilon")
    wrong = {
        f"a {unet.get('_class_name')}": unet.get("_class_name") != "UNet2DConditionModel",
        f"a UNet with {unet.get('in_channels')} input channels": unet.get("in_channels", 4) != 4,
        "a UNet with added conditions (SDXL)": bool(unet.get("addition_embed_type")),
        "a UNet with class conditions": unet.get("class_embed_type") is not None,
        f"a VAE with {vae.get('latent_channels')} latent channels": vae.get("latent_channels", 4)
        != 4,
        f"text states of {text.get('hidden_size')} for a UNet that reads {width}": width
        != text.get("hidden_size", 512),
        f"{text.get('max_position_embeddings')} text positions": text.get(
            "max_position_embeddings", TEXT_POSITIONS
        )
        != TEXT_POSITIONS,
        f"prediction type {prediction}": prediction not in ("epsilon", "v_prediction"),
    }
    for found, is_wrong in wrong.items():
        if is_wrong:
            raise _foreign(folder, found)


def _foreign(folder: Path, found: str) -> BadRequest:
    return BadRequest(
        f"'{folder.name}' is not of the Stable Diffusion v1 architecture: it holds {found}.",
        hint="Use a 4-channel Stable Diffusion v1 model, for example cxr-mini.",
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ComponentMissing(
            f"'{path.parent.name}/{path.name}' is missing or not JSON.",
            hint="Copy the whole model folder again.",
        ) from error
    return loaded


def _strict(cls: Any, folder: Path, name: str) -> Any:
    """``from_pretrained`` that refuses keys that are missing, unexpected or of another shape."""
    options = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    try:
        with quiet(), unset():
            model, info = cls.from_pretrained(str(folder / name), **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise ComponentMissing(
            f"The weights of '{folder.name}/{name}' cannot be read: {str(error).splitlines()[0]}",
            hint="Copy the model folder again.",
        ) from error
    check_keys(f"{folder.name}/{name}", info)
    return aligned(model)


def aligned(model: Any) -> Any:
    """The model with every tensor copied once into memory of its own.

    A safetensors file is mapped, and its tensors lie at any address. Some processors sum such
    tensors in another order, so that a loaded model samples a little differently than the same
    weights in memory that torch has aligned (to 64 bytes).
    """
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model


@contextmanager
def unset() -> Iterator[None]:
    """New layers inside draw no random weights: a file brings all of them, or is refused."""
    from torch.nn import init

    kept = {name: getattr(init, name) for name in DRAWN}
    for name in DRAWN:
        setattr(init, name, lambda tensor, *_, **__: tensor)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(init, name, function)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bar of transformers inside: the terminal belongs to the caller."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def check_keys(label: str, info: Mapping[str, Any]) -> None:
    """BadRequest naming the first key that does not fit."""
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        keys = sorted(str(k) for k in info.get(kind, ()) if not str(k).endswith(HARMLESS))
        if keys:
            raise BadRequest(
                f"The weights of '{label}' do not fit the model: {len(keys)} "
                f"{kind.replace('_', ' ')}, first '{keys[0]}'.",
                hint="Save the model again with the diffusers version of this package.",
            )


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, read in chunks."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
