# SPDX-License-Identifier: Apache-2.0
"""The script for a card, run small on the CPU: every part gives figures, and equality holds."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import Budget


def test_the_whole_script_runs_small_on_a_cpu(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.json"
    words = ["--tiny", "--device", "cpu", "--minutes", "5", "--steps", "4", "--json", str(out)]
    assert gpu.main(words) == 0
    text = out.read_text(encoding="utf-8")
    told = json.loads(text)
    assert str(root) not in text
    assert str(tmp_path) not in text
    assert told["skipped"] == told["compile"] == []
    assert {(r["preset"], r["dtype"], r["images"]) for r in told["rows"]} == {
        (preset, dtype, batch)
        for preset in ("default", "fast", "plain")
        for dtype in ("bfloat16", "float32")
        for batch in (1, 2)
    }
    assert all(r["steps_executed"] == 2 and r["s_per_image"] > 0 for r in told["rows"])
    assert {r["f_per_step"] for r in told["rows"] if r["preset"] == "plain"} == {2.0}
    equality = told["equality"]
    assert equality["fp32_same_bytes_again"] is equality["bf16_same_bytes_again"] is True
    assert equality["batch_over_alone"] < 1e-4
    assert 0 < equality["bf16_grey_levels_whole_decode"] < 2
    assert {(r["what"], r["precision"]) for r in told["training"]} == {
        (what, precision)
        for what in ("diffusion", "autoencoder")
        for precision in ("bf16-pure", "bf16", "no")
    }
    assert all(r["samples_per_second"] > 0 for r in told["training"])
    assert capsys.readouterr().out.count("\n") == 1 + 12 + 6


def test_what_the_time_does_not_reach_is_named() -> None:
    budget = Budget(0.0)
    assert not budget.fits(0, "default, bfloat16, batch 1")
    assert budget.skipped == ["default, bfloat16, batch 1"]
    assert Budget(1).fits(1, "")


def test_another_bit_is_another_equality(monkeypatch: pytest.MonkeyPatch) -> None:
    class Drawn:
        def __init__(self) -> None:
            self.z = torch.rand(2, 4, 16, 16)

    full = half = gpu.small_backbone("cpu", "fp32")
    monkeypatch.setattr(gpu, "sample", lambda *_, **__: Drawn())
    found = gpu.equality(full, half, 4)
    assert found["fp32_same_bytes_again"] is found["bf16_same_bytes_again"] is False
    assert found["batch_near"] is False
