# SPDX-License-Identifier: Apache-2.0
"""Backbones load offline from safetensors, hashed and strict; others are refused in a sentence."""

import json
import shutil
from dataclasses import replace
from hashlib import sha256

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from monai_cxr_cf.diffusion.model.backbone import assemble, load_backbone
from monai_cxr_cf.diffusion.model.single_file import (
    SD1,
    SD1_TEXT,
    SD1_UNET,
    SD1_VAE,
    Layout,
    check_single_file,
    read_single_file,
)
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from tests.alignment import unaligned, weights
from tests.diffusion.original import original_checkpoint
from tests.diffusion.small import EVERY

QUICK = EVERY.with_overrides({"sampling": {"steps": 4}})


def save(backbone, folder):
    """The backbone as a diffusers pipeline folder."""
    backbone.unet.save_pretrained(folder / "unet")
    backbone.vae.save_pretrained(folder / "vae")
    backbone.text_encoder.save_pretrained(folder / "text_encoder")
    backbone.tokenizer.save_pretrained(folder / "tokenizer")
    (folder / "scheduler").mkdir()
    config = json.dumps(backbone.scheduler_config)
    (folder / "scheduler" / "scheduler_config.json").write_text(config)
    (folder / "MODEL_CARD.md").write_text("---\nlicense: Apache-2.0\n---\n")


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "cxr-mini"
    save(tiny, folder)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(saved, tmp_path / "model")


def edit_config(folder, part, **changes) -> None:
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    path = folder / part / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("spec", ["shipped name", "folder"])
def test_a_folder_loads_and_samples_as_before(tiny, task, saved, spec) -> None:
    name = "cxr-mini" if spec == "shipped name" else str(saved)
    loaded = load_backbone(name, models=saved.parent)
    assert loaded.name == name
    assert loaded.side == 128
    assert loaded.licence == "Apache-2.0"
    assert torch.equal(
        sample(loaded, task, QUICK, seeds=[1]).z, sample(tiny, task, QUICK, seeds=[1]).z
    )
    assert not any(p.requires_grad for p in loaded.unet.parameters())


def test_every_weight_file_is_hashed(saved) -> None:
    files = load_backbone("cxr-mini", models=saved.parent).files
    assert len(files) == 3
    for name, digest in files.items():
        assert sha256((saved / name).read_bytes()).hexdigest() == digest


def test_the_unet_takes_the_asked_precision_and_the_vae_stays_exact(saved) -> None:
    loaded = load_backbone("cxr-mini", models=saved.parent, precision="bf16")
    assert loaded.unet.dtype == torch.bfloat16
    assert loaded.vae.dtype == loaded.text_encoder.dtype == torch.float32


def test_the_licence_file_speaks_if_the_card_does_not(copy) -> None:
    (copy / "MODEL_CARD.md").unlink()
    (copy / "LICENSE").write_text("\nCreativeML Open RAIL-M\nmore\n")
    assert load_backbone(str(copy), models=copy.parent).licence == "CreativeML Open RAIL-M"
    (copy / "LICENSE").unlink()
    assert load_backbone(str(copy), models=copy.parent).licence == "unknown"


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("unet", {"in_channels": 5}, "5 input channels"),
        ("unet", {"addition_embed_type": "text_time"}, "SDXL"),
        ("unet", {"_class_name": "SD3Transformer2DModel"}, "SD3Transformer2DModel"),
        ("unet", {"cross_attention_dim": 1024}, "text states of 24 for a UNet that reads 1024"),
        ("vae", {"latent_channels": 16}, "16 latent channels"),
        ("text_encoder", {"max_position_embeddings": 248}, "248 text positions"),
        ("scheduler", {"prediction_type": "flow"}, "predicts flow"),
    ],
)
def test_another_architecture_is_refused_in_one_sentence(copy, part, changes, words) -> None:
    edit_config(copy, part, **changes)
    with pytest.raises(BadRequest, match=words) as caught:
        load_backbone(str(copy), models=copy.parent)
    assert "Stable Diffusion v1" in caught.value.message
    assert caught.value.message.count("\n") == 0


def test_a_second_text_encoder_is_refused(copy) -> None:
    (copy / "text_encoder_2").mkdir()
    with pytest.raises(BadRequest, match="other or more parts"):
        load_backbone(str(copy), models=copy.parent)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(copy, part) -> None:
    shutil.rmtree(copy / part)
    with pytest.raises(ComponentMissing, match=f"has no {part}"):
        load_backbone(str(copy), models=copy.parent)


def test_pickled_weights_are_refused_unread(copy) -> None:
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(BadRequest, match="only pickled weights"):
        load_backbone(str(copy), models=copy.parent)
    for name in ("model.ckpt", "model.pt", "model.bin"):
        with pytest.raises(BadRequest, match="pickled"):
            load_backbone(str(copy / name), models=copy.parent)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("damage", ["missing", "unexpected", "mismatched"])
def test_keys_that_do_not_fit_are_an_error(copy, part, damage) -> None:
    path = next((copy / part).glob("*.safetensors"))
    weights = load_file(path)
    key = sorted(weights)[-1]
    if damage == "missing":
        del weights[key]
    elif damage == "unexpected":
        weights["renamed.weight"] = torch.zeros(1)
    else:
        weights[key] = torch.zeros(3, 5, 7)
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises((BadRequest, ComponentMissing), match=f"{part}"):
        load_backbone(str(copy), models=copy.parent)


def test_damaged_weights_are_an_error(copy) -> None:
    path = next((copy / "unet").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ComponentMissing, match="cannot be read"):
        load_backbone(str(copy), models=copy.parent)


