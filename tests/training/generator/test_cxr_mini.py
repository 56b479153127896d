# SPDX-License-Identifier: Apache-2.0
"""The shipped backbone: its folder, its shape, and that plain diffusers runs it and obeys sides."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image
from safetensors import safe_open

from monai_cxr_cf.data.folder import load_image, read_index
from monai_cxr_cf.training.images import to_square

FOLDER = Path(__file__).parents[3] / "bundles/cxr_counterfactual/models/cxr-mini"


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionImg2ImgPipeline:
    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(
        FOLDER, safety_checker=None, torch_dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_the_folder_is_small_half_precision_and_described() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 64 * 2**20
    for path in FOLDER.rglob("*.safetensors"):
        with safe_open(path, "pt") as weights:
            kinds = {weights.get_slice(key).get_dtype() for key in weights.keys()}  # noqa: SIM118
        assert kinds <= {"F16", "I64"}
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "drawn" in card.lower()
    assert (FOLDER / "LICENSE").is_file()


def test_no_file_tells_the_path_it_was_made_at() -> None:
    configs = list(FOLDER.rglob("*.json"))
    assert configs
    assert not [p for p in configs if "_name_or_path" in p.read_text(encoding="utf-8")]


def test_the_shape_is_that_of_stable_diffusion_v1(pipeline: StableDiffusionImg2ImgPipeline) -> None:
    unet, scheduler = pipeline.unet.config, pipeline.scheduler.config
    assert unet.down_block_types == ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
    assert (unet.sample_size, unet.in_channels) == (32, 4)
    assert (scheduler.beta_start, scheduler.beta_end) == (0.00085, 0.012)
    assert (scheduler.beta_schedule, scheduler.prediction_type) == ("scaled_linear", "epsilon")
    assert pipeline.text_encoder.config.max_position_embeddings == 77
    assert pipeline.tokenizer("cardiomegaly", return_offsets_mapping=True)["offset_mapping"]


def test_plain_diffusers_runs_it_without_torchvision(
    pipeline: StableDiffusionImg2ImgPipeline,
) -> None:
    grey = Image.new("RGB", (256, 256), (96, 96, 96))
    out = pipeline("cardiomegaly", image=grey, strength=0.5, num_inference_steps=4).images[0]
    assert out.size == (256, 256)
    assert np.asarray(out).std() > 1
    assert "torchvision" not in sys.modules


@pytest.mark.parametrize(("side", "columns"), [("left", slice(128, 256)), ("right", slice(0, 128))])
def test_an_effusion_appears_on_the_asked_side(
    pipeline: StableDiffusionImg2ImgPipeline, shared: Path, side: str, columns: slice
) -> None:
    data = shared / "data" / "cxr"
    row = next(
        r
        for r in read_index(data)
        if r.split == "judge" and r.view == "PA" and r.labels == ("No Finding",)
    )
    image = Image.fromarray(to_square(load_image(data, row), 256)).convert("RGB")

    def edit(prompt: str) -> np.ndarray:
        out = pipeline(
            prompt,
            image=image,
            strength=0.7,
            guidance_scale=4.0,
            num_inference_steps=10,
            generator=torch.Generator().manual_seed(0),
        )
        return np.asarray(out.images[0].convert("L"), np.float32)

    change = edit(f"large {side} pleural effusion")[100:220] - edit("clear lungs")[100:220]
    other = np.delete(change, np.r_[columns], axis=1)
    assert change[:, columns].mean() > 3
    assert change[:, columns].mean() > 1.5 * other.mean()  # measured on this input: 1.8 and more
