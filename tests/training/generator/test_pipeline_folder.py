# SPDX-License-Identifier: Apache-2.0
"""A text encoder is stored under the names that every release of transformers reads."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from monai_cxr_cf.diffusion.model.checkpoints import read_folder
from monai_cxr_cf.diffusion.model.tiny import tiny_backbone
from monai_cxr_cf.training.generator.pipeline_folder import prefix_text_encoder, save_pipeline
from monai_cxr_cf.weights import models_folder

TEXT = Path("text_encoder/model.safetensors")


def test_a_saved_folder_names_its_text_encoder_as_published_ones_do(tmp_path: Path) -> None:
    tiny = tiny_backbone()
    parts = (tiny.unet, tiny.vae, tiny.text_encoder, tiny.tokenizer)
    names = ("unet", "vae", "text_encoder", "tokenizer")
    folder = save_pipeline(tmp_path / "model", **dict(zip(names, parts, strict=True)))
    assert all(name.startswith("text_model.") for name in load_file(folder / TEXT))
    again = read_folder(folder).text_encoder.state_dict()
    assert read_folder(folder).tokenizer.get_vocab() == tiny.tokenizer.get_vocab()
    for name, weight in tiny.text_encoder.state_dict().items():
        assert torch.equal(again[name], weight.half().float()), name


def test_names_that_have_the_prefix_stay(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"text_model.a": torch.ones(2)}, path, metadata={"format": "pt"})
    before = path.read_bytes()
    prefix_text_encoder(path)
    assert path.read_bytes() == before


def test_the_shipped_text_encoder_has_these_names() -> None:
    with safe_open(models_folder() / "cxr-mini" / TEXT, "pt") as file:
        names = list(file.keys())
        rows = file.get_slice("text_model.embeddings.token_embedding.weight").get_shape()[0]
    vocabulary = json.loads((models_folder() / "cxr-mini/tokenizer/tokenizer.json").read_text())
    assert rows == len(vocabulary["model"]["vocab"])  # no row for words that there are not
    assert len(names) == 36  # two layers of sixteen, embeddings, the last norm
    assert all(name.startswith("text_model.") for name in names)
