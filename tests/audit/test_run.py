# SPDX-License-Identifier: Apache-2.0
"""A whole audit on real edits of a tiny backbone: files, resuming, two classifiers, one folder."""

import csv
import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from highdicom.sr import srread
from PIL import Image
from pydicom import dcmread

from monai_cxr_cf.audit.adapters.declared import Declared
from monai_cxr_cf.audit.adapters.load import load_classifier
from monai_cxr_cf.audit.beside import explain_all, with_maps
from monai_cxr_cf.audit.cohort import cohort
from monai_cxr_cf.audit.figures.maps import maps
from monai_cxr_cf.audit.measuring.saliency import read_map
from monai_cxr_cf.audit.one import draw
from monai_cxr_cf.audit.plan import Edits, asked_from, check_grown, write_manifest
from monai_cxr_cf.audit.report.write import schema
from monai_cxr_cf.audit.run import Audit, edit, finish, lay_out_edits, score
from monai_cxr_cf.audit.trials import find_pairs, trials
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.seg_read import read_segmentation
from monai_cxr_cf.dicom.writing.sr import write_explanation
from monai_cxr_cf.errors import BadRequest
from tests.audit import models
from tests.audit.works import Passing
from tests.dicom.peers import dciodvfy_errors
from tests.posix import posix

pytestmark = posix
COMMON = {"preset": "fast", "overrides": {"sampling": {"steps": 2}, "start": {"strength": 1.0}}}
DECLARED = Declared(models.LABELS, (16, 16))


@pytest.fixture(scope="module")
def audit(root, tiny_folder, tmp_path_factory):
    """Two patients, one as DICOM, one as picture; one finding; laid out."""
    folder = tmp_path_factory.mktemp("audit")
    data = folder / "data"
    (data / "images").mkdir(parents=True)
    ds = dcmread(root / "docs" / "example.dcm")
    ds.save_as(data / "images" / "a.dcm")
    grey = ds.pixel_array.astype(float)
    grey = (255 * (grey - grey.min()) / np.ptp(grey)).astype(np.uint8)
    Image.fromarray(grey).save(data / "images" / "b.png")
    (data / "index.csv").write_text(
        "id,patient,view,split,labels,sex,age\na,ANNA^ONE,PA,test,No Finding,F,30\n"
        "b,BERT,AP,test,Edema,M,70\nc,CARL,L,test,,,\nd,BERT,PA,train,,M,70\n"
    )
    chosen = cohort(data, 9, "test")
    assert {each.id: each.group for each in chosen} == {
        "a": {"view": "PA", "sex": "F", "age": "under 40"},
        "b": {"view": "AP", "sex": "M", "age": "65 and over"},
    }
    assert next(c for c in chosen if c.id == "b").truth(models.LABELS) == {
        "Effusion": False, "Edema": True}  # fmt: skip
    common = {**COMMON, "backbone": str(tiny_folder)}
    work = Passing(backbone=str(tiny_folder), device="cpu", log=str(folder / "log"))
    edits = Edits(asked_from(["left pleural effusion"]), (0.5, 1.0))
    return Audit(folder / "out", chosen, edits, common, work, How())


def test_an_old_folder_is_no_place_for_other_edits(tmp_path):
    path, rows = tmp_path / "m.jsonl", [{"id": "a"}, {"id": "b"}]
    check_grown(path, rows)
    write_manifest(path, rows)
    check_grown(path, [{"id": "c"}, *rows])
    with pytest.raises(BadRequest, match="1 of its 2 edits are not asked for now"):
        check_grown(path, rows[:1])


def whole(audit, spec, events=None):
    """Run it all; what audit.json holds."""
    classifier = load_classifier(spec, DECLARED)
    lay_out_edits(audit)
    assert edit(audit, lambda lines: None) == ""
    told = [] if events is None else events
    facts, found = score(audit, classifier, told.append)
    return finish(audit, classifier, facts, found)


@pytest.fixture(scope="module")
def told(audit):
    """Of the first run."""
    return whole(audit, "tests.audit.models:expected")


