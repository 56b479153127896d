# SPDX-License-Identifier: Apache-2.0
"""Findings to be taken away that the source does not show: told before anything is sampled.

By the measures that the verdict uses: heart width over chest width, and the classifier where its
word counts. A finding that neither can tell is not doubted. A warning, never a refusal: the limit
between a normal and a large heart is a convention, and a classifier errs.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.case import Scene
from monai_cxr_cf.judges.evidence import Expected
from monai_cxr_cf.measures.masks import cardiothoracic_ratio
from monai_cxr_cf.runs.networks import VERDICT_JUDGE, Networks
from monai_cxr_cf.runs.remembered import opinion_of

Note = tuple[str, str]
CODE = "finding_absent"
ENLARGED = 0.50  # a heart wider than half the chest counts as enlarged
SEEN = 0.50  # the classifier finds it as likely as not


def doubts(expected: Sequence[Expected], scene: Scene, networks: Networks) -> tuple[Note, ...]:
    """A warning for every finding to be removed that the source lacks, as (code, message).

    Args:
        expected: what the picture should show afterwards, finding by finding.
        scene: the source, with the organs that the segmenter drew.
        networks: they hold the classifier, which reads the source once.
    """
    notes = []
    for item in (one for one in expected if one.rise < 0):
        words = (
            _heart(scene.found.as_dict())
            if item.measure == "heart"
            else _unseen(item.name, scene, networks)
        )
        if words:
            notes.append((CODE, f"The source may not show the {item.name} to be removed: {words}"))
    return tuple(dict.fromkeys(notes))  # one finding may have two regions


def _heart(organs: Mapping[str, NDArray[np.bool_]]) -> str:
    """Why a heart is not enlarged; empty where it is or cannot be measured."""
    ratio = cardiothoracic_ratio(organs)
    if ratio is None or ratio > ENLARGED:
        return ""
    return (
        f"the heart is not enlarged, heart width over chest width is {ratio:.2f} "
        f"(enlarged: above {ENLARGED:.2f})."
    )


def _unseen(name: str, scene: Scene, networks: Networks) -> str:
    """That the classifier does not see a finding; empty where it does or does not count."""
    judge = networks.judge(VERDICT_JUDGE)
    if judge is None or name not in judge.findings or not judge.counts(name, scene.radiograph.view):
        return ""
    found = opinion_of(scene.radiograph, judge, networks.memory)[name]
    if found >= SEEN:
        return ""
    return (
        f"classifier {judge.name.upper()} gives it a probability of {found:.2f} "
        f"(as likely as not: {SEEN:.2f})."
    )