def test_nothing_is_fetched_unless_asked(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("CXR_CF_ALLOW_HUB", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ComponentMissing, match="downloads are off"):
        load_backbone("somebody/some-model", models=tmp_path)
    with pytest.raises(ComponentMissing, match="No backbone 'cxr-mini'"):
        load_backbone("cxr-mini", models=tmp_path)


@pytest.fixture(scope="module")
def original(tiny, tmp_path_factory):
    """A tiny checkpoint in one file, the parts it was made of, and its layout."""
    unet = dict(tiny.unet.config) | {"layers_per_block": 2}
    vae = dict(tiny.vae.config) | {"layers_per_block": 2}
    text = tiny.text_encoder.config.to_dict()
    layout = Layout(*({k: v for k, v in c.items() if k[0] != "_"} for c in (unet, vae)), text, {})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = (
            UNet2DConditionModel(**layout.unet),
            AutoencoderKL(**layout.vae),
            CLIPTextModel(CLIPTextConfig(**text)),
        )
    folder = tmp_path_factory.mktemp("single")
    save_file(original_checkpoint(*parts), folder / "model.safetensors")
    tiny.tokenizer.save_pretrained(folder / "tokenizer")
    layout = replace(layout, scheduler=tiny.scheduler_config)
    return folder / "model.safetensors", parts, layout


def test_a_single_file_loads_to_the_same_weights(original, task) -> None:
    path, parts, layout = original
    read = read_single_file(path, models=path.parent, layout=layout)
    for ours, theirs in zip((read.unet, read.vae, read.text_encoder), parts, strict=True):
        expected = theirs.state_dict()
        assert ours.state_dict().keys() == expected.keys()
        assert all(torch.equal(v, expected[k]) for k, v in ours.state_dict().items())
        assert unaligned(weights(ours)) == []
    assert unaligned(load_file(path).items())
    assert set(read.files) == {"model.safetensors"}
    samples = sample(assemble(read, name="single"), task, QUICK, seeds=[1])
    assert torch.isfinite(samples.z).all()


def test_a_single_file_needs_a_vocabulary_beside_it(original, tmp_path, monkeypatch) -> None:
    path, _, layout = original
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    alone = shutil.copy(path, tmp_path / "model.safetensors")
    with pytest.raises(ComponentMissing, match="no CLIP vocabulary"):
        read_single_file(tmp_path / alone.name, models=tmp_path / "none", layout=layout)


@pytest.mark.parametrize("damage", ["missing", "unexpected", "mismatched"])
@pytest.mark.parametrize(
    "key",
    [
        "model.diffusion_model.out.2.bias",
        "first_stage_model.decoder.conv_out.bias",
        "cond_stage_model.transformer.text_model.final_layer_norm.bias",
    ],
)
def test_keys_of_a_single_file_that_do_not_fit_are_an_error(
    original, tmp_path, key, damage
) -> None:
    path, _, layout = original
    weights = load_file(path)
    if damage == "missing":
        del weights[key]
    elif damage == "unexpected":
        weights[f"{key}.more"] = torch.zeros(1)
    else:
        weights[key] = torch.zeros(99)
    shutil.copytree(path.parent / "tokenizer", tmp_path / "tokenizer")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(BadRequest):
        read_single_file(tmp_path / "model.safetensors", models=tmp_path, layout=layout)


@pytest.fixture(scope="module")
def sd15_shapes():
    """Names and shapes of the true SD v1.5 single file."""
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**SD1_UNET), AutoencoderKL(**SD1_VAE)
        text = CLIPTextModel(CLIPTextConfig(**SD1_TEXT))
    return {k: tuple(v.shape) for k, v in original_checkpoint(unet, vae, text).items()}


def test_the_true_sd15_layout_is_accepted(sd15_shapes) -> None:
    check_single_file("v1-5", sd15_shapes)
    name = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    assert sd15_shapes[name] == (320, 768)
    assert sum(k.startswith("model.diffusion_model.") for k in sd15_shapes) == 686
    assert SD1.unet["cross_attention_dim"] == 768


def test_other_single_files_are_refused_by_what_they_are(sd15_shapes) -> None:
    stem = "model.diffusion_model.input_blocks.0.0.weight"
    cross = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    cases = {
        "5 input channels": sd15_shapes | {stem: (320, 5, 3, 3)},
        "text states of 1024": sd15_shapes | {cross: (320, 1024)},
        "Stable Diffusion XL": sd15_shapes | {"conditioner.embedders.1.model.x": (1,)},
        "Stable Diffusion 2": sd15_shapes | {"cond_stage_model.model.x": (1,)},
        "LoRA": {"lora_unet_down_blocks_0.lora_up.weight": (320, 4)},
    }
    for words, shapes in cases.items():
        with pytest.raises(BadRequest, match=words) as caught:
            check_single_file("model", shapes)
        assert "not a Stable Diffusion v1 checkpoint" in caught.value.message
    for prefix, words in (("first_stage_model.", "VAE"), ("cond_stage_model.", "text encoder")):
        part = {k: v for k, v in sd15_shapes.items() if not k.startswith(prefix)}
        with pytest.raises(ComponentMissing, match=f"has no {words}"):
            check_single_file("model", part)


def test_a_file_of_another_kind_is_refused(tmp_path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(BadRequest, match=r"no \.safetensors file"):
        load_backbone(str(tmp_path / "model.onnx"), models=tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(BadRequest, match="damaged"):
        load_backbone(str(tmp_path / "model.safetensors"), models=tmp_path)
