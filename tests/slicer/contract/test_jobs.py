# SPDX-License-Identifier: Apache-2.0
"""The job file: the product itself accepts it, whatever was picked; it is its owner's alone."""

import json
import stat
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from CXRCounterfactualLib.contract import jobs
from CXRCounterfactualLib.contract.params import Choice

from tests.posix import posix
from tests.slicer.environment import Runner

PICKED = Choice(finding="pneumothorax", side="right", zone="apical", severity=0.4)
CHOICES = {
    "default": Choice(),
    "picked": PICKED,
    "midline": Choice(finding="cardiomegaly"),
    "removal": Choice(finding="cardiomegaly", direction="remove"),
    "typed": replace(PICKED, prompt="  no cardiomegaly "),
    "series": replace(PICKED, levels=(0.25, 0.5, 1.0), seeds=(7,)),
    "sampled series": replace(PICKED, levels=(0.25, 1.0), levels_by="guidance"),
    "seeds": replace(PICKED, seeds=(1, 2, 3), preset="fast"),
    "free": replace(PICKED, strength=0.0, overrides={"boost": {"eta": 2}}, iod="same"),
}
ACCEPTED = """
import json, sys
from monai_cxr_cf.request import from_json
requests = json.loads(sys.stdin.read())
print(json.dumps({name: from_json(request).as_dict() for name, request in requests.items()}))
"""


def made(choice: Choice, **more: Any) -> dict[str, Any]:
    """The request of a choice."""
    return jobs.make_request(choice, source="/data/x.dcm", **more)


@pytest.fixture(scope="module")
def accepted(runner: Runner, root: Path) -> dict[str, dict[str, Any]]:
    """What the product makes of each request: it refuses what does not follow its schema."""
    requests = {name: made(choice) for name, choice in CHOICES.items()}
    files = {"masks": "/data/m.png", "roi": Path("/data/r.png"), "reading": {"allow_raster": True}}
    requests["files"] = made(PICKED, **files)
    done = subprocess.run(
        [runner.python, "-c", ACCEPTED], check=False, capture_output=True, text=True, cwd=root,
        input=json.dumps(requests), env=runner.environment(), timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", CHOICES)
def test_the_product_accepts_it_and_means_the_same(
    name: str, accepted: dict[str, dict[str, Any]]
) -> None:
    choice, found = CHOICES[name], accepted[name]
    assert found["source"] == "/data/x.dcm"
    assert found.get("preset", "default") == choice.preset
    assert tuple(found.get("seeds", ())) == choice.seeds
    assert tuple(found.get("levels", ())) == choice.levels
    assert found.get("levels_by", "blend") == choice.levels_by
    assert found.get("overrides", {}) == choice.overrides
    assert found.get("strength") == choice.strength
    assert found.get("iod", "sc") == choice.iod
    if choice.prompt:
        assert (found["prompt"], "findings" in found) == ("no cardiomegaly", False)
        return
    (finding,) = found["findings"]
    assert finding["finding"] == choice.finding
    assert finding["direction"] == choice.direction
    assert (finding["side"], finding["zone"]) == (choice.side, choice.zone)


def test_how_levels_are_made_is_left_out_where_there_are_none() -> None:
    assert "levels_by" not in made(replace(PICKED, levels_by="guidance"))


def test_a_removal_takes_all_and_an_addition_reaches_its_severity() -> None:
    assert "severity" not in made(CHOICES["removal"])["findings"][0]
    assert made(PICKED)["findings"][0]["severity"] == 0.4


def test_the_users_own_masks_and_region_are_named(accepted: dict[str, dict[str, Any]]) -> None:
    found = accepted["files"]
    assert (found["masks"], found["roi"]) == ("/data/m.png", "/data/r.png")
    assert found["reading"]["allow_raster"] is True


@posix
def test_the_job_file_is_the_owners_alone_and_replaces_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("older")
    (tmp_path / "job.json").chmod(0o644)
    path = jobs.write_job(made(PICKED), tmp_path)
    assert json.loads(path.read_text()) == made(PICKED)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
def test_a_job_file_does_not_follow_a_link(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("kept")
    (tmp_path / "job.json").symlink_to(other)
    jobs.write_job(made(PICKED), tmp_path)
    assert other.read_text() == "kept"
