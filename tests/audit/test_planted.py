# SPDX-License-Identifier: Apache-2.0
"""Classifiers with a planted answer: page one names each truly, and nothing that is not there.

The edits are stubs; the classifiers, the audit's scoring, figures and sentences are the real ones.
"""

from copy import deepcopy

import numpy as np
import pytest

from monai_cxr_cf.audit.figures.analyse import analyse
from monai_cxr_cf.audit.figures.effects import off_target, page_one
from monai_cxr_cf.audit.figures.facts import Facts
from monai_cxr_cf.audit.words import lines, page
from monai_cxr_cf.shifts.table import MARK, SHIFTS, shifted
from tests.audit import stubs

LEFT, RIGHT = (asked.name for asked in stubs.EFFUSIONS)


@pytest.fixture(scope="module")
def reports():
    """Figures and page one of every planted classifier."""
    found = {}
    for name, function in stubs.PLANTED.items():
        figures = analyse(stubs.audited(stubs.classifier(function)))
        found[name] = (figures, page(figures))
    return found


def codes(answers, key):
    """Code and subject of every sentence of an answer."""
    return [(s["code"], s.get("of")) for s in answers[key]]


def marks(answers):
    """Marks that fool it."""
    named = [s["of"] for s in answers["fooled_by"] if s["code"] == "fooled_by"]
    return [name for name in named if SHIFTS[name].kind == MARK]


def test_left_costophrenic_pixels_are_named(reports):
    figures, answers = reports["corner"]
    (sentence,) = answers["looks_at"]
    assert (sentence["code"], sentence["of"]) == ("looks_at", LEFT)
    assert sentence["organs"]["left_lung"] >= 0.95
    assert sentence["zones"]["left_costophrenic"] >= 0.95
    assert "of that, 100% left lung, as they were" in sentence["words"]
    assert "(of the zones of the lungs, 100% left costophrenic angle)" in sentence["words"]
    assert "A scrambled change, as large and at the same place: +0.02" in sentence["words"]
    assert RIGHT in answers["ignores"][0]["of"]
    assert marks(answers) == []
    effect = figures["effects"][0]
    assert effect["flips"]["counts"]["flips"] == 16
    assert 0 < effect["flips"]["level"] <= 1
    assert effect["elsewhere"]["mirrored"]["value"] == 0
    assert figures["curves"][0]["monotone"]["value"] == 1


@pytest.mark.parametrize(("name", "mark"), [("letter", "letter_left"), ("border", "border")])
def test_a_shortcut_is_named_and_no_finding(reports, name, mark):
    _, answers = reports[name]
    assert codes(answers, "looks_at") == [("nothing_shown", None)]
    assert answers["fooled_by"][0]["of"] == mark
    assert mark in marks(answers)
    assert {LEFT, RIGHT} <= set(answers["ignores"][0]["of"])
    assert set(marks(answers)) <= {mark, "collimation"}  # shutters cover both places


def test_blind_noisy_and_inverted_are_named(reports):
    assert codes(reports["blind"][1], "looks_at") == [("blind", None)]
    assert codes(reports["blind"][1], "fooled_by") == [("not_fooled", None)]
    assert codes(reports["noise"][1], "looks_at") == [("noisy", None)]
    assert codes(reports["noise"][1], "fooled_by") == [("not_fooled", None)]
    figures, answers = reports["inverted"]
    assert codes(answers, "looks_at") == [("inverted", LEFT)]
    assert "check polarity" in answers["looks_at"][0]["words"]
    order = next(s for s in answers["how_sure"] if s["code"] == "order")
    assert "the declared polarity looks wrong" in order["words"]
    assert figures["effects"][0]["with_polarity_exchanged"]["value"] > 0.5


def test_page_one_says_how_sure_and_what_it_cannot_say(reports):
    figures, answers = reports["corner"]
    text = "\n".join(lines(answers))
    for title in ("What it looks at", "What it ignores", "What fools it", "How sure that is",
                  "What this cannot say"):  # fmt: skip
        assert title in text
    assert "16 patients, 16 radiographs" in text
    assert "Pleural effusion, left: 16 of 17 edits passed the verdict" in text
    assert figures["edits"][0]["why"] == {"texture": 1}
    assert figures["tests"]["patients_needed"] == 11
    few = page(analyse(stubs.audited(stubs.classifier(stubs.in_corner), patients=4)))
    assert "too_few" in [code for code, _ in codes(few, "how_sure")]
    assert codes(few, "looks_at") == [("not_known", None)]
    assert "Not known: edits of 4 patients count" in few["looks_at"][0]["words"]


