# SPDX-License-Identifier: Apache-2.0
"""Pictures and what a decoder made of them in, two terms of its loss out: texture, not blur.

LPIPS says how unlike the two look to people. A discriminator of patches, which learns beside the
decoder, says whether grain and fine lines look real; it sees the picture and, tenfold, what a 3x3
mean takes away. Both are losses only: nothing of them enters the weights that are written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from monai.losses import PatchAdversarialLoss
from monai.networks.nets import PatchDiscriminator
from torch import Tensor, nn
from torch.nn import functional

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.measures.perceptual import Lpips, load_lpips
from monai_cxr_cf.training.autoencoder.recipe import AutoencoderRecipe
from monai_cxr_cf.training.masters import adamw
from monai_cxr_cf.training.processes import share_gradients

FINE = 10.0  # what the fine detail is multiplied by before the discriminator sees it


def check_lpips(recipe: AutoencoderRecipe, folder: Path | None) -> None:
    """BadRequest where LPIPS weights are wanted and not named, or named and not wanted."""
    if recipe.perceptual_weight and folder is None:
        raise BadRequest(
            "The recipe's perceptual_weight needs the LPIPS weights.",
            hint="Pass --lpips DIR, or set perceptual_weight to 0.",
        )
    if folder is not None and not recipe.perceptual_weight:
        raise BadRequest(
            "--lpips would change nothing: perceptual_weight of the recipe is 0.",
            hint="Leave it out, or take a recipe with a perceptual term, such as texture.",
        )


class Texture:
    """The two terms, the discriminator and its optimiser; ``state_dict`` holds all that learns."""

    def __init__(
        self, recipe: AutoencoderRecipe, accelerator: Accelerator, lpips: Path | None
    ) -> None:
        check_lpips(recipe, lpips)
        self.recipe, self.accelerator = recipe, accelerator
        self.lpips: Lpips | None = None
        if lpips is not None:
            known = load_lpips(lpips).weights
            self.lpips = Lpips({k: v.to(accelerator.device) for k, v in known.items()})
        self.criterion = PatchAdversarialLoss(criterion="least_squares", no_activation_leastsq=True)
        self.judge: nn.Module | None = None
        if recipe.adversarial_weight:
            # No norm: it would take away how strong the grain is, which is what is judged.
            self.judge = PatchDiscriminator(
                2,
                recipe.discriminator_channels,
                2,
                num_layers_d=2,
                norm=None,
                bias=True,
            ).to(accelerator.device)
            self.optimizer = adamw(
                self.judge.parameters(),
                accelerator.device,
                rate=recipe.discriminator_rate,
                betas=(0.5, 0.99),
            )

    def terms(self, output: Tensor, target: Tensor, step: int) -> dict[str, Tensor]:
        """Weighted terms of (B, 3, H, W) pictures in [-1, 1]; gradients reach the output alone."""
        recipe, found = self.recipe, {}
        made, real = (x.float().mean(1, keepdim=True) for x in (output, target))
        if self.lpips is not None:
            found["perceptual"] = recipe.perceptual_weight * self.lpips.between(made, real).mean()
        if self.judge is not None and step >= recipe.adversarial_start:
            self.judge.requires_grad_(False)
            told = self._asked(made, real=True, learns=False)
            found["adversarial"] = recipe.adversarial_weight * told
        return found

    def learn(self, output: Tensor, target: Tensor, factor: float) -> dict[str, Tensor]:
        """One step of the discriminator at ``factor`` of its rate; returns its loss."""
        if self.judge is None:
            return {}
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.discriminator_rate * factor
        self.judge.requires_grad_(True)
        made, real = (x.detach().float().mean(1, keepdim=True) for x in (output, target))
        loss = 0.5 * (
            self._asked(real, real=True, learns=True) + self._asked(made, real=False, learns=True)
        )
        self.accelerator.backward(loss)
        share_gradients(self.accelerator, self.judge)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {"discriminator": loss.detach()}

    def _asked(self, grey: Tensor, *, real: bool, learns: bool) -> Tensor:
        fine = grey - functional.avg_pool2d(grey, 3, 1, 1, count_include_pad=False)
        seen: Any = self.judge
        told = seen(torch.cat([grey, FINE * fine], 1))[-1]
        loss: Tensor = self.criterion(told, target_is_real=real, for_discriminator=learns)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The discriminator and its optimiser; empty without one."""
        if self.judge is None:
            return {}
        return {"judge": self.judge.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict``; from an empty one the discriminator begins anew."""
        if self.judge is not None and state:
            self.judge.load_state_dict(state["judge"])
            self.optimizer.load_state_dict(state["optimizer"])
