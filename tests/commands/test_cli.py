# SPDX-License-Identifier: Apache-2.0
"""The command line: speed of help, flags for every field, refusals in one sentence, exit codes."""

import argparse
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.cli import build_parser, main
from monai_cxr_cf.commands.options import request_from
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import PRESETS, SWITCHES, EditConfig
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.failures import typed
from monai_cxr_cf.runs.result import OURS, check_folder
from tests.posix import posix

TUNE = ("train", "diffusion", "--data", "d", "--out", "o")
VERBS = ("edit", "read", "segment", "info", "doctor", "train", "evaluate", "verify")
EDIT = ["edit", "x.dcm", "--out", "out"]


def parsed(*words: str) -> EditRequest:
    """The request that flags of ``edit`` describe."""
    return request_from(build_parser().parse_args([*EDIT, *words]))


def flags_of(verb: str) -> set[str]:
    """All option strings of a verb."""
    actions = build_parser()._actions
    verbs = next(a for a in actions if isinstance(a, argparse._SubParsersAction))
    return {flag for action in verbs.choices[verb]._actions for flag in action.option_strings}


def picture(folder: Path) -> Path:
    """A small grey PNG that is readable but no chest."""
    y, x = np.mgrid[:80, :96]
    path = folder / "scan.png"
    Image.fromarray((x + y).astype(np.uint8)).save(path)
    return path


