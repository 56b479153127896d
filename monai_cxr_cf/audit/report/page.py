# SPDX-License-Identifier: Apache-2.0
"""audit.json and examples in, one HTML page out: self-contained, no script, usable by keyboard.

The first screen answers four questions and says what cannot be said; the rest is behind headings
that open. Whoever reads it sees no identifier of a patient.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from monai_cxr_cf.audit.report.charts import curve, heat, shares
from monai_cxr_cf.audit.report.pictures import Example
from monai_cxr_cf.evaluation.edits.page import STYLE
from monai_cxr_cf.shifts.table import SHIFTS

Told = Mapping[str, Any]
TITLES = (("looks_at", "What it looks at"), ("ignores", "What it ignores"),
          ("fooled_by", "What fools it"), ("how_sure", "How sure that is"),
          ("limits", "What this cannot say"))  # fmt: skip
FEW = 5  # flips that a median needs
MORE = """
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: 1rem; background: #fff; }
a:focus, summary:focus, [tabindex]:focus { outline: 3px solid #1b5e9b; outline-offset: 2px; }
.answers { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); }
.answers section { border: 1px solid #ccc; border-top: 4px solid #1b5e9b; padding: .2rem 1rem; }
.answers h2 { margin-top: .6rem; } .answers li { margin-bottom: .5rem; }
.answers section.fooled_by { border-top-color: #a40e26; }
.answers section.limits { border-top-color: #8a6d00; }
summary { font-size: 1.15rem; font-weight: 600; cursor: pointer; padding: .5rem 0; }
.row { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
svg text { font: 9px system-ui, sans-serif; fill: #333; }
.bars td:last-child { text-align: left; }
.bar { display: inline-block; height: .8em; background: #1b5e9b; }
"""
READ = (
    "Two things were done to their radiographs. Edits: one finding is drawn in or taken out, and "
    "outside the marked region no pixel differs; beside each stands its sham, the same edit "
    "without the finding. Marks and acquisition: letters, borders, exposure, JPEG and the like, "
    "computed exactly. Scores are the classifier's own, from 0 to 1."
)


def html(told: Told, examples: Sequence[Example]) -> str:
    """The page as one string."""
    model, figures = told["model"], told["figures"]
    title = f"What does {model['name']} look at?"
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}{MORE}</style></head><body>",
        '<a class="skip" href="#more">Skip to the details</a><main>',
        f"<h1>{escape(title)}</h1>",
        f"<p>{figures['patients']} patients. {READ} <strong>Edited pictures are synthetic; for "
        "research only; no statement about any patient.</strong></p>",
        *_answers(told["page_one"]),
        f'<p class="note">{_rule(figures)}</p>',
        '<h2 id="more">The figures behind it</h2>',
    ]
    sections = (
        ("Findings: how the score follows the edit", _findings(told)),
        ("Marks and acquisition: the same patient, taken otherwise", _shifts(figures)),
        ("All other scores", heat(figures["off_target"])),
        ("Finding and mark together", _tables(figures)),
        ("Subgroups", _subgroups(figures)),
        ("Calibration and noise", _calibration(figures)),
        ("Saliency maps", _maps(figures)),
        ("Does the classifier get what it expects?", _checks(figures)),
        ("Examples", _examples(examples)),
        ("Which edits count, and what everything was made with", _made(told)),
    )
    for number, (heading, body) in enumerate(sections):
        opened = " open" * (number == 0)
        parts += [f"<details{opened}><summary>{heading}</summary>", *body, "</details>"]
    return "\n".join([*parts, "</main></body></html>", ""])


def _answers(answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    yield '<div class="answers" id="page-one">'
    for key, title in TITLES:
        yield f'<section class="{key}" aria-labelledby="{key}"><h2 id="{key}">{title}</h2><ul>'
        for sentence in answers[key] or [{"words": "Nothing that this audit could rule out."}]:
            yield f"<li>{escape(sentence['words'])}</li>"
        yield "</ul></section>"
    yield "</div>"


def _rule(figures: Told) -> str:
    """When something moves a score, when it does not."""
    return (
        f"<b>moves</b>: p below {figures['tests']['page_one']:g} with all tests of this page "
        f"together (Holm), and {figures['margin']:g} or more on average. <b>ignores</b>: the whole "
        f"95 % interval within {figures['margin']:g}. <b>unclear</b>: neither."
    )


def _number(value: float | None, digits: int = 2, sign: str = "+") -> str:
    return "–" if value is None else f"{round(value, digits) + 0.0:{sign}.{digits}f}"


def _interval(entry: Mapping[str, Any]) -> str:
    return f"{_number(entry['value'])} ({_number(entry['low'])} to {_number(entry['high'])})"


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table whose first column names its rows; it can be scrolled by keyboard."""
    if not rows:
        yield f"<p>{escape(caption)}: not available.</p>"
        return
    yield f'<div class="wide" tabindex="0"><table><caption>{escape(caption)}</caption><thead><tr>'
    yield "".join(f'<th scope="col">{escape(head)}</th>' for head in heads) + "</tr></thead><tbody>"
    for first, *cells in rows:
        line = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        yield f'<tr><th scope="row">{escape(first)}</th>{line}</tr>'
    yield "</tbody></table></div>"


def _findings(told: Told) -> Iterator[str]:
    figures, sampled = told["figures"], told["edits"]["levels_by"] == "sampled"
    curves = {(c["name"], c["label"]): c for c in figures["curves"]}
    for entry in figures["effects"]:
        line = curves[entry["name"], entry["label"]]
        words = [
            f"beyond its sham {_interval(entry)}, p {entry['p_holm']:.3g} (Holm), "
            f"{entry['patients']} patients: {entry['says']}",
            f"shams alone move the score by {_number(entry['sham_band'][0])} to "
            f"{_number(entry['sham_band'][1])}",
            _flips(entry, told["model"]["declared"].get("thresholds") or {}),
            f"a scrambled change as large {_interval(entry['elsewhere']['scrambled'])}; the same "
            f"change mirrored {_interval(entry['elsewhere']['mirrored'])}, outside all "
            f"organs {_interval(entry['elsewhere']['outside'])}",
        ]
        if sampled:  # blended levels are smooth by construction
            words.append(f"rank correlation with severity {_number(line['monotone']['value'])}")
        yield f"<h3>{escape(entry['name'])}: '{escape(entry['label'])}'</h3>"
        yield f'<div class="row">{curve(line, sampled=sampled)}<div>'
        yield from shares(entry)
        yield "</div><ul>" + "".join(f"<li>{escape(w)}</li>" for w in words) + "</ul></div>"


def _flips(entry: Told, declared: Told) -> str:
    """How many edits take the score over its operating point, and with how little."""
    flips = entry["flips"]
    counts = ", ".join(f"{kind}: {number}" for kind, number in flips["counts"].items() if number)
    words = f"operating point {flips['threshold']:g}"
    words += "" if entry["label"] in declared else " (not declared)"
    words += f": {counts or 'no score of its own'}"
    if flips["counts"].get("flips", 0) < FEW:
        return words
    words += f"; half of the flips need {_number(flips['level'], sign='')} of the change or less, "
    return words + f"or all of it in {_number(flips['area'], sign='')} of its pixels"


def _shifts(figures: Told) -> Iterator[str]:
    heads = ("what", "kind", "score", "change", "p (Holm)", "says", "would have been seen")
    rows = [
        [e["words"], e["of"], e["label"], _interval(e), f"{e['p_holm']:.3g}", e["says"],
         _number(e["smallest_seen"], sign="")]
        for e in figures["shifts"]
    ]  # fmt: skip
    yield from _table("Change of the score by each shift", heads, rows)


def _tables(figures: Told) -> Iterator[str]:
    keys = ("neither", "mark_only", "finding_only", "both")
    rows = [
        [f"{e['name']}; {SHIFTS[e['mark']].words}", e["label"],
         *(_number(e[key], sign="") for key in keys), _interval(e["interaction"])]
        for e in figures["tables"]
    ]  # fmt: skip
    heads = ("edit and mark", "score", "neither", "mark", "finding", "both", "beyond the sum")
    yield from _table("Mean scores with and without finding and mark", heads, rows)


def _subgroups(figures: Told) -> Iterator[str]:
    rows = [
        [f"{e['name']}, {e['by']} {e['group']}", e["label"], str(e["patients"]), _interval(e),
         _number(e["others"]), f"{e['p_holm']:.3g}", _number(e["flip_rate"], sign=""),
         _number(e["auc"], sign="")]
        for e in figures["subgroups"]
    ]  # fmt: skip
    heads = ("edit and group", "score", "patients", "change", "others", "p (Holm)", "flip rate",
             "AUC edit against sham")  # fmt: skip
    yield from _table("Groups of enough patients, each against the others", heads, rows)


def _calibration(figures: Told) -> Iterator[str]:
    rows = [
        [e["label"], str(e["radiographs"]), *(
            f"{when['brier']:.3f} (mean {when['mean']:.2f}, rate {when['rate']:.2f})"
            for when in (e["before"], e["after"]))]
        for e in figures["calibration"]
    ]  # fmt: skip
    heads = ("score", "labelled radiographs", "Brier score", "with edits as positives")
    yield from _table("Calibration", heads, rows)
    noise = [[e["label"], _number(e["moved"], 3, ""), _number(e["spread"], 3, "")]
             for e in figures["noise"]]  # fmt: skip
    yield from _table("What a grain that nobody sees does",
                      ("score", "moves by", "spread over patients"), noise)  # fmt: skip


def _maps(figures: Told) -> Iterator[str]:
    rows = [
        [f"{e['name']}, {e['label']}", _number(e["own"], sign=""), _number(e["other"], sign=""),
         _interval(e), f"{e['p_holm']:.3g}"]
        for e in figures["maps"]
    ]  # fmt: skip
    heads = ("edit and measure", "own map", "another patient's", "difference", "p (Holm)")
    yield from _table("Maps against the pixels that changed", heads, rows)


def _checks(figures: Told) -> Iterator[str]:
    words = {True: "nothing against it", False: "wrong", None: "not known"}
    rows = [[e["words"], words[e["passed"]]] for e in figures["checks"]]
    yield from _table("Checks", ("check", "result"), rows)


def _examples(examples: Sequence[Example]) -> Iterator[str]:
    yield "<p>By rule: of every edit the one that moved its score most, up or down, the median, the"
    yield " least. The lines under a picture are the edit's own verdict. A classifier that is named"
    yield " there judges edits; where it is the one audited, it was not heard.</p>"
    for each in examples:
        alt = escape(f"source, region, counterfactual and change of {each.caption}")
        yield f'<figure><img alt="{alt}" src="data:image/jpeg;base64,{each.data}">'
        yield f"<figcaption>{escape(each.caption)}</figcaption></figure>"


def _made(told: Told) -> Iterator[str]:
    rows = [
        [e["name"], str(e["asked"]), str(e["passed"]), str(e["proven"]),
         ", ".join(f"{why} {n}" for why, n in e["why"].items())]
        for e in told["figures"]["edits"]
    ]  # fmt: skip
    heads = ("edit", "made", "passed", "independent judge agrees", "checks that failed")
    yield from _table("Edits", heads, rows)
    lost = [[code, str(count)] for code, count in told["edits"]["refused"].items()]
    yield from _table("Edits that were refused or are not done", ("why", "edits"), lost)
    model, edits = told["model"], told["edits"]
    made = [["classifier", f"{model['name']}, {model['kind']}, {model['sha256'] or 'no digest'}"]]
    made += [[f"declared {name}", str(value)] for name, value in model["declared"].items()]
    made += [["manifest of edits", edits["manifest"]]]
    made += [["fields of every edit", str(edits["fields"])], ["levels", edits["levels_by"]]]
    made += [[f"weights {name}", value] for name, value in edits["weights"].items()]
    made += [["version", told["version"]]]
    yield from _table("Made with", ("what", "value"), made)
