# SPDX-License-Identifier: Apache-2.0
"""A diffusers folder in, the five parts of a latent diffusion model out; strict about both.

Used by ``backbone``. Refuses another architecture before any weight is read, pickled weights,
and missing or unexpected keys (names change between library versions; a silent gap is noise).
"""

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any

from monai_cxr_cf.diffusion.model.encoders import bert_of, is_bert, tokenizer_of, wrong_text
from monai_cxr_cf.diffusion.model.schedule import noise_schedule
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.imports import loading
from monai_cxr_cf.weights import stated_licence

FOLDERS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
HARMLESS = ("position_ids",)  # a buffer that older CLIP files carry and newer code recomputes
# Input channels -> kind of UNet: the latent; with it the image (InstructPix2Pix); with it mask and
# masked image (inpainting).
KINDS = {4: "text", 8: "instruct", 9: "inpaint"}
# diffusers writes NAME.VARIANT-00001-of-00002, older releases NAME-00001-of-00002.VARIANT
_SHARD = r"-\d{5}-of-\d{5}"
WEIGHTS = re.compile(
    rf"(diffusion_pytorch_model|model)({_SHARD})?(\.(?P<variant>[\w-]+?))?({_SHARD})?\.safetensors"
)
SHIFTS = ("shift_factor", "latents_mean", "latents_std")


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
        from transformers import CLIPTextModel

    configs = check_layout(folder)
    bert = is_bert(configs["text_encoder"])
    models = {
        "unet": _strict(UNet2DConditionModel, folder, "unet"),
        "vae": _strict(AutoencoderKL, folder, "vae"),
        "text_encoder": _bert(folder, configs["text_encoder"])
        if bert
        else _strict(CLIPTextModel, folder, "text_encoder"),
    }
    weights = sorted(p for name in models for p in weights_of(folder / name))
    with quiet():
        words = tokenizer_of(folder / "tokenizer", bert=bert)
    return Parts(
        **models,
        tokenizer=words,
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
        weights_of(folder / name)
    return configs


def weights_of(part: Path) -> list[Path]:
    """The weight files that are read of one part, sorted: one variant, all its shards.

    Unnamed files (float32) go before fp16, fp16 before another variant that is the only one.

    Raises:
        ComponentMissing: there are none.
        BadRequest: only pickled ones, or several variants and neither of those.
    """
    label, found = f"{part.parent.name}/{part.name}", _variants(part)
    chosen = next((v for v in ("", "fp16", *found) if v in found), None)
    if chosen is None:
        pickled = any(part.glob("*.bin"))
        raise (BadRequest if pickled else ComponentMissing)(
            f"'{label}' has {'only pickled' if pickled else 'no'} weights.",
            hint="Save the model with safe_serialization=True.",
        )
    if chosen not in ("", "fp16") and len(found) > 1:
        raise BadRequest(
            f"'{label}' holds several variants of its weights: {', '.join(sorted(found))}.",
            hint="Leave one of them in the folder.",
        )
    whole = [path for path in found[chosen] if not re.search(_SHARD, path.name)]
    return whole or found[chosen]


def _variants(part: Path) -> dict[str, list[Path]]:
    """Weight files by variant; "" for those without a name of one."""
    found: dict[str, list[Path]] = {}
    for path in sorted(part.glob("*.safetensors")):
        if name := WEIGHTS.fullmatch(path.name):
            found.setdefault(name["variant"] or "", []).append(path)
    return found


def check_architecture(configs: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """BadRequest unless the configurations describe a UNet of ``KINDS`` and one text encoder."""
    unet, vae, text = configs["unet"], configs["vae"], configs["text_encoder"]
    width = unet.get("cross_attention_dim", 1280)
    wrong = {
        f"a {unet.get('_class_name')}": unet.get("_class_name") != "UNet2DConditionModel",
        f"a UNet with {unet.get('in_channels')} input channels": unet.get("in_channels", 4)
        not in KINDS,
        "a UNet with added conditions (SDXL)": bool(unet.get("addition_embed_type")),
        "a UNet with class conditions": unet.get("class_embed_type") is not None,
        f"a VAE with {vae.get('latent_channels')} latent channels": vae.get("latent_channels", 4)
        != 4,
        f"text states of {text.get('hidden_size')} for a UNet that reads {width}": width
        != text.get("hidden_size", 512),
        f"a UNet with {unet.get('out_channels')} output channels": unet.get("out_channels", 4) != 4,
        "a UNet distilled with its guidance (LCM)": bool(unet.get("time_cond_proj_dim")),
        f"a {vae.get('_class_name')}": vae.get("_class_name", "AutoencoderKL") != "AutoencoderKL",
        "a VAE that shifts its latents": any(vae.get(name) is not None for name in SHIFTS),
        **wrong_text(text),
    }
    for found, is_wrong in wrong.items():
        if is_wrong:
            raise _foreign(folder, found)
    noise_schedule(configs["scheduler"])


def _foreign(folder: Path, found: str) -> BadRequest:
    return BadRequest(
        f"'{folder.name}' is not of the Stable Diffusion v1 architecture: it holds {found}.",
        hint="Use a 4-channel Stable Diffusion v1 model, for example cxr-mini.",
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ComponentMissing(
            f"'{path.parent.name}/{path.name}' is missing or not JSON.",
            hint="Copy the whole model folder again.",
        ) from error
    return loaded


def _strict(cls: Any, folder: Path, name: str) -> Any:
    """``from_pretrained`` that refuses keys that are missing, unexpected or of another shape."""
    from safetensors import SafetensorError

    options: dict[str, Any] = {
        "local_files_only": True,
        "use_safetensors": True,
        "output_loading_info": True,
    }
    named = WEIGHTS.fullmatch(weights_of(folder / name)[0].name)
    options["variant"] = named["variant"] if named else None
    try:
        with quiet():
            model, info = cls.from_pretrained(str(folder / name), **options)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        said = str(error).replace(f"{folder}/", "").splitlines()[0]
        raise ComponentMissing(
            f"The weights of '{folder.name}/{name}' cannot be read: {said}",
            hint="Copy the model folder again; a clone needs: git lfs pull.",
        ) from error
    check_keys(f"{folder.name}/{name}", info)
    return aligned(model)


def _bert(folder: Path, config: Mapping[str, Any]) -> Any:
    """The layers of the BERT in a folder's ``text_encoder``, as strictly."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights: dict[str, Any] = {}
    try:
        for path in weights_of(folder / "text_encoder"):
            weights |= load_file(path)
    except (OSError, SafetensorError) as error:
        raise ComponentMissing(
            f"The weights of '{folder.name}/text_encoder' cannot be read.",
            hint="Copy the model folder again; a clone needs: git lfs pull.",
        ) from error
    with quiet():
        model, info = bert_of(config, {k: v.float() for k, v in weights.items()})
    check_keys(f"{folder.name}/text_encoder", info)
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
def quiet() -> Iterator[None]:
    """No bar, log line or warning of diffusers and transformers: the terminal is the caller's.

    What they would warn of while loading (keys that do not fit) is refused here by name.
    """
    from diffusers.utils import logging as diffusers
    from transformers.utils import logging as transformers

    libraries = (diffusers, transformers)
    shown = [(lib, lib.get_verbosity(), lib.is_progress_bar_enabled()) for lib in libraries]
    for lib in libraries:
        lib.set_verbosity_error()
        lib.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for lib, verbosity, bar in shown:
            lib.set_verbosity(verbosity)
            if bar:
                lib.enable_progress_bar()


def check_keys(label: str, info: Mapping[str, Any]) -> None:
    """BadRequest naming the first key that does not fit."""
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        keys = sorted(str(k) for k in info.get(kind, ()) if not str(k).endswith(HARMLESS))
        if keys:
            raise BadRequest(
                f"The weights of '{label}' do not fit the model: {len(keys)} "
                f"{kind.replace('_', ' ')}, first '{keys[0]}'.",
                hint="Save it with the libraries of this package, or install those that saved it.",
            )


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, read in chunks."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