class Page(HTMLParser):
    """Counts tags, and keeps what is asked from elsewhere and the text of page one."""

    def __init__(self):
        super().__init__()
        self.tags, self.asked, self.text, self.depth = Counter(), [], [], 0

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags[tag] += 1
        self.asked += [v for k, v in attrs if k in ("src", "href") and v]
        self.depth += (self.depth or attributes.get("id") == "page-one") and tag == "div"
        if tag == "img":
            assert attributes["alt"]

    def handle_endtag(self, tag):
        self.depth -= bool(self.depth) and tag == "div"

    def handle_data(self, data):
        self.text += [data] if self.depth else []


def test_files_are_valid_and_hold_no_patient(audit, told):
    out = audit.out
    assert json.loads((out / "audit.json").read_text()) == told
    jsonschema.validate(told, schema())
    assert told["figures"]["edits"] == [
        {"name": "pleural effusion, left", "finding": "pleural effusion", "asked": 2, "passed": 2,
         "proven": 2, "why": {}}
    ]  # fmt: skip
    rows = list(csv.DictReader((out / "rows.csv").open()))
    assert {row["patient"] for row in rows} == {"ANNA^ONE", "BERT"}
    text = (out / "index.html").read_text()
    assert "ANNA^" not in text + json.dumps(told)
    assert len(text) < 10_000_000
    page = Page()
    page.feed(text)
    assert page.tags["details"] == page.tags["summary"] == 10
    assert page.tags["h1"] == page.tags["main"] == 1
    assert page.tags["script"] == 0
    assert all(each.startswith(("#", "data:image/jpeg")) for each in page.asked)
    assert page.tags["img"] >= 2
    words = "".join(page.text)
    for sentences in told["page_one"].values():
        assert all(sentence["words"] in words for sentence in sentences)
    files = told["figures"]["checks"][0]
    assert (files["name"], files["passed"]) == ("same_across_files", True)


def test_a_second_run_edits_and_scores_nothing_and_writes_the_same(audit, told):
    names = ("audit.json", "rows.csv", "index.html")
    before = {name: (audit.out / name).read_bytes() for name in names}
    made = Path(audit.work.log).read_text()
    assert len(made.split()) == 4
    (scores,) = (audit.out / "scores").iterdir()
    kept = scores.read_bytes()
    scores.write_bytes(kept + b'{"key": "torn')
    events = []
    assert whole(audit, "tests.audit.models:expected", events) == told
    assert Path(audit.work.log).read_text() == made
    assert scores.read_bytes() == kept
    assert {name: (audit.out / name).read_bytes() for name in names} == before
    assert events[-1] == {"stage": "scores", "step": 4, "total": 4}
    scores.write_bytes(kept[: kept.rfind(b"\n", 0, -1) + 1])  # stopped before the last trial
    assert whole(audit, "tests.audit.models:expected") == told
    assert scores.read_bytes() == kept


def test_another_classifier_takes_the_edits_that_are_there(audit, told, tmp_path):
    made = Path(audit.work.log).read_text()
    models.exported(tmp_path / "m.pt2")
    other = whole(audit, str(tmp_path / "m.pt2"))
    assert Path(audit.work.log).read_text() == made
    assert other["model"]["kind"] == "torch.export"
    assert len(list((audit.out / "scores").iterdir())) == 2
    for one, two in zip(other["figures"]["effects"], told["figures"]["effects"], strict=True):
        assert one["value"] == pytest.approx(two["value"], abs=1e-4)


def test_pictures_are_read_back_exactly_and_nothing_changed_outside(audit, told):
    found = find_pairs(audit.folder)
    pictures = {each.id: _known(each) for each in audit.chosen}
    for _, trial in trials(found.pairs, pictures, "", None):
        assert trial.levels == (0.5, 1.0)
        assert len(trial.edited) == 2
        moved = np.abs(trial.change) > 0
        assert 0 < moved.mean() < 0.5
        assert np.array_equal(trial.edited[-1][~moved], trial.picture.pixels[~moved])
        assert trial.organs.left_lung.any()


