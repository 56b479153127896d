# SPDX-License-Identifier: Apache-2.0
"""Figures in, page one out: what it looks at, what it ignores, what fools it, how sure that is.

Every sentence has a code for programs and is made by a rule; nothing is chosen by hand.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from monai_cxr_cf.audit.measuring.score import target_of
from monai_cxr_cf.shifts.table import MARK

Figures = Mapping[str, Any]
Sentence = dict[str, Any]
MOVES, IGNORES = "moves", "ignores"
CARRIES = 0.2  # shares from here on are named
EMPTY, HALF = 0.01, 0.5  # a sham that changed less, against its edit, is empty
TOLD = ("looks_at", "inverted", "nothing_shown")  # after these, what is unclear is told as well
STILL = 1e-3  # a spread below is no spread
MARGIN_NOISE = 1.0  # of the margin: what an unseen grain may move


def page(figures: Figures) -> dict[str, list[Sentence]]:
    """The four answers and the limits, as lists of sentences."""
    looks = [*_looks(figures)] or [_none(figures)]
    told = looks[0]["code"] in TOLD
    return {
        "looks_at": [*looks, *(_open(figures) if told else ())],
        "ignores": [*_ignores(figures)],
        "fooled_by": [*_fooled(figures)] or [_not_fooled(figures)],
        "how_sure": [*_sure(figures)],
        "limits": [*_limits(figures)],
    }


def _sentence(code: str, words: str, **more: Any) -> Sentence:
    return {"code": code, "words": words, **more}


def _signed(entry: Mapping[str, Any]) -> str:
    if entry["low"] is None:
        return f"{entry['value']:+.2f}"
    return f"{entry['value']:+.2f} ({entry['low']:+.2f} to {entry['high']:+.2f})"


def _looks(figures: Figures) -> Iterator[Sentence]:
    for entry in figures["effects"]:
        if entry["says"] != MOVES:
            continue
        up = entry["value"] > 0
        own = _own(entry)
        words = f"{_capital(entry['name'])}: {'its' if own else 'the'} score '{entry['label']}' "
        words += f"{'rises' if up else 'falls'} by {_signed(entry)} beyond its sham"
        wrong = own and up != (entry["direction"] == "add")
        words += _places(entry) + "." + _beside(figures, entry)
        if wrong:
            words += " It moves the wrong way: the score looks inverted."
            other = entry["with_polarity_exchanged"]
            if other["value"] is not None and other["value"] * entry["value"] < 0:
                words += " With black and white exchanged it moves the right way: check polarity."
        more = {name: entry[name] for name in ("label", "organs", "zones")}
        yield _sentence("inverted" if wrong else "looks_at", words, of=entry["name"], **more)


def _own(entry: Mapping[str, Any]) -> bool:
    """Whether a score is about the finding of the edit."""
    return target_of((entry["label"],), entry["finding"]) is not None


def _places(entry: Mapping[str, Any]) -> str:
    """Which organs and zones carry the effect."""
    organs = _largest(entry["organs"])
    zones = _largest(entry["zones"])
    found = ""
    if organs:
        found = "; of that, " + ", ".join(f"{share:.0%} {_place(name)}" for name, share in organs)
        found += ", as they were outlined before the edit"
    if zones:
        found += f" (of the zones of the lungs, {zones[0][1]:.0%} {_place(zones[0][0])})"
    return found


def _beside(figures: Figures, entry: Mapping[str, Any]) -> str:
    """What a change without meaning does to the same score, and what else the edit moves."""
    scrambled = entry["elsewhere"]["scrambled"]
    found = ""
    if scrambled["value"] is not None:
        found = f" A scrambled change, as large and at the same place: {_signed(scrambled)}."
    others = [e for e in figures["off_target"] if e["name"] == entry["name"] and e["says"] == MOVES]
    if others:
        others.sort(key=lambda e: -abs(e["value"]))
        words = ", ".join(f"'{e['label']}' {e['value']:+.2f}" for e in others)
        found += f" It moves other scores as well: {words}."
    return found


def _open(figures: Figures) -> Iterator[Sentence]:
    """Findings of which nobody can tell, and why."""
    most, least = figures["tests"]["page_one"], figures["margin"]
    for entry in figures["effects"]:
        if entry["says"] in (MOVES, IGNORES) or entry["value"] is None:
            continue
        words = f"Neither shown nor ruled out: {entry['name']}. Its score '{entry['label']}' moves "
        words += f"by {_signed(entry)}; "
        if entry["p_holm"] > most:
            words += f"p is {entry['p_holm']:.2g} with all tests together, {most:g} is asked."
        else:
            words += f"that is less than {least:g} on average, though not in the whole interval."
        yield _sentence("unclear", words, of=[entry["name"]])


def _largest(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    found = [(name, share) for name, share in shares.items() if share >= CARRIES]
    return sorted(found, key=lambda each: -each[1])


def _place(name: str) -> str:
    if name == "rest":
        return "outside lungs and heart"
    side, _, zone = name.partition("_")
    zones = {"costophrenic": "costophrenic angle", "upper": "upper zone", "mid": "middle zone",
             "lower": "lower zone"}  # fmt: skip
    return f"{side} {zones.get(zone, zone)}" if zone else side


def _none(figures: Figures) -> Sentence:
    if figures["still"]:
        names = ", ".join(f"'{name}'" for name in figures["still"])
        return _sentence("blind", f"Nothing: the score {names} is the same whatever is shown.")
    if noisy := _noisy(figures):
        return _sentence("noisy", noisy)
    few = [entry["patients"] for entry in figures["effects"] if entry["smallest_seen"] is None]
    if few or not figures["effects"]:
        words = f"Not known: edits of {max(few, default=0)} patients count, and with fewer than "
        words += f"{figures['tests']['patients_needed']} nothing can be shown."
        return _sentence("not_known", words)
    return _sentence(
        "nothing_shown",
        f"No finding that was put in moved its score by {figures['margin']:g} or more beyond "
        "its sham.",
    )


def _noisy(figures: Figures) -> str:
    """Of the label whose score moves most under a grain that nobody sees; "" if all are steady."""
    worst = max(figures["noise"], key=lambda entry: entry["moved"])
    if worst["moved"] < MARGIN_NOISE * figures["margin"]:
        return ""
    return (
        f"Noise: the score '{worst['label']}' moves by {worst['moved']:.2f} when nothing visible "
        "changes."
    )


def _ignores(figures: Figures) -> Iterator[Sentence]:
    for kind, key in (("effects", "name"), ("shifts", "words")):
        own = [entry for entry in figures[kind] if entry["says"] == IGNORES]
        for label in dict.fromkeys(entry["label"] for entry in own):
            names = [entry[key] for entry in own if entry["label"] == label]
            words = "" if kind == "effects" else "Marks and acquisition: "
            words += (
                f"'{label}' moved by less than {figures['margin']:g}, the whole 95 % interval, "
            )
            words += f"under: {'; '.join(names)}."
            yield _sentence("ignores", words, label=label, of=names)


def _fooled(figures: Figures) -> Iterator[Sentence]:
    marks_first = sorted(figures["shifts"], key=lambda entry: entry["of"] != MARK)
    for entry in marks_first:
        if entry["says"] == MOVES:
            words = f"{_capital(entry['words'])}: '{entry['label']}' moves by {_signed(entry)}, "
            words += "though the patient is the same."
            yield _sentence("fooled_by", words, of=entry["name"], label=entry["label"])


def _not_fooled(figures: Figures) -> Sentence:
    open_ = sum(entry["says"] not in (MOVES, IGNORES) for entry in figures["shifts"])
    words = "No mark and no change of acquisition was shown to move a score by "
    words += f"{figures['margin']:g} or more"
    words += f"; of {open_} it is not known." if open_ else "."
    return _sentence("not_fooled", words)


def _sure(figures: Figures) -> Iterator[Sentence]:
    tests = figures["tests"]
    words = f"{figures['patients']} patients, {figures['radiographs']} radiographs. All "
    words += f"{tests['number']} tests of this page (edits {len(figures['effects'])}, marks and "
    words += f"acquisition {len(figures['shifts'])}) are corrected together: chance puts something "
    words += f"on this page in at most {tests['page_one']:.0%} of audits, into the whole report in "
    words += f"{tests['alpha']:.0%}."
    yield _sentence("tests", words)
    seen = [(entry["name"], entry["smallest_seen"]) for entry in figures["effects"]]
    if not seen:
        yield _sentence("no_edits", "No edit passed, so nothing is known about findings.")
    elif any(least is None for _, least in seen):
        words = f"Too few patients for some findings: with fewer than {tests['patients_needed']} "
        yield _sentence("too_few", words + "nothing could have been shown.")
    else:
        words = "; ".join(f"{name} {max(0.01, least):.2f}" for name, least in seen)
        words = f"So large an effect would have been found in four of five audits: {words}."
        yield _sentence("power", words)
    lost = [entry["name"] for entry in figures["effects"] if not _own(entry)]
    if lost:
        words = f"No score is named after {'; '.join(dict.fromkeys(lost))}: every score is tested."
        yield _sentence("no_own_score", words, of=[*dict.fromkeys(lost)])
    yield from _narrow(figures)
    yield from _shams(figures)
    for entry in (each for each in figures["maps"] if each["label"] == "mass"):
        words = (
            f"Saliency maps, {entry['name']}: {entry['own']:.0%} of their mass lies where the edit "
        )
        words += f"changed pixels, {entry['other']:.0%} of other patients' maps: "
        words += "better than chance." if entry["better"] else "not shown to be better than chance."
        yield _sentence("maps", words, of=entry["name"], better=entry["better"])
    if (noisy := _noisy(figures)) and any(e["says"] == MOVES for e in figures["effects"]):
        yield _sentence("noisy", noisy)
    for check in figures["checks"]:
        if check["passed"] is not True:
            yield _sentence(check["name"].partition(":")[0], _capital(check["words"]) + ".")


def _narrow(figures: Figures) -> Iterator[Sentence]:
    """Scores that hardly differ between patients: the margin is much for them."""
    watched = {entry["label"] for entry in figures["effects"]}
    for entry in figures["noise"]:
        if entry["label"] in watched and STILL < entry["spread"] < figures["margin"]:
            words = f"'{entry['label']}' differs by {entry['spread']:.3f} (SD) between these "
            words += f"patients, so {figures['margin']:g} is much for it: see --margin."
            yield _sentence("narrow", words, label=entry["label"])


def _shams(figures: Figures) -> Iterator[Sentence]:
    """Whether the shams are a noise floor, and whether a change without meaning does as much."""
    if any(entry["sham_size"] < EMPTY for entry in figures["effects"]):
        words = "The shams of these settings change next to no pixel. The noise floor is a change "
        yield _sentence("empty_shams", words + "as large at the same place, scrambled.")
    for entry in figures["effects"]:
        other = entry["elsewhere"]["scrambled"]
        if entry["says"] == MOVES and abs(other["value"]) >= HALF * abs(entry["value"]):
            words = (
                f"{_capital(entry['name'])}: a scrambled change as large at the same place moves "
            )
            words += f"the score by {other['value']:+.2f}: it may mind any change there."
            yield _sentence("any_change", words, of=entry["name"], label=entry["label"])


def _limits(figures: Figures) -> Iterator[Sentence]:
    for entry in figures["edits"]:
        words = f"{_capital(entry['name'])}: {entry['passed']} of {entry['asked']} edits passed "
        words += "the verdict (did they do what was asked, and nothing else?) and count here; "
        words += (
            f"an independent judge saw the finding in {entry['proven']} of them."
            if entry["proven"]
            else "no judge that is heard here confirmed that they show the finding."
        )
        yield _sentence("edits", words, of=entry["name"], proven=entry["proven"])
    words = "An edit shows what the score does on these radiographs and this way of drawing a "
    yield _sentence("scope", words + "finding, not how the classifier does on real disease.")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def lines(answers: Mapping[str, Sequence[Sentence]]) -> Iterator[str]:
    """Page one as text."""
    titles = {"looks_at": "What it looks at", "ignores": "What it ignores",
              "fooled_by": "What fools it", "how_sure": "How sure that is",
              "limits": "What this cannot say"}  # fmt: skip
    for key, title in titles.items():
        yield title
        yield from (f"  {sentence['words']}" for sentence in answers[key] or [{"words": "-"}])
