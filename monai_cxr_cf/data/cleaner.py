# SPDX-License-Identifier: Apache-2.0
"""A report in, a caption out: a language model writes it, and the rules of ``prompts.clean`` check.

An answer is used only if it says nothing that the rules read otherwise. A finding that the rules
read as absent or doubtful, on another side, or nowhere in the report makes the rules' own caption
stand. Answers are kept on disk by content, so that a second run asks nothing again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from pathlib import Path

from monai_cxr_cf.data.language_model import Endpoint, LanguageModel, LocalModel, instructions
from monai_cxr_cf.prompts.clean import Reading, clean_report, mentioned, read_report
from monai_cxr_cf.prompts.compose import NORMAL, prompt_from_findings
from monai_cxr_cf.request import FindingEdit

log = logging.getLogger(__name__)
CACHE = "captions.jsonl"
LONGEST = 200  # characters of an answer that is a caption and no essay
EVERY = 1000  # reports between two lines of progress
# Why an answer was not used.
REASONS = {
    "absent": "name a finding that the report excludes",
    "doubtful": "name a finding that the report only suspects",
    "side": "name another side",
    "unmentioned": "name a finding that the report does not mention",
    "missing": "call a film normal on which the report states a finding",
    "unusable": "are no caption",
}


class Cleaner:
    """Captions by a language model, checked; ``counts`` says what became of the answers."""

    def __init__(self, model: LanguageModel, folder: Path) -> None:
        self.model = model
        self.counts: Counter[str] = Counter()
        self._path = folder / CACHE
        self._kept: dict[str, str] | None = None  # read when the first report comes
        self._salt = f"{model.name}\n{instructions()}\n"

    def __call__(self, report: str) -> str:
        """A caption; "" where neither the model nor the rules find anything to say."""
        if not report.strip():
            return ""
        answer = self._answer(report)
        caption, reason = checked_caption(answer, report)
        self.counts[reason or "used"] += 1
        self.counts["asked"] += 1
        if self.counts["asked"] % EVERY == 0:
            log.info("reports cleaned: %d", self.counts["asked"])
        made = clean_report(report) if reason else caption
        self.counts["empty"] += not made
        return made

    def lines(self) -> list[str]:
        """What became of the answers, for people."""
        lines = [f"captions of the language model: {self.counts['used']} used"]
        lines += [
            f"replaced by the rules' caption: {self.counts[key]} that {why}"
            for key, why in REASONS.items()
            if self.counts[key]
        ]
        if self.counts["empty"]:
            lines.append(f"reports without a caption: {self.counts['empty']}")
        return lines

    def _answer(self, report: str) -> str:
        key = hashlib.sha256((self._salt + report).encode("utf-8", "replace")).hexdigest()
        if self._kept is None:
            self._kept = _kept(self._path)
        if key not in self._kept:
            self._kept[key] = self.model.answer(report)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            line = json.dumps({"key": key, "answer": self._kept[key]})
            with self._path.open("a", encoding="utf-8") as cache:
                cache.write(line + "\n")
        return self._kept[key]


def cleaner_of(model: str, url: str | None, out: Path, *, remote: bool = False) -> Cleaner:
    """The cleaner that command-line options name; answers are kept in ``out``."""
    asked = Endpoint(url, model, remote) if url else LocalModel(Path(model))
    return Cleaner(asked, out)


def _kept(path: Path) -> dict[str, str]:
    """Answers of earlier runs; a line that was cut short is asked for again."""
    kept: dict[str, str] = {}
    if not path.is_file():
        return kept
    text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            kept[str(entry["key"])] = str(entry["answer"])
        except (ValueError, KeyError, TypeError):
            continue
    if text and not text.endswith("\n"):
        path.write_text(text + "\n", encoding="utf-8")
    return kept


def checked_caption(answer: str, report: str) -> tuple[str, str]:
    """(caption, "") or ("", why the answer cannot be used: a key of ``REASONS``)."""
    said = " ".join(answer.split()).strip(" \"'`.").removeprefix("Caption:").strip().lower()
    rules = read_report(report)
    if said == NORMAL:
        return ("", "missing") if rules.present or rules.hedged else (NORMAL, "")
    if said == "unknown":
        return ("", "missing") if rules.present or rules.normal else ("", "")
    reading = read_report(said)
    if not said or len(said) > LONGEST or not reading.present:
        return "", "unusable"
    named = mentioned(report)
    for edit in reading.present:
        if reason := _objection(edit, rules, named):
            return "", reason
    if reading.absent or reading.hedged:  # an encoder does not understand "no"
        return prompt_from_findings(reading.present).text.lower(), ""
    return said, ""


def _objection(edit: FindingEdit, rules: Reading, named: set[str]) -> str:
    """Why the rules do not let this finding of an answer pass; "" if they do."""
    present = [e for e in rules.present if e.finding == edit.finding]
    absent = [e for e in rules.absent if e.finding == edit.finding]
    if present:
        stated = {side for e in present for side in _sides(e)}
        excluded = {side for e in absent for side in _sides(e)}
        return "" if _sides(edit) <= stated else "absent" if _sides(edit) & excluded else "side"
    if absent:
        return "absent"
    if any(e.finding == edit.finding for e in rules.hedged):
        return "doubtful"
    return "" if edit.finding in named else "unmentioned"


def _sides(edit: FindingEdit) -> set[str]:
    return {"left", "right"} if edit.side == "both" else {edit.side} if edit.side else set()
