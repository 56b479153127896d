# SPDX-License-Identifier: Apache-2.0
"""Removals, ensembles and shams on tensors and arrays."""

from dataclasses import replace

import numpy as np
import pytest

from monai_cxr_cf.diffusion.modes import (
    config_for,
    ensemble,
    sham_task,
)
from monai_cxr_cf.errors import BadRequest
from tests.diffusion.small import EVERY


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
