# SPDX-License-Identifier: Apache-2.0
"""An autoencoder that starts as a linear code must already rebuild a smooth picture."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from monai_cxr_cf.measures.perceptual import psnr
from monai_cxr_cf.training.autoencoder.linear_start import cosines, fit, haar, linear_start
from monai_cxr_cf.training.autoencoder.recipe import AutoencoderRecipe, build
from monai_cxr_cf.training.autoencoder.reconstruct import reconstruct


def smooth_pictures(count: int, side: int = 64) -> NDArray[np.uint8]:
    """Smooth random pictures, BxSxS."""
    noise = np.random.default_rng(3).standard_normal((count, side, side))
    blurred = np.stack([gaussian_filter(n, 4) for n in noise])
    scaled = (blurred - blurred.min()) / np.ptp(blurred)
    return np.round(scaled * 255).astype(np.uint8)


def test_untrained_network_rebuilds_a_smooth_picture() -> None:
    torch.manual_seed(0)
    images = smooth_pictures(24)
    recipe = AutoencoderRecipe(channels=(8, 16, 64, 64), norm_groups=2)
    random, linear = build(recipe).eval(), build(recipe).eval()
    linear_start(linear, images[:16])
    target = np.asarray(images[16:] / np.float32(255), np.float32)
    before, after = (
        np.mean([psnr(a, b) for a, b in zip(reconstruct(m, images[16:]), target, strict=True)])
        for m in (random, linear)
    )
    assert after > 30
    assert after > before + 10


def test_fit_finds_the_convolution_that_made_the_output() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 2, 16, 16, generator=generator)
    kernel = torch.randn(3, 2, 3, 3, generator=generator)
    y = torch.nn.functional.conv2d(x, kernel, padding=1)
    torch.testing.assert_close(fit(x, y), kernel, rtol=0, atol=1e-4)


def test_cosines_are_orthogonal_and_begin_with_the_mean() -> None:
    patterns = cosines(12).flatten(1) * 8
    torch.testing.assert_close(patterns @ patterns.T, torch.eye(12), rtol=0, atol=1e-5)
    torch.testing.assert_close(patterns[0], torch.full((64,), 1 / 8))


def test_haar_of_a_flat_picture_is_its_mean() -> None:
    parts = haar(torch.full((1, 8, 8), 0.25))
    assert parts.shape == (1, 4, 4, 4)
    torch.testing.assert_close(parts[:, 0], torch.full((1, 4, 4), 0.25))
    assert not parts[:, 1:].any()
