# SPDX-License-Identifier: Apache-2.0
"""The benchmark of SD v1.5: its runs tried small, its ratios, its plain image-to-image."""

import json
from pathlib import Path

import torch
from torch import nn

from benchmarks import sd15
from benchmarks.sd15 import filled, ratios, settings, small_backbone, task_for
from monai_cxr_cf.diffusion.prepare import prepare


def test_the_runs_are_made_in_processes_of_their_own(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    assert sd15.main(["--tiny", "--steps", "4", "--json", str(out)]) == 0
    told = json.loads(out.read_text(encoding="utf-8"))
    assert list(told["runs"]) == ["float32", "auto", "plain"]
    assert [told["runs"][name][0]["f_per_step"] for name in told["runs"]] == [2.0, 2.0, 2.0]
    assert all(runs[0]["dtype"] == "float32" for runs in told["runs"].values())  # small: auto
    assert told["ratios"]["auto_over_float32_f_per_step"] == 1
    assert told["ratios"]["default_over_plain_f_per_step"] == 1
    assert str(tmp_path) not in out.read_text(encoding="utf-8")


def test_ratios_are_of_the_means_of_all_rounds() -> None:
    def runs(*seconds: float) -> list[dict[str, float]]:
        return [{"wall_s_per_step": s, "cpu_s_per_step": s, "peak_mib": 1.0, "f_per_step": 2.0}
                for s in seconds]  # fmt: skip

    found = ratios({"float32": runs(4, 6), "auto": runs(1, 3), "plain": runs(2, 2)})
    assert found["auto_over_float32_wall_s_per_step"] == 0.4
    assert found["default_over_plain_cpu_s_per_step"] == 1.0


def test_plain_is_guided_on_all_steps_and_has_no_law() -> None:
    backbone = small_backbone("cpu", "fp32")
    run = prepare(backbone, task_for(backbone), settings("plain", 20), seeds=(1,))
    assert run.guided == range(run.solver.n_exec)
    assert not run.plan.gates
    assert not run.plan.gains
    assert not run.plan.regional
    assert not run.plan.corrects
    assert (
        run.solver.name
        == prepare(backbone, task_for(backbone), settings("default", 20), seeds=(1,)).solver.name
    )


def test_weights_are_made_in_the_precision_asked_for() -> None:
    with torch.device("meta"):
        made = nn.Sequential(nn.Conv2d(4, 8, 3), nn.GroupNorm(2, 8))
    network = filled(made, torch.bfloat16, "cpu")
    assert {p.dtype for p in network.parameters()} == {torch.bfloat16}
    assert 0.1 < float(network[0].weight.detach().float().std()) < 0.25  # 1 / sqrt(36) is .167
    assert float(network[0].bias.detach().abs().max()) == 0
