# SPDX-License-Identifier: Apache-2.0
"""Every shipped recipe is read by its training, and every key of the generator's is documented."""

from dataclasses import fields
from pathlib import Path

import pytest

from monai_cxr_cf.training.autoencoder.recipe import AutoencoderRecipe
from monai_cxr_cf.training.generator.finetune import FinetuneRecipe
from monai_cxr_cf.training.generator.from_nothing import DiffusionRecipe
from monai_cxr_cf.training.generator.widened import WidenedRecipe
from monai_cxr_cf.training.loop import read_recipe

RECIPES = {
    "autoencoder": AutoencoderRecipe,
    "decoder": AutoencoderRecipe,
    "texture": AutoencoderRecipe,
    "diffusion": DiffusionRecipe,
    "diffusion2": DiffusionRecipe,
    "diffusion_finish": DiffusionRecipe,
    "diffusion_plain": DiffusionRecipe,
    "finetune": FinetuneRecipe,
    "inpaint": WidenedRecipe,
    "instruct": WidenedRecipe,
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_is_read(name: str, root: Path) -> None:
    path = root / f"monai_cxr_cf/training/recipes/{name}.yaml"
    recipe = read_recipe(path, RECIPES[name])
    assert recipe.precision == ("bf16" if name == "finetune" else "bf16-pure")
    assert recipe.seed >= 0


def test_the_fine_tuning_defaults_are_the_paper_s(root: Path) -> None:
    read = read_recipe(root / "monai_cxr_cf/training/recipes/finetune.yaml", FinetuneRecipe)
    for recipe in (FinetuneRecipe(), read):
        assert (recipe.learning_rate, recipe.effective_batch) == (1e-4, 16)
        assert (recipe.precision, recipe.epochs, recipe.dropout) == ("bf16", 50, 0.1)
    planned = read.planned(processes=4, images=1600)
    assert planned.batch * planned.accumulate * 4 == 16
    assert planned.steps == 5000


@pytest.mark.parametrize("kind", [*dict.fromkeys(RECIPES.values())])
def test_every_key_is_documented(kind: type, root: Path) -> None:
    text = (root / "docs" / "training.md").read_text(encoding="utf-8")
    missing = [field.name for field in fields(kind) if f"`{field.name}`" not in text]
    assert not missing
