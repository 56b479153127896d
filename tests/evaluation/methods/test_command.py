# SPDX-License-Identifier: Apache-2.0
"""The whole command on a tiny backbone: tables, page, finished pictures, stop and go on."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf import pipeline
from monai_cxr_cf.cli import main
from tests.evaluation.edits.test_runner import data

__all__ = ["data"]
METHODS = ("sdedit", "sd_inpaint", "ip2p")


@pytest.fixture(scope="module")
def asked(data, tiny_folder):
    """The command but for --out."""
    return ["evaluate", "methods", "--data", str(data), "--backbone", str(tiny_folder), "--quick",
            "--progress", "none", "--no-table2", "--methods", *METHODS]  # fmt: skip


@pytest.fixture(scope="module")
def whole(asked, tmp_path_factory):
    out = tmp_path_factory.mktemp("methods") / "whole"
    assert main([*asked, "--out", str(out)]) == 0
    return out


@pytest.fixture
def finished(whole, tmp_path):
    """A copy of the run, the rows that it asks for, and a function that writes a manifest."""
    out = shutil.copytree(whole, tmp_path / "out")
    folder = tmp_path / "gan"
    folder.mkdir()
    with (out / "asked.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with Image.open(next(iter(out.glob("pictures/*.png")))) as strip:
        size = (strip.height, (strip.width - 12) // 4)  # the whole source must be seen
    for row in rows:
        row |= {"method": "GAN", "file": f"{row['id']}.png"}
        Image.fromarray(np.full(size, 90, np.uint8)).save(folder / row["file"])

    def write(kept):
        with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(kept)
        return folder

    return out, rows, write


def timeless(out) -> str:
    """Table 1 without its seconds."""
    lines = (out / "table1.md").read_text(encoding="utf-8").splitlines()
    return "\n".join("|".join(x for n, x in enumerate(line.split("|")) if n != 15)
                     for line in lines)  # fmt: skip


def test_tables_page_and_pictures_are_there(whole) -> None:
    table = json.loads((whole / "table.json").read_text(encoding="utf-8"))
    assert [line["method"] for line in table["table1"]] == ["regulated", "sdedit", "sd_inpaint"]
    figures = table["table1"][1]["figures"]
    assert figures["ssim"][0] > figures["ssim_raw"][0]  # a composite flatters
    assert figures["conf"][0] is not None
    assert "conf_raw" in table["table1"][1]["less_ours"]
    assert table["left_out"]["ip2p"].startswith("runs on another kind of UNet")
    assert table["networks"]["Conf, pleural effusion"]["auc"] < 0.8
    text = (whole / "table1.md").read_text(encoding="utf-8")
    assert "**Quick" in text
    assert "Left out: `ip2p`" in text
    assert "ProgEmu" in text
    page = (whole / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/") == 2
    with Image.open(whole / "cases.jpg") as cases:
        assert cases.width == 4 * 154


def test_a_run_that_was_killed_goes_on_to_the_same_table(asked, whole, tmp_path, root) -> None:
    out, command = tmp_path / "again", [sys.executable, "-m", "monai_cxr_cf.cli", *asked, "--out"]
    run = subprocess.Popen([*command, str(out)], env=os.environ | {"PYTHONPATH": str(root)})
    rows = out / "rows.jsonl"
    while run.poll() is None and not (rows.is_file() and rows.read_text().count("\n") >= 3):
        time.sleep(0.02)
    run.kill()
    assert run.wait() == -signal.SIGKILL
    text = (whole / "rows.jsonl").read_text(encoding="utf-8")
    assert 3 <= rows.read_text().count("\n") < text.count("\n")
    with rows.open("a", encoding="utf-8") as stream:
        stream.write(text[:40])  # it may be killed amid a row
    assert main([*asked, "--out", str(out)]) == 0
    assert timeless(out) == timeless(whole)


def test_axioms_have_a_line_a_method(asked, whole, tmp_path, monkeypatch) -> None:
    out, edit = shutil.copytree(whole, tmp_path / "out"), pipeline.edit

    def composites(*given, raw):  # random weights draw no chest: the next edit would be refused
        run, (picture,) = edit(*given, raw=raw)
        return run, [replace(picture, raw=None)]

    for patch in (composites, None):  # a second start makes no edit
        monkeypatch.setattr(pipeline, "edit", patch)
        assert main([*asked, "--out", str(out), "--axioms"]) == 0
    lines = (out / "axioms.md").read_text(encoding="utf-8").splitlines()[4:]
    assert [x.split("`")[1] for x in lines] == ["regulated", *METHODS[:2]]
    ours, *others = map(json.loads, (out / "axioms.jsonl").read_text().splitlines())
    assert len(others) == 3 * 2 - 1  # a radiograph of each view
    assert all(row["10 null edits"] > 0 < row["added, then removed"] for row in (ours, *others))
    shams = map(json.loads, (out / "rows.jsonl").read_text().splitlines())
    sham = next(r for r in shams if r["kind"] == "sham" and r["patient"] == ours["patient"])
    assert ours["one null edit"] == pytest.approx(sham["extra"]["l1"], abs=0.3)  # 8 bits
    assert "<h2>Axioms</h2>" in (out / "index.html").read_text(encoding="utf-8")


def test_finished_pictures_enter_the_table_without_a_word_on_their_validity(
    asked, finished, capsys
) -> None:
    out, rows, write = finished
    command = [*asked, "--out", str(out), "--external", str(write(rows[1:]))]
    assert main(command) == 2
    assert "has no row for 'add pleural effusion'" in capsys.readouterr().err
    write([*rows, {**rows[0], "finding": "nodule"}])
    assert main(command) == 2
    wrong = f"Row {len(rows) + 2} of manifest.csv shows an edit that is not asked for"
    assert wrong in capsys.readouterr().err
    write(rows)
    assert main(command) == 0
    table = json.loads((out / "table.json").read_text(encoding="utf-8"))
    line = next(x for x in table["table1"] if x["method"] == "external")
    assert line["edits"] == len(rows)
    assert line["figures"]["conf_sham"][0] is None
    (valid,) = [x for x in table["validity"] if x["method"] == "external"]
    assert valid["valid"][0] is None
    assert len(table["weights"]["external pictures"]) == 64


@pytest.mark.parametrize("text", ["edema", "wing=nets"])
def test_a_network_of_conf_is_a_pair(asked, tmp_path, capsys, text) -> None:
    assert main([*asked, "--out", str(tmp_path / "o"), "--conf-net", text]) == 2
    assert "is not FINDING=DIR" in capsys.readouterr().err
