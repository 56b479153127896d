# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf audit`` as a user meets it: help that teaches, wrong words told, a look at scores."""

import json

import pytest

from monai_cxr_cf.cli import main
from tests.audit import models
from tests.dicom.factory import Spec, build, save, save_dataset


@pytest.fixture
def call(root, tmp_path, capsys):
    """Run the command on the example; exit code, what it said, what it complained of."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.dcm").write_bytes((root / "docs" / "example.dcm").read_bytes())
    (tmp_path / "audit.yaml").write_text(models.YAML)

    def called(*words, **given):
        flags = {"data": tmp_path / "scans", "model": "tests.audit.models:expected",
                 "preprocessing": tmp_path / "audit.yaml", "finding": "left pleural effusion",
                 "out": tmp_path / "out"} | given  # fmt: skip
        texts = [x for k, v in flags.items() if v for x in (f"--{k}", str(v))]
        code = main(["audit", *texts, *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return called


@pytest.mark.parametrize(
    ("given", "words"),
    [({"data": ""}, "--data and --one"), ({"data": "", "one": "x.dcm"}, "--one names no file"),
     ({"data": "/nowhere"}, "--data names no folder"), ({"finding": ""}, "No finding is named"),
     ({"finding": "a zebra"}, "zebra"), ({"finding": "edema, cardiomegaly"}, "several findings"),
     ({"levels": "0.5"}, "must rise and end with 1"), ({"levels": "x,1"}, "no list of numbers"),
     ({"margin": "2"}, "--margin is 2"), ({"out": ""}, "--out is missing"),
     ({"preprocessing": ""}, "Nothing says what the classifier wants to see"),
     ({"levels": "0,1"}, "Levels lie above 0"), ({"seed": "-1"}, "Levels lie above 0"),
     ({"saliency": "/nowhere"}, "--saliency names no folder"),
     ({"field": "reading.allow_lateral=true"}, "An audit sets reading itself"),
     ({"model": "x.h5"}, "no classifier that is known here"), ({"split": "x"}, None)],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(call, tmp_path, given, words):
    if words is None:  # a split of a folder without an index
        given, words = {"data": tmp_path}, "frontal|image"
        (tmp_path / "index.csv").write_text("id,patient,view,split\n")
    code, _, complaint = call(**given)
    assert code == 2
    assert complaint.startswith("cxr-cf: ")
    assert any(part in complaint for part in words.split("|"))
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_explained_is_told_before_anything_is_made(call, tmp_path):
    ds = build(Spec())
    ds.BodyPartExamined = "HAND"
    code, _, complaint = call(data="", one=save_dataset(tmp_path / "hand.dcm", ds))
    assert (code, "HAND" in complaint) == (2, True)
    assert not (tmp_path / "out").exists()
    code, _, complaint = call(out=tmp_path / "audit.yaml")
    assert (code, "--out names a file" in complaint) == (2, True)
    code, _, complaint = call(field="preset=nope")
    assert (code, "nope" in complaint) == (2, True)
    assert not (tmp_path / "out" / "manifest.jsonl").exists()


def test_a_check_scores_one_radiograph(call, tmp_path):
    code, said, _ = call("--check", "--json", finding="", out="")
    told = json.loads(said)
    assert code == 0
    assert list(told["scores"]) == list(models.LABELS)
    assert told["check"]["passed"] is True
    code, said, _ = call("--check", finding="", out="")
    assert code == 0
    assert f"{told['scores']['Edema']:6.3f}  Edema" in said.splitlines()


def test_a_radiograph_and_its_counterfactual_are_scored_as_in_an_audit(call, root, tmp_path):
    name = str(root / "docs" / "example.dcm")
    code, said, _ = call("--score", name, name, "--json")
    told = json.loads(said)
    assert (code, told["labels"], len(told["scores"])) == (0, list(models.LABELS), 2)
    checked = json.loads(call("--check", "--json")[1])["scores"]
    for scores in told["scores"]:
        assert scores == pytest.approx(list(checked.values()), abs=1e-6)
    save(tmp_path / "other.dcm", Spec())
    code, _, complaint = call("--score", name, str(tmp_path / "other.dcm"))
    assert (code, "another grid" in complaint) == (2, True)


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["audit", "--help"])
    said = capsys.readouterr().out
    for words in ("polarity: bright_dense", "cxr-cf audit --data", "rows.csv", "a sham",
                  "--check", "same command goes on"):  # fmt: skip
        assert words in said
