# SPDX-License-Identifier: Apache-2.0
"""A table of captioned radiographs, whatever collection it comes from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.data.picture import read_grey
from monai_cxr_cf.prompts.clean import clean_report
from monai_cxr_cf.prompts.compose import NORMAL, prompt_from_findings
from monai_cxr_cf.prompts.findings import lookup
from monai_cxr_cf.request import FindingEdit


@dataclass(frozen=True, slots=True)
class Captioned:
    """One frontal radiograph and the words a generator may learn it by."""

    id: str  # unique in its collection
    image: str  # its file below the data folder
    patient: str  # split and resample by this, never by image
    view: str  # PA or AP
    split: str  # train, judge or test
    prompt: str  # findings as a short text; "" where nothing is known
    words_from: str = "report"  # report, labels or none
    bits: int = 0  # that a 16-bit file holds; 0 for 8-bit collections


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which radiographs of a collection are read, and how their words become captions."""

    views: tuple[str, ...] = ("PA",)
    split: str | None = None  # None: all
    reports: Path | None = None  # where the reports lie, if not with the images
    clean: Callable[[str], str] | None = None  # report to caption; None: the rules
    uncertain: str = "drop"  # hedged findings and labels of -1: drop or present

    def caption(self, report: str) -> str:
        """What a report's text says as a prompt; "" if it says nothing."""
        if self.clean is not None:
            return self.clean(report)
        return clean_report(report, uncertain=self.uncertain)


def load_grey(folder: Path, row: Captioned) -> NDArray[np.float32]:
    """The radiograph, HxW float32, 0..1, bright = dense (8 to 16 bits, or DICOM)."""
    return read_grey(folder, row.image, row.bits)


def caption(text: str, labels: Iterable[str]) -> tuple[str, str]:
    """A prompt, and whether a cleaned report's ``text``, ``labels`` or "none" gave it."""
    if text:
        return text, "report"
    prompt = prompt_from_labels(labels)
    return prompt, "labels" if prompt else "none"


def prompt_from_labels(labels: Iterable[str]) -> str:
    """Labels ("Pleural Effusion", "No Finding") as a prompt; "" if none of them is known."""
    names = list(labels)
    known = [found.name for name in names if (found := lookup(name.replace("_", " ")))]
    if known:
        return prompt_from_findings(FindingEdit(name) for name in dict.fromkeys(known)).text
    return NORMAL if {"No Finding", "normal"} & set(names) else ""
