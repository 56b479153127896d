# SPDX-License-Identifier: Apache-2.0
"""The keys of an autoencoder's recipe, and the network of that shape."""

from dataclasses import dataclass

from diffusers import AutoencoderKL


@dataclass(frozen=True)
class AutoencoderRecipe:
    """Everything that decides the weights besides the data."""

    channels: tuple[int, ...] = (16, 32, 128, 128)  # per level, three halvings between
    layers: int = 1  # residual blocks per encoder level; the decoder has one more
    norm_groups: int = 8
    side: int = 256  # px, square
    least_side: int = 0  # px, of the file; radiographs with a shorter side are left out
    crop: int = 128  # px, training crops
    batch: int = 8
    steps: int = 6000
    learning_rate: float = 8e-4
    beta2: float = 0.999  # of AdamW; a decoder that is all but done needs a shorter memory
    warmup: int = 50  # steps
    kl_weight: float = 1e-4  # per latent element, against per-pixel losses
    squared_weight: float = 2.0  # of the squared error, which PSNR measures
    gradient_weight: float = 0.5  # of the error of horizontal and vertical differences
    structure_weight: float = 0.0  # of 1 - SSIM
    perceptual_weight: float = 0.0  # of the LPIPS distance; needs its weights, a loss only
    adversarial_weight: float = 0.0  # of what a discriminator of patches says
    adversarial_start: int = 200  # steps that the discriminator learns alone before
    discriminator_rate: float = 2e-4  # its learning rate
    discriminator_channels: int = 32  # of its first layer
    ema_decay: float = 0.995
    precision: str = "bf16"  # autocast; "bf16-pure": bf16 weights, float32 masters; "no": float32
    seed: int = 7
    check_every: int = 150  # steps between validation, sheet and checkpoint
    compile: bool = False  # torch.compile: minutes to start, then faster
    linear: bool = True  # start as a working linear code instead of at random
    decoder_only: bool = False  # start from OUT/vae and train its decoder; latents stay as they are
    fine_levels: int = 0  # then: how many of its finest levels learn; 0 = all


def build(recipe: AutoencoderRecipe) -> AutoencoderKL:
    """An untrained autoencoder of the recipe's shape; no attention, so crops and images agree."""
    levels = len(recipe.channels)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=recipe.channels,
        layers_per_block=recipe.layers,
        latent_channels=4,
        norm_num_groups=recipe.norm_groups,
        sample_size=recipe.side,
        mid_block_add_attention=False,
    )
