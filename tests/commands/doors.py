# SPDX-License-Identifier: Apache-2.0
"""One edit that sets the dials of guidance, texts and levels, as each door takes it.

Every door's tests run it, so that what arrives at the sampler is the same from all of them.
"""

import json
from pathlib import Path
from typing import Any

from monai_cxr_cf.presets import DEFAULT

# Something comes and something goes: the carrier acts on the first, the removal on the second.
PROMPT = "moderate left pleural effusion, no cardiomegaly"
OVERRIDES: dict[str, dict[str, Any]] = {
    "sampling": {"steps": 4, "guidance_map": "uniform"},
    "start": {"strength": 0.75},
    "boost": {"eta": 2.0},
    "tokens": {"carrier": "finding+eos", "source": "empty", "removal": "negative"},
}
FIELDS: dict[str, Any] = {
    "prompt": PROMPT,
    "levels": [0.5, 1.0],
    "levels_by": "guidance",
    "seeds": [3],
    "overrides": OVERRIDES,
}
FLAGS = (
    *("--prompt", PROMPT, "--levels", "0.5,1", "--levels-by", "guidance", "--seeds", "3"),
    *("--sampling-steps", "4", "--no-regional-guidance", "--start-strength", "0.75"),
    *("--boost-eta", "2", "--tokens-carrier", "finding+eos", "--tokens-source", "empty"),
    *("--set", "tokens.removal=negative"),
)
BY_KEYS = (  # as the bundle takes them
    *("--prompt", PROMPT, "--request#levels", "[0.5,1]", "--request#levels_by", "guidance"),
    *("--request#seeds", "[3]", "--request#overrides#sampling#steps", "4"),
    *("--request#overrides#sampling#guidance_map", "uniform"),
    *("--request#overrides#start#strength", "0.75", "--request#overrides#boost#eta", "2"),
    *("--request#overrides#tokens#carrier", "finding+eos"),
    *("--request#overrides#tokens#source", "empty"),
    *("--request#overrides#tokens#removal", "negative"),
)


def check_in_force(folder: Path, *, overrides: dict[str, dict[str, Any]] = OVERRIDES) -> None:
    """Assert that the report in ``folder`` repeats what was asked, and that the sampler had it."""
    report = json.loads((folder / "report.json").read_text())
    asked = {key: report["request"][key] for key in FIELDS}
    assert asked == {**FIELDS, "overrides": overrides}
    assert report["trace"]["config_hash"] == DEFAULT.with_overrides(overrides).hash()
    assert [one["level"] for one in report["trace"]["severities"]["runs"]] == [0.5, 1.0]


def without(part: str, dial: str) -> dict[str, Any]:
    """The same request with one dial left as the preset has it."""
    rest = {key: value for key, value in OVERRIDES[part].items() if key != dial}
    return {**FIELDS, "overrides": {**OVERRIDES, part: rest}}
