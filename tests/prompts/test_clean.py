# SPDX-License-Identifier: Apache-2.0
"""Report text to short prompts: findings stay, boilerplate and history go."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cxr_cf.prompts.clean import clean_report
from monai_cxr_cf.prompts.compose import NORMAL
from monai_cxr_cf.prompts.parse import parse_prompt
from tests.fuzz import examples

CASES = {
    "FINDINGS: There is a small left pleural effusion. The heart is mildly enlarged. "
    "No pneumothorax. IMPRESSION: Small left pleural effusion.":
        "mild left pleural effusion and mild cardiomegaly",
    "HISTORY: pneumonia. COMPARISON: ___. FINDINGS: Lungs are clear. IMPRESSION: "
    "No acute cardiopulmonary process.": NORMAL,
    "55-year-old man with fever and pneumonia. Chest radiograph shows right lower lobe "
    "consolidation. Case courtesy of Dr X.": "right lower lung consolidation",
    "right upper PTB with fibrous changes": "right upper lung ptb and fibrous changes",
    "12x9mm nodule LUL": "left upper lung nodule",
    "Interval improvement of the right effusion.": "right effusion",
    "The right effusion has resolved.": NORMAL,
    "Pneumonia cannot be excluded.": "",
    "Right pneumothorax, bilateral widespread adhesions": "right pneumothorax",
    "Stable cardiomegaly. Unchanged bibasilar atelectasis.":
        "cardiomegaly and bilateral lower lung atelectasis",
    "Pericardial effusion.": "",
    "normal": NORMAL,
    "": "",
}  # fmt: skip


@pytest.mark.parametrize(("report", "prompt"), CASES.items(), ids=range(len(CASES)))
def test_report_becomes_a_short_prompt(report: str, prompt: str) -> None:
    assert clean_report(report) == prompt


def test_number_of_findings_is_limited() -> None:
    report = "Effusion. Nodule. Mass. Cardiomegaly. Edema."
    assert clean_report(report).count(" and ") == 3
    assert clean_report(report, max_findings=1) == "effusion"


def test_real_readings_become_prompts_the_parser_accepts(shared) -> None:
    rows = csv.DictReader((shared / "data" / "cxr" / "index.csv").open(encoding="utf-8"))
    texts = {row["text"] for row in rows if row["source"] in ("shenzhen", "montgomery", "cohen")}
    prompts = [clean_report(text) for text in sorted(texts)]
    stated = [p for p in prompts if p not in ("", NORMAL)]
    assert len(stated) > 300
    assert all(parse_prompt(p).mode == "add" for p in stated)
    assert max(len(p) for p in stated) < 200


@settings(max_examples=examples(150), deadline=None, derandomize=True)
@given(st.text(max_size=200))
def test_any_text_gives_a_prompt(report: str) -> None:
    prompt = clean_report(report)
    assert prompt in ("", NORMAL) or parse_prompt(prompt).findings
