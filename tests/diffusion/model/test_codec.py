# SPDX-License-Identifier: Apache-2.0
"""Grey images and latents: shapes, ranges, scaling, one image at a time."""

import numpy as np
import pytest
import torch

from monai_cxr_cf.diffusion.model.codec import decode, encode
from monai_cxr_cf.errors import BadRequest


def test_encoding_is_the_scaled_posterior_mean(tiny, task) -> None:
    z = encode(tiny, task.image)
    rgb = torch.from_numpy(task.image * 2 - 1).expand(1, 3, 128, 128)
    mean = tiny.vae.encode(rgb).latent_dist.mean
    assert z.shape == (1, 4, 16, 16)
    assert torch.equal(z, mean * tiny.vae.config.scaling_factor)
    assert torch.equal(z, encode(tiny, task.image))


def test_decoding_is_grey_in_the_unit_range(tiny) -> None:
    z = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(0)) * 30
    images = decode(tiny, z)
    assert images.shape == (3, 128, 128)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert np.array_equal(images[1], decode(tiny, z[1:2])[0]), "independent of the batch"


def test_other_sides_than_the_unet_can_halve_are_refused(tiny) -> None:
    with pytest.raises(BadRequest, match="multiples of 64"):
        encode(tiny, np.zeros((100, 128), np.float32))
