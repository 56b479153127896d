# SPDX-License-Identifier: Apache-2.0
"""``monai.bundle run`` over a folder: a refused image ends itself, and the listing says which."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.bundle.tiny import run
from tests.folders import contents


@pytest.fixture
def folder(phantom: dict[str, str], tmp_path: Path) -> Path:
    """Two radiographs that can be edited; a damaged one and a lateral between them."""
    found = tmp_path / "in"
    found.mkdir()
    for name in ("a.dcm", "d.dcm"):
        shutil.copy(phantom["source"], found / name)
    whole = Path(phantom["source"]).read_bytes()
    (found / "b.dcm").write_bytes(whole[: len(whole) // 2])
    (found / "c.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 300)
    return found


def listed(out: Path) -> list[dict[str, str]]:
    """The listing's entries."""
    rows: list[dict[str, str]] = json.loads((out / "sources.json").read_text())["images"]
    return rows


@pytest.mark.weights
def test_the_others_are_edited_and_the_refused_are_named(
    folder: Path, settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, fields = tmp_path / "out", {k: v for k, v in settings.items() if k != "source"}
    (folder / "list.json").write_text(json.dumps([f"{n}.dcm" for n in "abcd"] + ["gone.dcm"]))
    with pytest.raises(SystemExit) as left:
        run("inference.json", **fields, source=str(folder / "list.json"), output_dir=str(out))
    assert left.value.code == 2
    rows = listed(out)
    assert [(row["output"], row["source"], row["state"]) for row in rows] == [
        ("0001", "a.dcm", "done"),
        ("0002", "b.dcm", "refused"),
        ("0003", "c.dcm", "refused"),
        ("0004", "d.dcm", "done"),
        ("0005", "gone.dcm", "refused"),
    ]
    assert all(row["message"] for row in rows if row["state"] == "refused")
    assert sorted(p.name for p in out.iterdir()) == ["0001", "0004", "sources.json"]
    assert contents(out / "0001") == contents(out / "0004")  # nothing is left from a refused one
    said = capsys.readouterr().err
    assert "error: 3 of 5 images were refused; sources.json names them." in said
    assert "b.dcm" not in said


@pytest.mark.weights
def test_a_folder_without_a_refusal_is_listed_too_and_can_be_overwritten(
    phantom: dict[str, str], settings: dict[str, Any], tmp_path: Path
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    shutil.copy(phantom["source"], source / "one.dcm")
    fields = {**settings, "source": str(source), "output_dir": str(out)}
    run("inference.json", **fields)
    assert [(r["source"], r["state"]) for r in listed(out)] == [("one.dcm", "done")]
    before = (out / "0001" / "report.json").stat().st_mtime_ns
    with pytest.raises(SystemExit):  # as MONAI's command line hands it on
        run("inference.json", **fields, overwrite="false")
    assert (out / "0001" / "report.json").stat().st_mtime_ns == before
    run("inference.json", **fields, overwrite="true")
    assert (out / "0001" / "report.json").stat().st_mtime_ns > before


@pytest.mark.weights
def test_what_no_image_is_guilty_of_ends_the_run(
    folder: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    fields = {**settings, "source": str(folder), "request#backbone": "/no/such/model"}
    with pytest.raises(SystemExit) as left:
        run("inference.json", **fields, output_dir=str(tmp_path / "out"))
    assert left.value.code == 3
    assert not (tmp_path / "out").exists()


def test_words_that_cannot_be_read_are_refused_before_anything(
    folder: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    rows = [{"image": "a.dcm"}, {"image": "d.dcm", "prompt": "purple elephants"}]
    (folder / "list.json").write_text(json.dumps(rows))
    fields = {**settings, "source": str(folder / "list.json")}
    with pytest.raises(SystemExit):
        run("inference.json", **fields, output_dir=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