def busy_seconds() -> float:
    """Processor time of all finished children: unlike the clock, it does not feel other jobs."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@posix
@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help_answers_in_under_a_second(words: list[str], root: Path) -> None:
    before = busy_seconds()
    answer = subprocess.run(
        [sys.executable, "-m", "monai_cxr_cf.cli", *words],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert busy_seconds() - before < 1.0
    assert "usage: cxr-cf" in answer.stdout


@pytest.mark.parametrize(
    "verb", ["edit", "read", "segment", "info", "train", "evaluate", "serve", "pacs"]
)
def test_help_teaches_by_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    assert f"cxr-cf {verb}" in capsys.readouterr().out.split("examples:")[1]


def test_every_request_field_has_a_flag() -> None:
    flags = flags_of("edit")
    named = {
        "source": "--request",
        "findings": "--finding",
        "overrides": "--set",
        "method_settings": "--method-set",
    }
    for field in fields(EditRequest):
        if field.name not in ("version", "reading"):
            assert named.get(field.name, "--" + field.name.replace("_", "-")) in flags
    for field in fields(ReadOptions):
        assert "--" + field.name.replace("_", "-") in flags


def test_every_dial_and_every_switch_has_a_flag() -> None:
    flags = flags_of("edit")
    assert {f"--{name}" for name in SWITCHES} <= flags
    for part in fields(EditConfig):
        for dial in fields(getattr(EditConfig(), part.name)):
            assert f"--{part.name}-{dial.name.replace('_', '-')}" in flags


def test_flags_become_the_request() -> None:
    request = parsed(
        *("--prompt", "mass", "--seeds", "1,2", "--levels", "0.5,1", "--strength", "0.6"),
        *("--levels-by", "guidance"),
        *("--preset", "fast", "--iod", "same", "--sham", "--burn-in", "--allow-lateral"),
    )
    assert (request.seeds, request.levels, request.strength) == ((1, 2), (0.5, 1.0), 0.6)
    assert request.levels_by == "guidance"
    assert (request.preset, request.iod, request.sham, request.burn_in) == (
        *("fast", "same"),
        *(True, True),
    )
    assert request.reading == ReadOptions(allow_lateral=True)


def test_dials_switches_and_set_become_overrides() -> None:
    request = parsed(
        *("--prompt", "mass", "--boost-eta", "2", "--no-gate", "--set", "keep.band_px=8"),
        *("--gate-levels", "0,1", "--no-keep-paste", "--energy-levels", "2"),
        *("--sampling-guidance-map", "uniform", "--set", "tokens.carrier=finding+eos"),
    )
    assert request.overrides == {
        "boost": {"eta": 2.0},
        "gate": {"mode": "off", "levels": [0, 1]},
        "keep": {"band_px": 8, "paste": False},
        "energy": {"levels": "2"},
        "sampling": {"guidance_map": "uniform"},
        "tokens": {"carrier": "finding+eos"},
    }


def test_the_carrier_may_be_left_to_the_backbone_s_census() -> None:
    request = parsed("--prompt", "mass", "--tokens-carrier", "auto")
    assert request.overrides == {"tokens": {"carrier": "auto"}}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_flag_is_the_switch(name: str) -> None:
    config = parsed("--prompt", "mass", f"--{name}").config()
    assert config == PRESETS["default"].with_overrides(SWITCHES[name])


def test_a_finding_can_be_given_as_fields() -> None:
    text = "pleural effusion,side=left,severity=0.7,direction=add,zone=lower"
    (finding,) = parsed("--finding", text).findings
    assert (finding.finding, finding.side, finding.severity) == ("pleural effusion", "left", 0.7)


def test_flags_replace_fields_of_the_job_file(tmp_path: Path) -> None:
    job = {"source": "a.dcm", "prompt": "mass", "overrides": {"boost": {"eta": 3, "mu": 0.2}}}
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job))
    words = ["edit", "--out", "o", "--request", str(path), "--boost-eta", "1", "--prompt", "edema"]
    request = request_from(build_parser().parse_args(words))
    assert (request.source, request.prompt) == ("a.dcm", "edema")
    assert request.overrides == {"boost": {"eta": 1.0, "mu": 0.2}}


WRONG: list[list[str]] = [
    [],
    ["cook"],
    ["edit", "x.dcm"],
    [*EDIT],
    ["edit", "--out", "o", "--prompt", "mass"],
    [*EDIT, "--prompt", "mass", "--finding", "mass"],
    [*EDIT, "--prompt", "mass", "--strength", "2"],
    [*EDIT, "--prompt", "mass", "--strength", "much"],
    [*EDIT, "--prompt", "mass", "--boost-eta", "99"],
    [*EDIT, "--prompt", "mass", "--set", "boost"],
    [*EDIT, "--prompt", "mass", "--set", "boost.gain=2"],
    [*EDIT, "--prompt", "mass", "--no-boost", "--boost-eta", "2"],
    [*EDIT, "--finding", "mass,left"],
    [*EDIT, "--prompt", "mass", "--seeds", "1,b"],
    [*EDIT, "--prompt", "mass", "--pre", "fast"],
    ["edit", "--out", "o", "--request", "no-such.json"],
    [*EDIT, "--prompt", "mass"],
    ["edit", __file__, "--out", "o", "--prompt", "broken heart"],
    ["edit", __file__, "--out", "o", "--finding", "melancholy"],
    ["edit", __file__, "--out", "o", "--prompt", "mass", "--progress", "none"],
    [*EDIT, "y.dcm", "--prompt", "mass"],
    [*EDIT, "--prompt", "mass", "y.dcm", "z.dcm"],
    ["edit", "x.dcm", "y.dcm", "--out", "o", "--prompt", "mass", "--progress", "ndjson"],
    [*EDIT, "--prompt", "left", "pleural", "effusion"],
    [*EDIT, "--prompt", "mass", "--cook", "well"],
    ["segment", "x.dcm", "y.dcm", "--out", "o"],
    ["read", "x.dcm", "y.dcm"],
    ["doctor", "x.dcm"],
    ["read", "no-such.dcm"],
    ["segment", "no-such.dcm", "--out", "o"],
    ["train", "poetry", "--data", "d", "--out", "o"],
    ["train", "segmentation", "--data", "d", "--out", "o", "--recipe", "no-such.yaml"],
    [*TUNE, "--cleaner", "llm", "--llm-model", "m"],
    [*TUNE, "--start", "s", "--cleaner", "llm"],
    [*TUNE, "--start", "s", "--llm-model", "m"],
    [*TUNE, "--start", "s", "--cleaner", "llm", "--llm-model", "m", "--llm-url", "https://a.b/v1"],
]


@pytest.mark.parametrize("words", WRONG, ids=lambda words: " ".join(words[-3:]) or "nothing")
def test_bad_input_is_one_sentence_a_hint_and_exit_code_2(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    heard = capsys.readouterr()
    lines = heard.err.strip().splitlines()
    assert lines[0].startswith("cxr-cf: ")
    assert len(lines) <= 2
    assert "Traceback" not in heard.err + heard.out
    assert not list(tmp_path.iterdir()), "a refusal leaves nothing behind"


def test_errors_are_json_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", str(tmp_path / "none.dcm"), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert set(error) == {"code", "message", "hint"}


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (KeyboardInterrupt(), 130),
        (MemoryError(), 4),
        (OSError(28, "No space left on device"), 4),
        (ModuleNotFoundError("no", name="torch"), 3),
        (ZeroDivisionError("Doe^Jane"), 1),
    ],
)
def test_foreign_exceptions_get_an_exit_code_and_lose_their_text(
    raised: BaseException, code: int
) -> None:
    error = typed(raised)
    assert error.exit_code == code
    assert "Doe" not in str(error)


def test_read_describes_the_image_and_writes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, png = picture(tmp_path), tmp_path / "seen.png"
    assert main(["read", str(source), "--allow-raster", "--json", "--png", str(png)]) == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (facts["rows"], facts["columns"], facts["kind"]) == (80, 96, "raster")
    assert Image.open(png).size == (96, 80)


def test_doctor_names_every_check_and_finds_the_dl_trap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dl").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["doctor", "--json"]) == 3
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert not checks["module dl"]["ok"]
    assert checks["codecs"]["ok"]
    assert checks["torchvision"]["ok"]


def test_output_folder_with_foreign_files_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(BadRequest, match="no run of ours"):
        check_folder(tmp_path, overwrite=True)
    with pytest.raises(BadRequest, match="--overwrite"):
        check_folder(tmp_path, overwrite=False)


def test_output_folder_of_an_earlier_run_needs_the_flag(tmp_path: Path) -> None:
    for name in OURS:
        (tmp_path / name).write_text("")
    with pytest.raises(BadRequest, match="--overwrite"):
        check_folder(tmp_path, overwrite=False)
    check_folder(tmp_path, overwrite=True)
    assert (tmp_path / "report.json").exists(), "the check itself removes nothing"


def test_the_sentence_is_there_before_the_event_that_may_end_the_process(tmp_path: Path) -> None:
    words = ["edit", str(tmp_path / "none.dcm"), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", "monai_cxr_cf.cli", *words, "--progress", "ndjson"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert any('"event": "error"' in line for line in process.stdout)
        process.kill()  # as a window does that has heard enough
        assert process.stderr is not None
        assert process.stderr.read().startswith("cxr-cf: ")
