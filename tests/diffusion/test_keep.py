# SPDX-License-Identifier: Apache-2.0
"""The kept area is the source of the right level after every step (docs/method.md 2.6)."""

from dataclasses import replace

import pytest
import torch

from monai_cxr_cf.diffusion.keep import Keep
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.steps import Noise, Solver
from monai_cxr_cf.methods.sdedit import plain
from tests.diffusion.small import EVERY

PASTE = plain(EVERY).with_overrides(
    {"keep": {"paste": True}, "sampling": {"guidance_scale": 1.0}, "start": {"strength": 1.0}}
)


@pytest.fixture
def seen(monkeypatch):
    """Rule and latent after every step of a run, as they leave the keep rule."""
    latents, original = [], Keep.__call__

    def watched(self, z, source):
        latents.append(original(self, z, source))
        return latents[-1]

    monkeypatch.setattr(Keep, "__call__", watched)
    return latents


@pytest.mark.parametrize("steps", [4, 7, 16, 100])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("solver", ["ddim", "dpmpp"])
def test_paste_is_time_aligned(tiny, task, seen, solver, spacing, steps) -> None:
    """After step i the kept cells are z_src@t_{i+1}, not the noisier z_src@t_i; at last z_src."""
    config = PASTE.with_overrides(
        {"sampling": {"solver": solver, "spacing": spacing, "steps": steps}}
    )
    samples = sample(tiny, task, config, seeds=[4])
    assert len(seen) == steps
    solver_run, z_src = Solver(config, tiny.scheduler_config), samples.z_src
    noise = Noise((4,), tuple(z_src.shape[1:]), "cpu").draw()
    alphas = solver_run.scheduler.alphas_cumprod
    cells = task.kappa.reshape(16, 8, 16, 8).max(axis=(1, 3)) > 0
    for i, z in enumerate(seen):
        source = z_src
        if i + 1 < steps:
            a = alphas[solver_run.timesteps[i + 1]]
            source = a**0.5 * z_src + (1 - a) ** 0.5 * noise
        same = (z == source).all(dim=1)[0]
        assert same[~cells].all(), i
        assert not same[cells].any(), i
    assert torch.equal(samples.z, seen[-1])


@pytest.mark.parametrize("kind", ["ddim", "edit_friendly"])
def test_paste_after_an_inversion_is_the_stored_trajectory(tiny, task, seen, kind) -> None:
    config = PASTE.with_overrides({"start": {"kind": kind}, "sampling": {"steps": 6}})
    samples = sample(tiny, task, config, seeds=[4])
    still = sample(
        tiny, replace(task, prompt="", source_prompt=""), config, seeds=[4]
    )  # another edit of the same source: the kept cells must be the same at every step
    cells = task.kappa.reshape(16, 8, 16, 8).max(axis=(1, 3)) > 0
    for one, other in zip(seen[:6], seen[6:], strict=True):
        same = (one == other).all(dim=1)[0]
        assert same[~cells].all()
        assert not same[cells].all()
    kept = torch.from_numpy(~cells).expand_as(samples.z)
    assert torch.equal(samples.z[kept], still.z_src[kept])
