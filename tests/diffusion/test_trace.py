# SPDX-License-Identifier: Apache-2.0
"""The trace follows its schema, is plain JSON and says what happened."""

import json
from dataclasses import replace
from itertools import pairwise

import jsonschema
import numpy as np
import pytest

from monai_cxr_cf.diffusion.modes import sham_task
from monai_cxr_cf.diffusion.render import render
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.trace import schema
from monai_cxr_cf.presets import PRESETS
from tests.diffusion.small import EVERY

QUICK = EVERY.with_overrides({"sampling": {"steps": 6}})


def valid(trace) -> bool:
    """Valid after a round trip through strict JSON."""
    plain = json.loads(json.dumps(trace, allow_nan=False))
    jsonschema.Draft202012Validator(schema()).validate(plain)
    return plain == trace


def test_the_schema_itself_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert schema()["properties"]["version"] == {"const": 1}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("kind", ["strength", "ddim", "edit_friendly"])
def test_the_trace_of_every_preset_and_start_validates(tiny, task, name, kind) -> None:
    config = PRESETS[name].with_overrides({"start": {"kind": kind}, "sampling": {"steps": 4}})
    assert valid(sample(tiny, task, config, seeds=[1, 2]).trace)


@pytest.mark.parametrize(
    "overrides",
    [
        {"correct": {"alpha_max": 0.0}},
        {"correct": {"stop_score": 0.0}},
        {"start": {"strength": 0.0}},
    ],
    ids=str,
)
def test_the_trace_validates_when_the_correction_rests(tiny, task, overrides) -> None:
    assert valid(sample(tiny, task, QUICK.with_overrides(overrides), seeds=[1]).trace)


def test_the_trace_names_the_laws_that_act_and_the_carrier(tiny, task) -> None:
    every = sample(tiny, task, QUICK, seeds=[1]).trace
    assert {"gate", "boost", "correction", "regional-prompt", "paste"} <= set(every["laws"])
    assert every["carrier"] == "finding"
    quiet = {"boost": {"eta": 0.0}, "correct": {"alpha_max": 0.0}, "keep": {"paste": False},
             "tokens": {"carrier": "finding+eos"}}  # fmt: skip
    rested = sample(tiny, task, QUICK.with_overrides(quiet), seeds=[1]).trace
    assert set(every["laws"]) - set(rested["laws"]) == {"boost", "correction", "paste"}
    assert rested["carrier"] == "finding+eos"
    sham = sample(tiny, sham_task(task), QUICK, seeds=[1]).trace
    assert not {"boost", "correction"} & set(sham["laws"]), "there is no word to act on"
    still = sample(tiny, task, QUICK.with_overrides({"start": {"strength": 0.0}}), seeds=[1]).trace
    assert still["laws"] == []


def test_each_step_names_its_level_window_and_scores(tiny, task) -> None:
    trace = sample(tiny, task, QUICK, seeds=[7, 8]).trace
    steps = trace["steps"]
    assert [s["index"] for s in steps] == list(range(4))
    assert [s["window"] for s in steps] == [True, True, False, False]
    assert [s["guided"] for s in steps] == [True, True, True, False]
    assert all(a["f"] < b["f"] for a, b in pairwise(steps))
    assert all(a["alpha_bar"] < b["alpha_bar"] for a, b in pairwise(steps))
    for step in steps:
        assert set(step["roi_score"]) == {"0", "1", "2"}
        for row in step["roi_score"].values():
            assert all(0 <= v <= 1 for v in row["pleural effusion"])
            assert len(row["pleural effusion"]) == 2
        assert len(step["energy"]) == 2
        assert (step["correction"] is not None) == step["window"]
    assert trace["seeds"] == [7, 8]
    assert trace["config_hash"] == QUICK.as_run().hash()  # with the strength that ran


def test_the_token_table_shows_pieces_spans_and_sets(tiny, task) -> None:
    table = sample(tiny, replace(task, organ_tokens={2: "left_lung"}), QUICK, seeds=[1]).trace[
        "tokens"
    ]
    assert [(row["piece"], row["set"]) for row in table] == [
        ("<|startoftext|>", "special"),
        ("moderate</w>", ""),
        ("left</w>", "organ:left_lung"),
        ("pleural</w>", "pleural effusion"),
        ("effusion</w>", "pleural effusion"),
        ("<|endoftext|>", "special"),
    ]
    assert table[3]["span"] == [14, 21]


def test_a_vanished_level_is_named(tiny, task) -> None:
    dot = np.zeros_like(task.kappa)
    dot[60, 60:62] = 1, 0.63  # a blurred peak of .00101 at level 0 and .00099 at level 2
    small = replace(task, targets=(replace(task.targets[0], region=dot),))
    config = QUICK.with_overrides({"correct": {"alpha_max": 0.0}})
    trace = sample(tiny, small, config, seeds=[1]).trace
    assert {"level": 2, "finding": "pleural effusion"} in trace["skipped_levels"]


def test_masks_enter_by_hash(tiny, task) -> None:
    one = sample(tiny, task, QUICK, seeds=[1]).trace["inputs"]
    other = replace(task, kappa=task.kappa * 0.5)
    two = sample(tiny, other, QUICK, seeds=[1]).trace["inputs"]
    assert one["kappa"] != two["kappa"]
    assert one["regions"] == two["regions"]


def test_rendering_adds_its_decodes_to_the_cost(tiny, task) -> None:
    samples = sample(tiny, task, QUICK, seeds=[1, 2])
    shown = render(tiny, samples, task.image)
    assert shown.edited.shape == (2, 128, 128)
    assert shown.reference.shape == (128, 128)
    assert shown.trace["cost"]["calls"]["decode"] == 3
    assert shown.trace["cost"]["f"]["vae"] > samples.trace["cost"]["f"]["vae"]
    assert valid(shown.trace)
