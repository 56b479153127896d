# SPDX-License-Identifier: Apache-2.0
"""Our editors against what other repositories' own code gave on the same tiny model.

``stored.json`` says what was run, at which commit and with which patches.
"""

import json

import pytest
import torch

from monai_cxr_cf.catalogue.table import choose
from monai_cxr_cf.methods import pie
from monai_cxr_cf.methods.blended import blended
from monai_cxr_cf.methods.ddpm_invert import ddpm_invert
from tests.methods.peers.fixed import STORED, digest, draws, fixed_bench, fixed_task, stored

NEAR = 1e-4
MOVED = 0.05


def near(ours: torch.Tensor, name: str) -> bool:
    """Whether a result is the stored one, and not just the picture it began with."""
    theirs = stored(name)
    assert float((theirs - fixed_bench(fixed_task(), []).z0).abs().max()) > MOVED
    return float((ours - theirs).abs().max()) < NEAR * float(theirs.abs().max().clamp(min=1))


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def test_the_tiny_model_is_the_one_that_was_run() -> None:
    told = json.loads(STORED.read_text(encoding="utf-8"))
    assert told["weights"] == digest(), "the tiny model changed, whatever the methods do"
    assert all(len(r["commit"]) == 40 and r["licence"] for r in told["recipes"].values())


@pytest.mark.parametrize(("source", "eta"), [("source", 1.0), ("empty", 1.0), ("source", 0.6)])
def test_ddpm_invert_is_that_of_ddpm_inversion(source, eta) -> None:
    task = fixed_task(**({} if source == "source" else {"source_prompt": ""}))
    values = {"steps": 8, "skip": 2, "eta": eta, "guidance": 5.0, "as_published": True}
    ours = ddpm_invert(fixed_bench(task, draws(8)), choose("ddpm_invert", values).settings)
    assert near(ours, f"ddpm_invert {source} eta {eta:g}")
    repaired = choose("ddpm_invert", {**values, "as_published": False}).settings
    assert not near(ddpm_invert(fixed_bench(task, draws(8)), repaired),
                    f"ddpm_invert {source} eta {eta:g}")  # fmt: skip


def test_a_round_of_pie_is_that_of_its_repository() -> None:
    settings = choose("pie", {"rounds": 1, "steps": 10}).settings
    ours = pie.pie(fixed_bench(fixed_task(), draws(2)), settings)
    assert near(ours, "pie DDIM, posterior mean, one round")
    latent = pie.pie_latent(fixed_bench(fixed_task(), draws(2)), settings)
    assert torch.equal(latent, ours)


def test_pie_as_published_draws_its_posteriors_and_runs_pndm_one_level_off() -> None:
    values = {"rounds": 1, "steps": 10, "as_published": True}
    bench = fixed_bench(fixed_task(), draws(6))
    assert near(pie.pie(bench, choose("pie", values).settings),
                "pie PNDM, posterior drawn, one round")  # fmt: skip
    assert [step["timestep"] for step in bench.steps] == [501, 401, 301, 201, 101, 1]


def test_blended_is_that_of_its_repository() -> None:
    values = {"steps": 8, "as_published": True}
    bench = fixed_bench(fixed_task(), draws(7), steps_offset=0)
    assert near(blended(bench, choose("blended", values).settings), "blended")
    bench = fixed_bench(fixed_task(), draws(1), steps_offset=0)
    assert not near(blended(bench, choose("blended", {"steps": 8}).settings), "blended")