def test_maps_are_held_against_edits_and_one_patient_is_drawn(audit, told, tmp_path):
    model = load_classifier("tests.audit.models:expected", DECLARED)
    facts, found = score(audit, model, lambda event: None)
    shape = trial_of(audit, found).change.shape
    with pytest.raises(BadRequest, match="0 of the radiographs have a saliency map"):
        with_maps(audit, model, facts, found, tmp_path)
    np.save(tmp_path / "a.npy", np.abs(trial_of(audit, found).change))
    Image.new("L", shape[::-1], 9).save(tmp_path / "b.png")
    first = found.pairs[0]
    seg, source = first.edit / "seg.dcm", read_source(first.row.path, first.row.edit.reading)
    drawn = np.any(list(read_segmentation(seg, source).values()), 0)
    assert np.array_equal(read_map(seg, source), drawn)
    known = with_maps(audit, model, facts, found, tmp_path)
    mine = next(t["maps"] for t in known.trials if t["id"] == "a")
    assert (mine["own"]["mass"], mine["own"]["pointing"], mine["own"]["iou"]) == (1, 1, 1)
    assert mine["other"]["mass"] == pytest.approx(mine["other"]["chance"], abs=1e-4)
    assert {e["label"] for e in maps(known)} == {"pointing", "mass", "iou", "transplant"}
    said = explain_all(audit, model, facts, found)
    assert "'Effusion' goes from" in said[0]
    assert "The edit passed its verdict. " in said[0]
    names = [audit.out / f"one-{n}.{kind}" for n in (1, 2) for kind in ("png", "dcm")]
    drawn = [name.read_bytes() for name in names]
    explain_all(audit, model, facts, found)
    assert [name.read_bytes() for name in names] == drawn
    assert not dciodvfy_errors(names[1])
    group = srread(names[1]).content.get_image_measurement_groups()[-1]
    record, numbers = facts.trials[0], [m.value for m in group.get_measurements()]
    scores = [row[0] for row in (record["source"], record["edited"][-1], record["sham"][-1])]
    assert numbers[:3] == pytest.approx(scores, rel=1e-5)
    files = [*(first.edit / "cf").iterdir()]
    files += [f for f in [Path(first.row.path)] if f.suffix == ".dcm"]
    referenced = {image.referenced_sop_instance_uid for image in group.source_images}
    assert referenced == {dcmread(file).SOPInstanceUID for file in files}


def test_no_score_no_curve_and_any_letter_in_an_sr(audit, told, tmp_path):
    found = find_pairs(audit.folder)
    draw(trial_of(audit, found), {}, ("Edema",), ("", 0.5), tmp_path / "none.png")
    assert np.asarray(Image.open(tmp_path / "none.png").convert("L"))[:380, -330:].min() == 255
    pair, file = found.pairs[0], tmp_path / "sr.dcm"
    write_explanation(pair.edit / "sr.dcm", file, name="Erguß", classifier=("é", "1"), values={},
                      told=["ä"])  # fmt: skip
    group = srread(file).content.get_image_measurement_groups()[-1]
    assert group.tracking_identifier == "Erguß"


def trial_of(audit, found):
    """The trial of radiograph a."""
    pair = next(p for p in found.pairs if p.row.more["picture"] == "a")
    (_, trial), *_ = trials([pair], {each.id: _known(each) for each in audit.chosen}, "", None)
    return trial


def _known(chosen):
    from monai_cxr_cf.audit.measuring.trial import Picture

    return Picture(chosen.id, chosen.patient, np.zeros((1, 1), np.float32), chosen.group)


def test_the_audited_judge_is_not_asked(audit, told, tmp_path):
    found = find_pairs(audit.folder)
    (pair, *_) = found.pairs
    path = pair.edit / "report.json"
    report = path.read_text()
    verdict = json.loads(report)
    checks = [{"name": name, "passed": passed} for name, passed in
              (("texture", True), ("gain:pleural effusion", False), ("drift", False))]  # fmt: skip
    verdict["verdict"] |= {"verdict": "failed", "checks": checks}
    verdict["verdict"]["classifier"] = {"sha256": "mine", "judge": "x"}
    path.write_text(json.dumps(verdict))
    pictures = {each.id: _known(each) for each in audit.chosen}
    try:
        for audited, wanted in (("mine", ("passed", ())), ("yours", ("failed", ("gain", "drift")))):
            (_, trial), *_ = trials([pair], pictures, audited, None)
            assert (trial.verdict, trial.why) == wanted
            assert trial.proven is (audited == "yours")
    finally:
        path.write_text(report)
