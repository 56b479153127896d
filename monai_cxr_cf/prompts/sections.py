# SPDX-License-Identifier: Apache-2.0
"""A report as it was dictated in, its sentences about the image out.

Findings and impression are kept, and any other part whose heading is not known to speak of
something else; history, indication, comparison, technique and the like are dropped. A heading that
is itself a finding or an organ ("EDEMA: MODERATE.") is a sentence. Where a report has neither
findings nor impression, the text after the first blank line of its last part counts, as dictations
often leave the heading out.
"""

import re

from monai_cxr_cf.prompts.scan import ANCHORS, marks

_HEADING = re.compile(
    r"(?:^|(?<=[\n.;]))[ \t]*(?:[-*•]|\d{1,2}[.)])?[ \t]*"
    r"([A-Z][A-Za-z/&, ()-]{1,44}?|[A-Z][A-Z/&, ()-]{1,44}?)[ \t]*:(?!\d)",
)
_PART = re.compile(
    r"^[ \t]*((?:FINAL |WET )?(?:REPORT|READ|ADDENDUM))\b[^\n:]{0,40}:?[ \t]*$|^[ \t]*(WET READ)\b",
    re.MULTILINE,
)
_IMAGING = ("finding", "impression", "imp", "conclusion", "chest", "imaging notes", "cxr",
            "interpretation", "portable", "pa and lat", "ap view", "result", "opinion",
            "final report", "final addendum", "addendum", "report")  # fmt: skip
_MAIN = ("finding", "impression", "imp", "conclusion", "interpretation")
_OTHER = ("history", "indication", "comparison", "comparisons", "technique", "exam", "examination",
          "clinical", "reason", "recommendation", "discussion", "presentation", "view", "procedure",
          "notification", "type of exam", "study", "date", "signed", "electronically", "dictated",
          "attending", "provider", "accession", "patient", "final report summary", "summary",
          "comment on technique", "wet read", "request", "question", "diagnosis", "symptom",
          "previous", "prior", "medical", "information", "end of impression")  # fmt: skip
_ORGANS = re.compile(
    r"\b(?:lungs?|heart|cardiac|cardiomediastin\w+|mediastin\w+|pleurae?|pleural|bones?|hila|hilar|"
    r"hilum|diaphragms?|airways?|lines?|tubes?|devices?|osseous|soft tissues?|aorta|costophrenic|"
    r"vascul\w+|parenchyma)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(
    r"(?<=[^\d\s]\.)\s+|(?<=\d\.)\s+(?=[A-Z])|;\s*(?:\d+\.)?|\n\s*\n|"
    r"(?:(?<=^)|(?<=[\s.]))\d{1,2}[.)]\s*(?=[A-Z])|\n[ \t]*(?:[-*•]|\d{1,2}[.)])[ \t]*"
)
_EMPTY = re.compile(
    r"^\W*(?:nan|none|null|n/?a|as above|see (?:above|impression|findings)|same)?\W*$", re.I
)


def sentences(report: str) -> list[str]:
    """Sentences about the image, in order, with single spaces; a structured line is one too."""
    text = report.replace("\\n", "\n").replace("\r", "\n")
    text = re.sub(r"\b(vs|dr|mr|mrs|approx)\.", r"\1", text, flags=re.IGNORECASE)
    out: list[str] = []
    for part in _parts(text):
        for piece in _SENTENCE.split(part):
            line = " ".join(piece.replace("_", " ").split())
            if line and not _EMPTY.match(line):
                out.append(line)
    return out


def _parts(text: str) -> list[str]:
    """The bodies that speak of the image."""
    found = _headed(text)
    main = any(_known(name, _MAIN) and not _EMPTY.match(body) for name, body in found)
    final = main or any(name.startswith("final report") for name, _ in found)
    kept = []
    for k, (name, body) in enumerate(found):
        other = _known(name, _OTHER) and not _known(name, _IMAGING)
        if not other or (name.startswith("wet read") and not final):
            kept.append(body)
        elif not main and k == len(found) - 1:
            kept.append(_after_blank_line(body))
    return kept


def _known(name: str, names: tuple[str, ...]) -> bool:
    return name.startswith(names)


def _after_blank_line(body: str) -> str:
    return re.split(r"\n[ \t]*\n", body.lstrip("\n"), maxsplit=1)[-1] if "\n" in body else ""


def _headed(text: str) -> list[tuple[str, str]]:
    """(heading in lower case, body) in order; structured lines stay in the body they stand in."""
    cuts: list[tuple[int, int, str]] = []
    lines: list[tuple[int, int, str]] = []
    for found in _HEADING.finditer(text):
        name = " ".join(found.group(1).split())
        folded = name.casefold()
        if _structured(folded):
            lines.append((found.start(), found.end(), name))
        elif _known(folded, (*_IMAGING, *_OTHER)) or name.isupper():
            cuts.append((found.start(), found.end(), folded))
    for found in _PART.finditer(text):
        name = (found.group(1) or found.group(2)).strip().casefold()
        if not any(a <= found.start() < b for a, b, _ in cuts):
            cuts.append((found.start(), found.end(), name))
    cuts.sort()
    starts = [(0, 0, ""), *cuts]
    out = []
    for (_, start, name), (stop, _, _) in zip(starts, [*cuts, (len(text), 0, "")], strict=True):
        body = _spelled_out(text, start, stop, lines)
        if name or body.strip():
            out.append((name, body))
    return out


def _structured(name: str) -> bool:
    """Is this heading the subject of a sentence: a finding, an organ, a device?"""
    if _known(name, ("finding", "impression", *_OTHER)) or name.startswith("chest"):
        return False
    return bool(_ORGANS.search(name)) or any(m.kind in ANCHORS for m in marks(name))


def _spelled_out(text: str, start: int, stop: int, lines: list[tuple[int, int, str]]) -> str:
    """The text with "EDEMA: MODERATE" as a sentence of its own: "EDEMA is MODERATE"."""
    out, at = "", start
    for begin, end, name in lines:
        if start <= begin and end <= stop:
            out += f"{text[at:begin]}\n\n{name} is "
            at = end
    return out + text[at:stop]
