# SPDX-License-Identifier: Apache-2.0
"""SSIM against MONAI's; LPIPS against what the published distance must obey."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from monai_cxr_cf.data.folder import load_image, read_index
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.measures.perceptual import Lpips, load_lpips, masked_mean, psnr, ssim, ssim_map
from tests.alignment import unaligned


@pytest.fixture(scope="module")
def lpips(shared: Path) -> Lpips:
    return load_lpips(shared / "models" / "lpips")


@pytest.fixture(scope="module")
def chest(shared: Path) -> np.ndarray:
    """A real radiograph, 192 x 160."""
    data = shared / "data" / "cxr"
    return load_image(data, read_index(data)[0])[:192, :160]


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 1).astype(np.float32)


def wave(side: int = 48) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side] / side
    return (0.5 + 0.3 * np.sin(9 * rows) * np.cos(7 * columns)).astype(np.float32)


def test_ssim_agrees_with_monai() -> None:
    from monai.metrics import SSIMMetric

    a, b = wave(), noisy(wave(), 0.05)
    theirs = SSIMMetric(2, data_range=1.0, win_size=11, kernel_sigma=1.5)
    expected = theirs(*(torch.from_numpy(x)[None, None] for x in (a, b)))
    # Theirs leaves out a rim of half a window.
    assert ssim_map(a, b)[5:-5, 5:-5].mean() == pytest.approx(float(expected), abs=1e-4)


def test_ssim_is_one_for_equal_images_symmetric_and_falls_with_noise() -> None:
    a = wave()
    assert ssim(a, a) == pytest.approx(1)
    values = [ssim(a, noisy(a, sigma)) for sigma in (0.01, 0.05, 0.2)]
    assert values == sorted(values, reverse=True)
    assert ssim(a, noisy(a, 0.1)) == pytest.approx(ssim(noisy(a, 0.1), a))


def test_psnr_of_a_known_error() -> None:
    a = np.full((8, 8), 0.5, np.float32)
    assert psnr(a, a + np.float32(0.1)) == pytest.approx(20, abs=1e-3)


def test_a_mask_sees_only_its_own_pixels() -> None:
    a, mask = wave(), np.zeros((48, 48), bool)
    b = a.copy()
    b[:20] = 0
    mask[30:] = True
    assert ssim(a, b, mask) == pytest.approx(1)
    assert ssim(a, b, ~mask) < 0.9
    assert np.isnan(masked_mean(a, np.zeros_like(mask)))
    with pytest.raises(BadRequest, match="equal shapes"):
        masked_mean(a, mask[1:])


def test_lpips_weights_lie_in_aligned_memory(tmp_path: Path) -> None:
    names = [f"conv{n}.{part}" for n in range(5) for part in ("weight", "bias")]
    names += [f"lin{n}" for n in range(5)]
    save_file({name: torch.ones(3) for name in names}, tmp_path / "small.safetensors")
    assert unaligned(load_file(tmp_path / "small.safetensors").items())
    assert unaligned(load_lpips(tmp_path / "small.safetensors").weights.items()) == []


def test_lpips_is_zero_for_equal_images_and_symmetric(lpips: Lpips, chest: np.ndarray) -> None:
    assert lpips.distance(chest, chest) == 0
    other = noisy(chest, 0.1)
    assert lpips.distance(chest, other) == pytest.approx(lpips.distance(other, chest), rel=1e-5)


def test_lpips_grows_with_noise_and_with_blur(lpips: Lpips, chest: np.ndarray) -> None:
    from scipy.ndimage import gaussian_filter

    values = [lpips.distance(chest, noisy(chest, sigma)) for sigma in (0.02, 0.08, 0.3)]
    assert 0 < values[0] < values[1] < values[2] < 2
    blurred = [lpips.distance(chest, gaussian_filter(chest, sigma)) for sigma in (1, 3, 6)]
    assert blurred == sorted(blurred)


def test_lpips_cares_for_structure_more_than_for_a_small_shift_of_brightness(
    lpips: Lpips, chest: np.ndarray
) -> None:
    """The reason to use it: at the same mean square error, blur is worse than brightness."""
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(chest, 4).astype(np.float32)
    shift = np.float32(np.sqrt(np.mean((blurred - chest) ** 2)))
    assert lpips.distance(chest, blurred) > 2 * lpips.distance(chest, chest * (1 - shift) + shift)


def test_the_lpips_map_shows_where_the_images_differ(lpips: Lpips, chest: np.ndarray) -> None:
    other, mask = chest.copy(), np.zeros(chest.shape, bool)
    mask[120:, 100:] = True
    other[mask] = noisy(chest, 0.3)[mask]
    plane = lpips.map(chest, other)
    assert plane.shape == chest.shape
    assert plane.min() >= 0
    assert plane[:16, :16].max() == 0  # beyond the reach of any layer
    assert lpips.distance(chest, other, mask) > 3 * lpips.distance(chest, other, ~mask)
    assert plane.mean() == pytest.approx(lpips.distance(chest, other), rel=0.25)


def test_every_layer_sees_a_real_difference(lpips: Lpips, chest: np.ndarray) -> None:
    shares = [float(x.mean()) for x in lpips._layers(chest, noisy(chest, 0.2))]
    assert len(shares) == 5
    assert min(shares) > 0.005


def test_too_small_images_and_missing_weights_are_refused(lpips: Lpips, tmp_path: Path) -> None:
    small = np.zeros((16, 16), np.float32)
    with pytest.raises(BadRequest, match="32 px"):
        lpips.distance(small, small)
    with pytest.raises(ComponentMissing, match="lpips_alex"):
        load_lpips(tmp_path)
