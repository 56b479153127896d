# SPDX-License-Identifier: Apache-2.0
"""Model folders as people have them: variants, shards, leftovers; read the same or refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from monai_cxr_cf.diffusion.model.backbone import load_backbone
from monai_cxr_cf.diffusion.model.checkpoints import check_keys
from monai_cxr_cf.errors import BadRequest, ComponentMissing, CxrError

PARTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
}


def halved(path: Path, variant: str, *, keep: bool = False) -> None:
    """The weights in half precision under the name of a variant."""
    target = path.with_name(f"{path.stem}.{variant}.safetensors")
    save_file({k: v.half() for k, v in load_file(path).items()}, target, {"format": "pt"})
    if not keep:
        path.unlink()


def each(folder: Path, variant: str, *, keep: bool = False) -> None:
    for part, stem in PARTS.items():
        halved(folder / part / f"{stem}.safetensors", variant, keep=keep)


def shards(folder: Path, variant: str = "") -> None:
    """The UNet in two files and an index, as diffusers writes them."""
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights, dot = load_file(path), f".{variant}" if variant else ""
    names, files = sorted(weights), {}
    for number, some in enumerate((names[::2], names[1::2]), 1):
        name = f"diffusion_pytorch_model{dot}-0000{number}-of-00002.safetensors"
        save_file({k: weights[k] for k in some}, path.with_name(name), {"format": "pt"})
        files |= dict.fromkeys(some, name)
    size = sum(v.nbytes for v in weights.values())
    index = {"metadata": {"total_size": size}, "weight_map": files}
    path.with_name(f"diffusion_pytorch_model.safetensors.index{dot}.json").write_text(
        json.dumps(index)
    )
    path.unlink()


def renamed(folder: Path, part: str, change: Callable[[str], str]) -> None:
    path = folder / part / f"{PARTS[part]}.safetensors"
    save_file({change(k): v for k, v in load_file(path).items()}, path, {"format": "pt"})


def config(folder: Path, part: str, **changes: object) -> None:
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    path = folder / part / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def prefixed(name: str) -> str:
    return name if name.startswith("text_model.") else f"text_model.{name}"


# what was done to the folder, whether its weights were halved, and the files that were read
READ = {
    "as saved": (lambda f: None, False, 3),
    "fp16 alone": (lambda f: each(f, "fp16"), True, 3),
    "fp16 beside float32": (lambda f: each(f, "fp16", keep=True), False, 3),
    "fp16 of the UNet alone": (
        lambda f: halved(f / "unet/diffusion_pytorch_model.safetensors", "fp16"),
        True,
        3,
    ),
    "bf16 by name": (lambda f: each(f, "bf16"), True, 3),
    "non_ema beside": (lambda f: each(f, "non_ema", keep=True), False, 3),
    "shards": (shards, False, 4),
    "shards of fp16": (lambda f: shards(f, "fp16"), False, 4),
    "a LoRA beside": (
        lambda f: save_file({"a": torch.zeros(1)}, f / "unet" / "pytorch_lora_weights.safetensors"),
        False,
        3,
    ),
    "pickled copies beside": (
        lambda f: (f / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"x"),
        False,
        3,
    ),
    "keys with the prefix of older releases": (
        lambda f: renamed(f, "text_encoder", prefixed),
        False,
        3,
    ),
    "safety checker beside": (lambda f: (f / "safety_checker").mkdir(), False, 3),
    "a learned range said of four channels": (
        lambda f: config(f, "scheduler", variance_type="learned_range"),
        False,
        3,
    ),
    "LU lambdas": (lambda f: config(f, "scheduler", use_lu_lambdas=True), False, 3),
    "desktop files": (lambda f: (f / "unet" / ".DS_Store").write_bytes(b""), False, 3),
}
REFUSED = {
    "two odd variants": (
        lambda f: (each(f, "a", keep=True), each(f, "b")),
        BadRequest,
        "several variants",
    ),
    "only pickled": (
        lambda f: shutil.move(
            f / "vae/diffusion_pytorch_model.safetensors", f / "vae/diffusion_pytorch_model.bin"
        ),
        BadRequest,
        "only pickled",
    ),
    "no weights": (
        lambda f: (f / "unet/diffusion_pytorch_model.safetensors").unlink(),
        ComponentMissing,
        "no weights",
    ),
    "a LoRA alone": (
        lambda f: shutil.move(
            f / "unet/diffusion_pytorch_model.safetensors", f / "unet/lora.safetensors"
        ),
        ComponentMissing,
        "no weights",
    ),
    "flow matching": (
        lambda f: config(f, "scheduler", _class_name="FlowMatchEulerDiscreteScheduler"),
        BadRequest,
        "flow-matching",
    ),
    "eight output channels": (lambda f: config(f, "unet", out_channels=8), BadRequest, "8 output"),
    "LCM": (lambda f: config(f, "unet", time_cond_proj_dim=256), BadRequest, "LCM"),
    "a tiny autoencoder": (
        lambda f: config(f, "vae", _class_name="AutoencoderTiny"),
        BadRequest,
        "AutoencoderTiny",
    ),
    "shifted latents": (lambda f: config(f, "vae", shift_factor=0.1), BadRequest, "shifts"),
    "another text encoder": (
        lambda f: config(f, "text_encoder", model_type="t5"),
        BadRequest,
        "kind t5",
    ),
    "a key too many": (
        lambda f: renamed(f, "text_encoder", lambda k: k + "_old" if "final" in k else k),
        BadRequest,
        "do not fit the model",
    ),
    "keys under another prefix": (
        lambda f: renamed(f, "text_encoder", lambda k: f"encoder_q.{k}"),
        BadRequest,
        "do not fit the model",
    ),
    "a list instead of a config": (
        lambda f: (f / "scheduler/scheduler_config.json").write_text("[1]"),
        ComponentMissing,
        "not JSON",
    ),
    "a damaged file": (
        lambda f: (f / "vae/diffusion_pytorch_model.safetensors").write_bytes(b"no weights"),
        ComponentMissing,
        "cannot be read",
    ),
    "a Git LFS pointer": (
        lambda f: (f / "text_encoder/model.safetensors").write_text("version https://git-lfs\n"),
        ComponentMissing,
        "cannot be read",
    ),
    "a shard that is missing": (
        lambda f: (
            shards(f),
            (f / "unet/diffusion_pytorch_model-00002-of-00002.safetensors").unlink(),
        ),
        CxrError,
        "unet",
    ),
}


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


@pytest.mark.parametrize(("change", "half", "files"), READ.values(), ids=READ)
def test_it_is_read_and_says_nothing(
    change: Callable[[Path], object], half: bool, files: int,
    folder: Path, tiny_folder: Path, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    change(folder)
    capfd.readouterr()
    loaded = load_backbone(str(folder), models=folder.parent)
    assert capfd.readouterr() == ("", "")  # no bar, no log line, no warning of a library
    plain = load_backbone(str(tiny_folder), models=folder.parent)
    assert len(loaded.files) == files
    assert loaded.unet.dtype == loaded.vae.dtype == loaded.text_encoder.dtype == torch.float32
    for name in PARTS:
        found, wanted = (getattr(b, name).state_dict() for b in (loaded, plain))
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            close = torch.allclose(found[key].float(), value.float(), atol=2e-3, rtol=2e-3)
            assert close if half else torch.equal(found[key], value), (name, key)


@pytest.mark.parametrize(("change", "kind", "words"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_in_one_sentence(
    change: Callable[[Path], object], kind: type[CxrError], words: str,
    folder: Path, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    change(folder)
    capfd.readouterr()
    with pytest.raises(kind, match=words) as caught:
        load_backbone(str(folder), models=folder.parent)
    assert "\n" not in caught.value.message
    assert str(folder.parent) not in caught.value.message
    assert capfd.readouterr() == ("", "")


def test_random_weights_in_place_of_missing_ones_are_refused() -> None:
    """What a reader that does not know the keys reports, instead of an error, is one here."""
    with pytest.raises(BadRequest, match=r"2 missing keys, first 'a\.weight'"):
        check_keys("model/text_encoder", {"missing_keys": ["b.weight", "a.weight"]})
