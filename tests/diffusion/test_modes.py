# SPDX-License-Identifier: Apache-2.0
"""Series, removals, ensembles and shams on tensors and arrays."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_cxr_cf.diffusion.modes import (
    config_for,
    ensemble,
    scaled_configs,
    severity_series,
    sham_task,
)
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.errors import BadRequest
from tests.diffusion.small import EVERY


def test_a_series_runs_straight_from_source_to_edit() -> None:
    z_src, z = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    series = severity_series(z_src, z, [0, 0.25, 1])
    assert torch.equal(series[:1], z_src)
    assert torch.equal(series[2:], z)
    assert torch.allclose(series[1:2] - z_src, 0.25 * (z - z_src))


@pytest.mark.parametrize("levels", [[], [-0.1], [1.1], [float("nan")]])
def test_levels_outside_the_dial_are_refused(levels) -> None:
    with pytest.raises(BadRequest, match="Severity levels"):
        severity_series(torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 2, 2), levels)


def test_a_series_of_several_seeds_is_refused() -> None:
    with pytest.raises(BadRequest, match="one seed"):
        severity_series(torch.zeros(1, 4, 2, 2), torch.ones(2, 4, 2, 2), [1.0])


def test_the_dial_by_sampling_scales_gain_guidance_and_strength(tiny, task) -> None:
    none, half, full = scaled_configs(EVERY, [0, 0.5, 1])
    assert full == EVERY
    assert half.boost.eta == 0.75
    assert half.start.strength == 0.35
    assert half.sampling.guidance_scale == 4.25
    samples = sample(tiny, task, none, seeds=[1])
    assert torch.equal(samples.z, samples.z_src)


def test_a_removal_runs_most_of_the_schedule_uncorrected() -> None:
    removal = config_for(EVERY, "removal")
    assert removal.start.strength == 0.85
    assert removal.correct.alpha_max == 0
    assert config_for(EVERY, "edit") == EVERY
    long = EVERY.with_overrides({"start": {"strength": 0.95}})
    assert config_for(long, "removal").start.strength == 0.95


def test_a_sham_keeps_everything_but_the_words(task) -> None:
    sham = sham_task(replace(task, source_prompt="normal chest"))
    assert sham.prompt == sham.source_prompt == "normal chest"
    assert all(t.tokens == () for t in sham.targets)
    assert np.array_equal(sham.kappa, task.kappa)
    assert np.array_equal(sham.targets[0].region, task.targets[0].region)


def test_ensemble_maps() -> None:
    changes = np.zeros((4, 2, 2), np.float32)
    changes[:3, 0, 0] = 0.2
    changes[0, 1, 1] = -0.4
    maps = ensemble(changes, tau=0.1)
    assert maps.mean[0, 0] == pytest.approx(0.15)
    assert maps.std[0, 0] == pytest.approx(np.std([0.2, 0.2, 0.2, 0]))
    assert maps.exceed.tolist() == [[0.75, 0], [0, 0.25]]
    with pytest.raises(BadRequest, match="ensemble"):
        ensemble(changes[0], tau=0.1)
