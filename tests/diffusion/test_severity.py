# SPDX-License-Identifier: Apache-2.0
"""The severity dial: blends of one edit, and levels that are sampled at a share of the guidance."""

from dataclasses import replace

import jsonschema
import pytest
import torch

from monai_cxr_cf.diffusion.cost.meter import ratios
from monai_cxr_cf.diffusion.cost.series import estimate_levels
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.severity import (
    blended,
    in_words,
    members,
    notes,
    sample_levels,
    scaled,
)
from monai_cxr_cf.diffusion.trace import schema
from monai_cxr_cf.errors import BadRequest, Cancelled
from monai_cxr_cf.presets import DEFAULT
from monai_cxr_cf.runs.remembered import Remembered

# All that could lead away from the source: boost, correction, steps without guidance.
FULL = {
    "sampling": {"steps": 6, "solver": "ddim", "cfg_from": 0.2, "guidance_scale": 7.0},
    "start": {"kind": "edit_friendly", "strength": 0.7},
    "boost": {"eta": 1.5},
    "correct": {"alpha_max": 0.05},
}
EDIT = DEFAULT.with_overrides(FULL)
N_EXEC = 4
PLAIN = EDIT.with_overrides({"sampling": {"cfg_from": 0.0}, "correct": {"alpha_max": 0.0}})
MAPS = ("region", "uniform")


def guided(config, how):
    return config.with_overrides({"sampling": {"guidance_map": how}})


def test_a_blend_runs_straight_from_source_to_edit() -> None:
    z_src, z = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    series = blended(z_src, z, [0, 0.25, 1])
    assert torch.equal(series[:1], z_src)
    assert torch.equal(series[2:], z)
    assert torch.allclose(series[1:2] - z_src, 0.25 * (z - z_src))


@pytest.mark.parametrize("levels", [[], [-0.1], [1.1], [float("nan")]])
def test_levels_outside_the_dial_are_refused_before_anything_runs(tiny, task, levels) -> None:
    with pytest.raises(BadRequest, match="Severity levels"):
        blended(torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 2, 2), levels)

    def told(event):
        pytest.fail(f"something ran: {event}")

    with pytest.raises(BadRequest, match="Severity levels"):
        sample_levels(tiny, task, EDIT, seeds=[1], levels=levels, progress=told)


def test_a_blend_of_several_seeds_is_refused() -> None:
    with pytest.raises(BadRequest, match="one seed"):
        blended(torch.zeros(1, 4, 2, 2), torch.ones(2, 4, 2, 2), [1.0])


@pytest.mark.parametrize("how", MAPS)
def test_the_ends_are_source_and_plain_edit_bit_for_bit(tiny, task, how) -> None:
    config = guided(EDIT, how)
    found = sample_levels(tiny, task, config, seeds=[1, 2], levels=[0, 0.5, 1])
    plain = sample(tiny, task, config, seeds=[1, 2])
    assert torch.equal(found.levels.z[0.0], plain.z_src.expand(2, -1, -1, -1))
    assert torch.equal(found.levels.z[1.0], plain.z)
    assert torch.equal(found.z, plain.z)
    assert found.trace["config_hash"] == plain.trace["config_hash"]
    assert found.trace["steps"] == plain.trace["steps"]


@pytest.mark.parametrize("how", MAPS)
def test_a_level_near_0_is_near_the_source_whatever_acts(tiny, task, how) -> None:
    """From an inversion; the shift shrinks with the level, so there is no jump at 0."""
    config = guided(EDIT, how)
    assert sample(tiny, task, config, seeds=[1]).trace["steps"][0]["correction"]
    shifts = [
        float((one.z - one.z_src).abs().max())
        for level in (1.0, 1e-2, 1e-4)
        for one in [sample(tiny, task, config, seeds=[1], level=level)]
    ]
    assert shifts[1] < 0.1 * shifts[0]
    assert shifts[2] < 0.03 * shifts[1]


