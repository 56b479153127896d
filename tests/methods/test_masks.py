# SPDX-License-Identifier: Apache-2.0
"""Pasting editors: what is kept is the source, and what is listed as a fault leaves noise there."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_cxr_cf.catalogue.table import TABLE
from monai_cxr_cf.methods.radedit import radedit
from tests.methods.quick import QUICK, bench_of, quick, samples, task

PASTING = [n for n in QUICK if TABLE[n].region == "paste"]
LATE = ("blended", "radedit", "diffedit")


def masked(value: float):
    """The task with its region and band all over the picture, or nearly nowhere."""
    plain = task()
    (target,) = plain.targets
    plane = np.full_like(plain.kappa, value)
    if not value:
        plane[0, 0] = 1
    return replace(plain, targets=(replace(target, region=plane),), kappa=plane)


def kept(name: str) -> torch.Tensor:
    """Latent cells outside of region and band, (1, 1, h, w) bool."""
    m = bench_of().bilinear(task().kappa) if name.startswith("pie") else bench_of().mask()
    return m == 0


@pytest.mark.parametrize("name", PASTING)
def test_what_is_kept_is_the_source(name) -> None:
    found = samples(name)
    outside = kept(name).expand_as(found.z)
    change = (found.z - found.z_src)[outside].abs().max()
    assert change < (0.05 if name.startswith("pie") else 1e-4)  # pie keeps a hundredth of it
    assert (found.z - found.z_src)[~outside].abs().max() > 0.1


@pytest.mark.parametrize("name", LATE)
def test_a_late_paste_leaves_noise_in_the_kept_area(name) -> None:
    found = samples(name, as_published=True)
    m = bench_of().mask(as_published=True)
    outside = (m == 0).expand_as(found.z)
    if name == "diffedit":
        outside = (bench_of().mask() == 0).expand_as(found.z)
    assert (found.z - found.z_src)[outside].abs().max() > 1e-3


@pytest.mark.parametrize("name", [n for n in PASTING if n != "radedit"])
def test_a_mask_of_one_cell_keeps_all_others(name) -> None:
    found = samples(name, given=masked(0))
    change = (found.z - found.z_src).abs().amax(1)[0]
    change[:2, :2] = 0
    assert change.max() < (0.05 if name.startswith("pie") else 1e-4)


@pytest.mark.parametrize("name", ["sd_inpaint", "blended"])
def test_a_mask_of_everything_is_the_same_law_without_its_paste(name) -> None:
    """Both are then plain sampling from the same noise, and differ in where they begin alone."""
    found = samples(name, given=masked(1), steps=8)
    bench = bench_of(masked(1))
    levels = bench.schedule.levels(8)[0 if name == "sd_inpaint" else 2 :]
    z = bench.noise.draw()
    with torch.no_grad():
        for level in levels:
            e = bench.guided(z, level.t, 7.5)
            x0 = (z - (1 - level.a) ** 0.5 * e) / level.a**0.5
            z = level.b**0.5 * x0 + (1 - level.b) ** 0.5 * e
    assert torch.allclose(found.z, z, atol=1e-4)


@pytest.mark.parametrize("name", ["ddpm_invert", "radedit"])
def test_a_null_edit_is_the_source(name) -> None:
    same = replace(task(), prompt="normal", source_prompt="normal", negative_prompt="normal")
    found = samples(name, given=same)
    assert torch.allclose(found.z, found.z_src, atol=1e-4)


def test_the_last_noise_that_is_dropped_shows_in_a_null_edit() -> None:
    same = replace(task(), prompt="normal", source_prompt="normal", negative_prompt="normal")
    found = samples("ddpm_invert", given=same, as_published=True)
    assert (found.z - found.z_src).abs().max() > 1e-3


def test_radedit_guides_in_the_region_alone() -> None:
    bench = bench_of()
    strong, weak = samples("radedit", guidance=9.0, skip=0.0), samples("radedit", guidance=1.0,
                                                                      skip=0.0)  # fmt: skip
    moved = (strong.z - weak.z).abs().amax(1)[0]
    inside = bench.nearest(bench.region)[0, 0] > 0
    assert moved[inside].max() > 0.05
    assert moved[(bench.mask() == 0)[0, 0]].max() < 1e-6


def test_no_number_of_radedit_is_refused() -> None:
    made = quick("radedit", as_published=True)
    bench = bench_of()
    bench.schedule.final = 1.0
    with torch.no_grad():
        assert radedit(bench, made.settings).isnan().any()
        assert radedit(bench, quick("radedit").settings).isfinite().all()
