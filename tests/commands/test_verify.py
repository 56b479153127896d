# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf verify``: whole output, lost marks, other bytes, foreign files; exit codes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from monai_cxr_cf.cli import main
from monai_cxr_cf.dicom.marks import MARKS
from monai_cxr_cf.dicom.record import OutputOptions
from monai_cxr_cf.dicom.writing.banner import write_banner
from monai_cxr_cf.runs.pictures import grey_png
from monai_cxr_cf.runs.trace_picture import trace_figure
from tests.dicom.factory import Spec, save
from tests.dicom.written import case_of, plan_of, write_everything

Told = dict[str, Any]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished output folder, without pictures."""
    case = case_of(save(tmp_path / "source.dcm", Spec()))
    write_everything(plan_of(case), case, tmp_path / "out")
    return tmp_path / "out"


def verified(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Told]]:
    """Exit code, and what was told of every file by its name."""
    code = main(["verify", *map(str, words), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told.get("ok") is (code == 0)
    paths = [Path(one["path"]) for one in told["files"]]
    names = [f"diff/{p.name}" if p.parent.name == "diff" else p.name for p in paths]
    return code, dict(zip(names, told["files"], strict=True))


def test_a_whole_output_folder_is_ours_with_every_mark_and_hash(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = verified(capsys, out)
    assert code == 0
    assert set(told) == {"0001.dcm", "diff/0001.dcm", "report.json", "seg.dcm", "sr.dcm"}
    assert [told[name]["hash"] for name in ("0001.dcm", "seg.dcm", "sr.dcm")] == ["holds"] * 3
    assert [told[n]["role"] for n in ("diff/0001.dcm", "seg.dcm")] == ["difference", "masks"]
    assert set(told["0001.dcm"]["marks"]) == set(MARKS)
    assert main(["verify", str(out)]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("ok    counterfactual")
    assert first.endswith(f"{len(MARKS)} marks, hash holds")


@pytest.mark.parametrize("options", [OutputOptions(iod="same"), OutputOptions(burn_in=True)])
def test_other_ways_to_write_are_whole_too(
    options: OutputOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = case_of(save(tmp_path / "source.dcm", Spec()))
    write_everything(plan_of(case, options), case, tmp_path / "out")
    assert verified(capsys, tmp_path / "out")[0] == 0


def test_one_changed_byte_is_told_although_all_marks_are_there(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = out / "cf" / "0001.dcm"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    code, told = verified(capsys, path)
    assert (code, told["0001.dcm"]["hash"], told["0001.dcm"]["lacks"]) == (1, "differs", [])


@pytest.mark.parametrize(
    ("keyword", "lacks"),
    [
        ("SyntheticData", "SyntheticData"),
        ("ConversionType", "ConversionType"),
        ("ContentQualification", "ContentQualification"),
        ("ImageType", "ImageType"),
        ("SeriesDescription", "SeriesDescription"),
        ("DerivationDescription", "DerivationDescription"),
        ("DerivationCodeSequence", "DerivationCodeSequence"),
        ("CodingSchemeIdentificationSequence", "CodingSchemeIdentificationSequence"),
        ("ContributingEquipmentSequence", "ContributingEquipmentSequence"),
    ],
)
def test_a_lost_mark_is_named(
    keyword: str, lacks: str, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ds = dcmread(out / "cf" / "0001.dcm")
    del ds[keyword]
    ds.save_as(tmp_path / "lost.dcm")
    code, told = verified(capsys, tmp_path / "lost.dcm")
    assert (code, told["lost.dcm"]["lacks"]) == (1, [lacks])
    assert told["lost.dcm"]["ours"]
    assert told["lost.dcm"]["hash"] == "no report"
    assert told["lost.dcm"]["marks"][lacks] is False


def test_a_copy_elsewhere_is_held_against_the_report_that_is_named(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(out / "cf" / "0001.dcm", tmp_path / "renamed.dcm")
    ds = dcmread(out / "sr.dcm")
    ds.PatientName = "Another"
    ds.save_as(tmp_path / "other.dcm")
    shutil.copy(out / "report.json", tmp_path / "elsewhere.json")
    files = tmp_path / "renamed.dcm", tmp_path / "other.dcm"
    code, told = verified(capsys, *files, "--report", tmp_path / "elsewhere.json")
    assert code == 1
    assert (told["renamed.dcm"]["hash"], told["other.dcm"]["hash"]) == ("holds", "differs")


def test_a_banner_made_later_is_no_finding_and_a_lost_file_is_one(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_banner([out / "cf" / "0001.dcm"], out)
    code, told = verified(capsys, out)
    assert (code, told["banner.dcm"]["role"], told["banner.dcm"]["hash"]) == (
        0, "banner", "not listed",
    )  # fmt: skip
    (out / "seg.dcm").unlink()
    code, told = verified(capsys, out)
    assert (code, told["seg.dcm"]["hash"], told["seg.dcm"]["ok"]) == (1, "missing", False)


def test_what_is_not_ours_is_said_to_be_not_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "source.dcm", Spec())
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "report.json").write_text('{"files": "of another program"}')
    grey_png(np.zeros((8, 8), np.float32), tmp_path / "grey.png")
    files = source, tmp_path / "notes.txt", tmp_path / "grey.png", tmp_path / "report.json"
    code, told = verified(capsys, *files)
    assert code == 1
    assert [one["ours"] for one in told.values()] == [False] * 4
    assert main(["verify", str(source)]) == 1
    assert "not ours" in capsys.readouterr().out


def test_a_picture_of_ours_states_where_it_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace_figure({"steps": []}, tmp_path / "trace.png")
    code, told = verified(capsys, tmp_path / "trace.png")
    assert (code, told["trace.png"]["role"]) == (0, "picture")
    with Image.open(tmp_path / "trace.png") as picture:
        told_inside = picture.info["XML:com.adobe.xmp"]
        Image.fromarray(np.asarray(picture)).save(tmp_path / "copied.png")
    assert "newscodes/digitalsourcetype/dataDrivenMedia<" in told_inside
    assert verified(capsys, tmp_path / "copied.png")[0] == 1


def test_a_damaged_file_is_told_with_the_others_and_ends_in_two(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.dcm").write_bytes((out / "sr.dcm").read_bytes()[:300])
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    code, told = verified(capsys, tmp_path / "cut.dcm", tmp_path / "cut.png", out / "sr.dcm")
    assert code == 2
    assert [one["role"] for one in told.values()] == ["unreadable", "unreadable", "report"]
    assert told["sr.dcm"]["ok"]


REFUSED = ["nothing.dcm"], ["empty"], []
REFUSED += ["source.dcm", "--report", "source.dcm"], ["source.dcm", "--report", "none.json"]


@pytest.mark.parametrize("words", REFUSED)
def test_bad_words_are_refused_in_one_sentence(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "source.dcm", Spec())
    (tmp_path / "empty").mkdir()
    full = [word if word.startswith("--") else str(tmp_path / word) for word in words]
    assert main(["verify", *full]) == 2
    heard = capsys.readouterr()
    assert heard.err.startswith("cxr-cf: ")
    assert "Traceback" not in heard.err
    assert heard.out == ""