@pytest.mark.parametrize("kind", ["edit_friendly", "strength"])
def test_a_level_of_regional_guidance_is_its_scale_times_the_level(tiny, task, kind) -> None:
    """Where all steps are guided and nothing is corrected, it is the edit at another scale."""
    config = PLAIN.with_overrides({"start": {"kind": kind}})
    other = config.with_overrides({"sampling": {"guidance_scale": 3.5}})
    half = sample(tiny, task, config, seeds=[3], level=0.5)
    expected = sample(tiny, task, other, seeds=[3])
    torch.testing.assert_close(half.z, expected.z, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(half.z, sample(tiny, task, config, seeds=[3]).z, atol=1e-2)


def test_a_scale_of_one_finding_is_taken_times_the_level_too(tiny, task) -> None:
    own, half = (
        replace(task, targets=(replace(task.targets[0], guidance=s),)) for s in (12.0, 6.0)
    )
    found = sample(tiny, own, PLAIN, seeds=[3], level=0.5)
    torch.testing.assert_close(
        found.z, sample(tiny, half, PLAIN, seeds=[3]).z, rtol=1e-4, atol=1e-4
    )
    two = replace(own, targets=(*own.targets, *task.targets))
    assert (
        in_words(scaled(two, PLAIN), 0.5) == ", sampled at guidance 6 of 12 and guidance 3.5 of 7"
    )
    assert in_words(scaled(task, PLAIN), 0.5) == ", sampled at guidance 3.5 of 7"


def test_where_an_rms_rules_the_level_scales_that(tiny, task) -> None:
    whole, half = (
        PLAIN.with_overrides({"sampling": {"guidance_rms": value}}) for value in (0.4, 0.2)
    )
    found = sample(tiny, task, whole, seeds=[3], level=0.5)
    torch.testing.assert_close(found.z, sample(tiny, task, half, seeds=[3]).z, rtol=1e-4, atol=1e-4)
    assert in_words(scaled(task, whole), 0.5) == ", sampled at guidance RMS 0.2 of 0.4"


def test_a_level_depends_on_no_other_level(tiny, task) -> None:
    """Same seeds, same noise: neither order nor company of the levels matters."""
    config = EDIT.with_overrides({"start": {"kind": "strength"}})
    series = [
        sample_levels(tiny, task, config, seeds=[5], levels=levels).levels.z[0.5]
        for levels in ([0.5], [0.25, 0.5, 1], [1, 0.5, 0.5])
    ]
    alone = sample(tiny, task, config, seeds=[5], level=0.5).z
    assert all(torch.equal(one, alone) for one in series)


def test_seeds_come_first_and_labels_name_the_guidance(tiny, task) -> None:
    levels = (1.0, 0.0, 0.25)
    found = sample_levels(tiny, task, EDIT, seeds=[4, 9], levels=levels)
    labels, z = members(found, levels)
    assert labels == [
        f"seed {seed}, severity {words}"
        for seed in (4, 9)
        for words in (
            "1.00, sampled at guidance 7 of 7",
            "0.00, sampled at guidance 0 of 7",
            "0.25, sampled at guidance 1.75 of 7",
        )
    ]
    by = found.levels.z
    rows = [by[1.0][0], by[0.0][0], by[0.25][0], by[1.0][1], by[0.0][1], by[0.25][1]]
    assert torch.equal(z, torch.stack(rows))
    assert members(sample(tiny, task, EDIT, seeds=[4]), [0.5])[0] == ["seed 4, severity 0.50"]


@pytest.mark.parametrize("how", MAPS)
def test_the_trace_tells_of_every_run_and_sums_their_cost(tiny, task, how) -> None:
    config = guided(EDIT.with_overrides({"start": {"kind": "strength"}}), how)
    levels = (0.0, 0.5, 1.0)
    trace = sample_levels(tiny, task, config, seeds=[1, 2], levels=levels).trace
    jsonschema.validate(trace, schema())
    runs = trace["severities"]["runs"]
    assert [(run["level"], run["guidance"]) for run in runs] == [(0.5, [3.5]), (1.0, [7.0])]
    single = {v: sample(tiny, task, config, seeds=[1, 2], level=v).trace for v in (0.5, 1.0)}
    parts = {key: sum(t["cost"]["f"][key] for t in single.values()) for key in trace["cost"]["f"]}
    assert trace["cost"]["f"] == pytest.approx(parts)
    assert sum(run["f"] for run in runs) == pytest.approx(trace["cost"]["f"]["total"])
    assert trace["cost"]["images"] == 4
    assert trace["cost"]["f_per_image"] == pytest.approx(trace["cost"]["f"]["total"] / 4)
    rested = {"region": 1, "uniform": N_EXEC}[how]  # passes that level 0.5 takes more than 1
    calls = {v: t["cost"]["calls"]["unet"] for v, t in single.items()}
    assert calls[1.0] == 2 * N_EXEC - 1
    assert calls[0.5] == calls[1.0] + rested
    assert trace["cost"]["calls"]["unet"] == calls[0.5] + calls[1.0]


@pytest.mark.parametrize("how", MAPS)
def test_the_estimate_is_what_a_series_costs(tiny, task, how) -> None:
    config = guided(EDIT.with_overrides({"start": {"kind": "strength"}}), how)
    levels = (0.0, 0.25, 0.5, 1.0)
    f = sample_levels(tiny, task, config, seeds=[1], levels=levels).trace["cost"]["f"]
    decodes = (len(levels) + 1) * ratios(tiny).decode
    found = estimate_levels(tiny, config, levels, seconds_per_f=2.0)
    assert found.f == pytest.approx(f["total"] - f["census"] + decodes)
    assert found.seconds == pytest.approx(2 * found.f)
    assert estimate_levels(tiny, config, [0.0]).f == pytest.approx(2 * ratios(tiny).decode)


def test_all_levels_share_one_inversion(tiny, task) -> None:
    memory = Remembered()
    backbone = replace(tiny, recall=memory, files={"unet": "0" * 64})
    found = sample_levels(backbone, task, EDIT, seeds=[1], levels=[0.25, 0.5, 1])
    assert memory.taken["inversion"] == 2 * N_EXEC
    assert found.trace["cost"]["calls"]["inversion"] == 3 * N_EXEC
    assert found.trace["resources"]["recalled_f"] > 2 * N_EXEC
    again = sample_levels(tiny, task, EDIT, seeds=[1], levels=[0.5])
    assert torch.equal(found.levels.z[0.5], again.levels.z[0.5])


def test_steps_of_all_runs_are_one_count(tiny, task) -> None:
    told = []
    sample_levels(tiny, task, EDIT, seeds=[1], levels=[0, 0.5, 1], progress=told.append)
    steps = [event["step"] for event in told if event["stage"] == "sample"]
    assert list(dict.fromkeys(steps)) == list(range(1, 2 * N_EXEC + 1))
    assert steps == sorted(steps)
    assert {event["total"] for event in told if event["stage"] == "sample"} == {2 * N_EXEC}
    inverted = [event["step"] for event in told if event["stage"] == "invert"]
    assert inverted == list(range(1, N_EXEC + 1)), "the second one is recalled"
    assert len(told) == 4 * N_EXEC, "each step asks whether to go on"


@pytest.mark.parametrize("after", [2, N_EXEC + 2, 2 * N_EXEC + 2, 3 * N_EXEC + 2])
def test_a_series_can_be_cancelled_in_any_run(tiny, task, after) -> None:
    told = []

    def progress(event):
        told.append(event)
        if len(told) == after:
            raise Cancelled("enough")

    processors = dict(tiny.unet.attn_processors)
    with pytest.raises(Cancelled):
        sample_levels(tiny, task, EDIT, seeds=[1], levels=[0.5, 1], progress=progress)
    assert len(told) == after
    assert tiny.unet.attn_processors == processors


def test_level_0_alone_executes_no_step(tiny, task) -> None:
    told = []
    found = sample_levels(tiny, task, EDIT, seeds=[1], levels=[0], progress=told.append)
    assert not told
    assert found.trace["steps"] == []
    assert "unet" not in found.trace["cost"]["calls"]
    assert found.trace["severities"] == {"runs": []}
    assert torch.equal(members(found, [0])[1], found.z_src)


@pytest.mark.parametrize("kind", ["noise", "strength", "ddim", "edit_friendly"])
def test_a_noised_start_is_told_to_show_more_than_the_severity(kind) -> None:
    config = DEFAULT.with_overrides({"start": {"kind": kind}})
    codes = [code for code, _ in notes(config, (0.0, 0.5, 1.0))]
    assert codes == (["levels_from_noise"] if kind in ("noise", "strength") else [])
    assert notes(config, (0.0, 1.0)) == ()
