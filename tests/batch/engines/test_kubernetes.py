# SPDX-License-Identifier: Apache-2.0
"""The job in docs/batch.md: fields of batch/v1 as its API has them, and a command that runs."""

import re

import jsonschema
import pytest
import yaml

from monai_cxr_cf.batch.begin import Plan, lay_out
from monai_cxr_cf.batch.count import count
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.cli import main
from monai_cxr_cf.commands.batch import run
from tests.batch.folders import write_manifest
from tests.batch.stubs import Stub
from tests.posix import posix

NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
COUNT = {"type": "integer", "minimum": 0}
TEXT = {"type": "string", "minLength": 1}


def fields(needed=(), **known):
    """An object with these fields and no other."""
    return {"type": "object", "properties": known, "required": list(needed),
            "additionalProperties": False}  # fmt: skip


def some(item):
    """A list that is not empty."""
    return {"type": "array", "items": item, "minItems": 1}


AMOUNT = {"type": "object", "additionalProperties": {"type": "string",
          "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}}  # fmt: skip
CODES = fields(
    ("operator", "values"), operator={"enum": ["In", "NotIn"]}, containerName=NAME,
    values=some({"type": "integer", "minimum": 1, "maximum": 255}),
)  # fmt: skip
CONTAINER = fields(
    ("name", "image"), name=NAME, image=TEXT, command=some(TEXT), args=some(TEXT),
    env=some(fields(("name",), name=TEXT, value=TEXT)), workingDir=TEXT,
    resources=fields(requests=AMOUNT, limits=AMOUNT),
    volumeMounts=some(fields(("name", "mountPath"), name=NAME,
                             mountPath={"type": "string", "pattern": "^/"},
                             readOnly={"type": "boolean"}, subPath=TEXT)),
)  # fmt: skip
VOLUME = fields(
    ("name", "persistentVolumeClaim"), name=NAME,
    persistentVolumeClaim=fields(("claimName",), claimName=NAME, readOnly={"type": "boolean"}),
)  # fmt: skip
POD = fields(
    ("containers", "restartPolicy"), containers=some(CONTAINER), volumes=some(VOLUME),
    restartPolicy={"enum": ["Never", "OnFailure"]}, terminationGracePeriodSeconds=COUNT,
)  # fmt: skip
JOB = fields(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "batch/v1"}, kind={"const": "Job"},
    metadata=fields(("name",), name=NAME, namespace=NAME),
    spec=fields(
        ("template",), completionMode={"enum": ["Indexed", "NonIndexed"]}, completions=COUNT,
        parallelism=COUNT, backoffLimit=COUNT, backoffLimitPerIndex=COUNT, maxFailedIndexes=COUNT,
        activeDeadlineSeconds=COUNT, ttlSecondsAfterFinished=COUNT, suspend={"type": "boolean"},
        podFailurePolicy=fields(("rules",), rules=some(fields(
            ("action",), action={"enum": ["FailIndex", "FailJob", "Ignore", "Count"]},
            onExitCodes=CODES))),
        template=fields(("spec",), spec=POD),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def job(root):
    """The one in the docs."""
    text = (root / "docs" / "batch.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"```yaml\n(apiVersion: batch/v1.*?)```", text, re.DOTALL)
    return yaml.safe_load(found)


def test_its_fields_are_those_of_a_job(job):
    jsonschema.Draft202012Validator(JOB).validate(job)
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed"  # without it there is no index
    rules = spec["podFailurePolicy"]["rules"]  # needs pods that are not started again in place,
    assert pod["restartPolicy"] == "Never"  # and FailIndex needs backoffLimitPerIndex
    assert [rule["onExitCodes"]["values"] for rule in rules] == [[1, 2]]
    mounted = {mount["name"] for c in pod["containers"] for mount in c["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize(
    ("place", "value"),
    [("completion", 1), ("completions", "19"), ("completionMode", "indexed")],
)
def test_a_slip_would_be_found(place, value, job):
    wrong = {**job, "spec": {**job["spec"], place: value}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(JOB).validate(wrong)


@posix
def test_its_command_does_every_shard(job, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "work_of", lambda *words: Stub())
    folder = RunFolder(tmp_path / "results")
    manifest = write_manifest(tmp_path / "in", 6)
    lay_out(folder, Plan(manifest, settings={"threads": 1}, shard=4))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    command = container["command"]
    assert command[0] == "cxr-cf"
    for index in range(folder.read().shards):
        told = {"/data/results": str(folder.path), "$(JOB_COMPLETION_INDEX)": str(index)}
        assert main([told.get(word, word) for word in command[1:]]) == 0
    assert (count(folder).done, count(folder).left) == (6, 0)
