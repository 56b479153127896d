# SPDX-License-Identifier: Apache-2.0
"""A batch and what was made of it in, how far apart they are out, pixel by pixel."""

from monai.losses import SSIMLoss
from torch import Tensor

from monai_cxr_cf.training.autoencoder.recipe import AutoencoderRecipe


def autoencoder_loss(
    output: Tensor, target: Tensor, mean: Tensor, log_variance: Tensor, recipe: AutoencoderRecipe
) -> dict[str, Tensor]:
    """Losses of a batch in [-1, 1]: ``total`` and its parts.

    total = |e| + w_s e^2 + w_g |grad e| + w_kl KL(q || N(0, I)) + w_c (1 - SSIM), each a mean.
    """
    error = output.float() - target
    edges = (error[..., 1:] - error[..., :-1]).abs().mean() + (
        error[..., 1:, :] - error[..., :-1, :]
    ).abs().mean()
    mean, log_variance = mean.float(), log_variance.float().clamp(-30, 20)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    l1, squared = error.abs().mean(), error.square().mean()
    total = (
        l1
        + recipe.squared_weight * squared
        + recipe.gradient_weight * edges
        + recipe.kl_weight * kl
    )
    parts = {"l1": l1, "mse": squared, "edges": edges, "kl": kl}
    if recipe.structure_weight:
        grey = (x.mean(1, keepdim=True) for x in (output.float(), target))
        parts["structure"] = SSIMLoss(2, data_range=2.0)(*grey)
        total = total + recipe.structure_weight * parts["structure"]
    return {"total": total, **parts}
