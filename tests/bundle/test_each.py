# SPDX-License-Identifier: Apache-2.0
"""``monai.bundle run`` over a folder: a refused image ends itself, and the listing says which."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monai_cxr_cf.batch.rows.columns import Row
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.transforms.each import Listing
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
def test_a_run_goes_on_where_it_was_unless_it_is_to_overwrite(
    phantom: dict[str, str], settings: dict[str, Any], tmp_path: Path
) -> None:
    out, given = tmp_path / "out", tmp_path / "manifest.csv"
    for name in ("a.dcm", "b.dcm"):
        shutil.copy(phantom["source"], tmp_path / name)
    fields = {**settings, "source": str(given), "output_dir": str(out)}

    def made(names: str, **more: str) -> list[int]:
        """When the report of each output was written, after one more run."""
        given.write_text("".join(f"{line}\n" for line in ["path", *(f"{n}.dcm" for n in names)]))
        run("inference.json", **{**fields, **more})
        assert [(r["source"], r["state"]) for r in listed(out)] == [
            (f"{name}.dcm", "done") for name in names
        ]
        found = sorted(out.glob("*/report.json"))
        return [path.stat().st_mtime_ns for path in found]

    first = made("a")
    assert made("a", overwrite="false") == first
    grown = made("ab")
    assert grown[0] == first[0]
    with (out / "0001" / "seg.dcm").open("ab") as stream:
        stream.write(b"\0")  # no longer what its report says
    mended = made("ab")
    assert mended[0] > grown[0]
    assert mended[1] == grown[1]
    for other in ({"prompt": "cardiomegaly"}, {"source": phantom["source"]}):
        with pytest.raises(SystemExit):  # as MONAI's command line hands it on
            run("inference.json", **{**fields, **other})
    assert all(new > old for new, old in zip(made("ab", overwrite="true"), mended, strict=True))


def test_a_listing_knows_its_own_rows_and_weights(tmp_path: Path) -> None:
    rows = [Row(n, f"{n:04d}", f"/{n}.dcm", f"{n}.dcm", {"prompt": "edema"}) for n in (1, 2)]
    first = Listing(tmp_path)
    assert not first.begun_with(rows)
    (tmp_path / ".aside").mkdir()  # killed within its first image
    assert first.begun_with(rows)
    first.learn({"backbone x": "a" * 64})
    first.add(rows[0], "done", {"key": "k"})
    again = Listing(tmp_path)
    assert again.begun_with(rows)  # it may have grown
    assert not again.begun_with(rows[1:])
    assert not again.begun_with([replace(rows[0], request={"prompt": "no edema"}), rows[1]])
    assert again.holds(rows[0], "k")
    assert not again.holds(rows[0], "l")
    assert not again.holds(rows[1], "k")
    with pytest.raises(BadRequest, match="another weights of backbone x"):
        again.learn({"backbone x": "b" * 64})
    again.version = "0.0"
    assert not again.begun_with(rows)


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