def test_page_one_tells_what_else_moves_what_is_open_and_which_scores_are_narrow(reports):
    figures = deepcopy(reports["corner"][0])
    own = figures["effects"][0]
    figures["off_target"] = [{"name": LEFT, "label": "Edema", "value": 0.12, "says": "moves"}]
    figures["noise"] = [{"label": own["label"], "moved": 0.0, "spread": 0.031}]
    answers = page(figures)
    words = answers["looks_at"][0]["words"]
    assert words.endswith("It moves other scores as well: 'Edema' +0.12.")
    (narrow,) = (s["words"] for s in answers["how_sure"] if s["code"] == "narrow")
    assert "differs by 0.031 (SD) between these patients, so 0.05 is much for it" in narrow
    for p, why in ((0.041, "p is 0.041 with all tests together, 0.03 is asked"),
                   (0.01, "less than 0.05 on average, though not in the whole")):  # fmt: skip
        own.update(says="unclear", p_holm=p, value=0.04)
        looks = page(figures)["looks_at"]
        assert [sentence["code"] for sentence in looks] == ["nothing_shown", "unclear"]
        assert f"Neither shown nor ruled out: {LEFT}. Its score" in looks[1]["words"]
        assert why in looks[1]["words"]


def test_a_score_that_is_named_otherwise_is_no_score_of_the_finding(reports):
    figures = deepcopy(reports["inverted"][0])
    figures["effects"] = figures["effects"][:1]
    figures["effects"][0]["label"] = "No Finding"
    answers = page(figures)
    assert codes(answers, "looks_at") == [("looks_at", LEFT)]
    assert ": the score 'No Finding' falls by" in answers["looks_at"][0]["words"]
    (told,) = (s["words"] for s in answers["how_sure"] if s["code"] == "no_own_score")
    assert told == f"No score is named after {LEFT}: every score is tested."


def learnt(mark, share, rng):
    """A logistic regression on drawn chests, whose positives carry a mark so often."""
    found, truth = [], []
    for number in range(160):
        image = stubs.picture(2 * number, rng).pixels
        ill = number % 2
        if ill:
            image = image + rng.uniform(0, 0.25) * stubs.CORNER["left"].astype(np.float32)
            if rng.random() < share:
                image = shifted(np.clip(image, 0, 1), mark)
        found.append(_cells(image))
        truth.append(ill)
    cells, target = np.array(found), np.array(truth)
    mean, weight, bias = cells.mean(0), np.zeros(cells.shape[1]), 0.0
    for _ in range(400):
        error = stubs.squash((cells - mean) @ weight + bias) - target
        weight -= 0.5 * ((cells - mean).T @ error / len(target) + 0.002 * weight)
        bias -= 0.5 * error.mean()
    return lambda image: stubs.squash((_cells(image) - mean) @ weight + bias)


def _cells(image):
    return image.reshape(16, 4, 16, 4).mean((1, 3)).ravel()


@pytest.mark.parametrize("mark", ["letter_left", "device"])
def test_a_learnt_shortcut_is_found_the_stronger_the_more_often_it_was_there(mark):
    moved = {}
    for share in (0, 0.5, 1):
        model = stubs.classifier(learnt(mark, share, np.random.default_rng(3)))
        figures = analyse(stubs.audited(model))
        moved[share] = next(e for e in figures["shifts"] if e["name"] == mark)
        assert (mark in marks(page(figures))) == (share > 0)
    assert moved[1]["value"] > moved[0.5]["value"] > 0.05 > abs(moved[0]["value"])


def null_facts(run):
    """Edits and shams that a random linear classifier cannot tell apart, on 12 patients."""
    rng = np.random.default_rng(run)
    labels, pictures, trials = ("Effusion", "Edema", "Nodule"), [], []
    weights = rng.normal(0, 1, (64, 3))
    for number in range(12):
        source = rng.normal(0, 0.5, 64)

        def score(*parts, base=source):
            return stubs.squash(np.sum([base, *parts], axis=0) @ weights / 4).tolist()

        def stub():
            return rng.normal(0, 0.5, 64)

        whose = {"id": f"r{number}", "patient": f"p{number}", "group": {}, "truth": {}}
        shifts = {name: score(stub()) for name in SHIFTS}
        plain = score(stub())
        pictures.append({**whose, "source": plain, "shifts": shifts})
        for asked in (*stubs.EFFUSIONS, stubs.Asked("pulmonary edema"), stubs.Asked("nodule")):
            told = {"name": asked.name, "finding": asked.finding, "side": asked.side,
                    "direction": "add", "verdict": "passed", "proven": True, "why": [],
                    "levels": [1.0], "source": plain, "edited": [score(stub())],
                    "sham": [score(stub())], "flip": None, "organs": {}, "zones": {},
                    "scrambled": None, "mirrored": None, "outside": None,
                    "sham_size": 1.0}  # fmt: skip
            told["inverted"] = {"edited": score(stub()), "sham": score(stub())}
            trials.append({**whose, **told})
    return Facts(labels, pictures, trials)


def test_at_most_one_in_twenty_null_audits_names_something():
    alarms = {"page one": 0, "off target": 0}
    for run in range(200):
        facts = null_facts(run)
        edits, shifts = page_one(facts)
        alarms["page one"] += any(e["says"] == "moves" for e in (*edits, *shifts))
        alarms["off target"] += any(e["says"] == "moves" for e in off_target(facts))
    assert len(edits) == 4
    assert len(shifts) == 3 * (len(SHIFTS) - 1)
    assert alarms["page one"] <= 10
    assert alarms["off target"] <= 10
