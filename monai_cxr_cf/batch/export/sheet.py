# SPDX-License-Identifier: Apache-2.0
"""``augmentation.md``: what the exported data are, how they came about, and what they are not."""

from collections.abc import Mapping
from typing import Any

from monai_cxr_cf.batch.export.samples import ARMS, COPIES, EDITED, REAL, Wanted
from monai_cxr_cf.batch.store.run_folder import Run

TEXT = """\
# Data sheet of an augmentation

Real chest radiographs, copies of them as a control, and counterfactuals made of them by
monai-cxr-cf {version}. Research only. The counterfactuals are synthetic, and **not anonymous**:
outside the edited region they are the patients' images. Keep them under the rules of their sources.

| arm | images | what it is |
|---|---|---|
| real | {real} | every source once |
| duplicates | {duplicates} | the control: for each counterfactual one more copy of its source |
| counterfactuals | {counterfactuals} | edits {verdict} |

Train on real, on real + duplicates, and on real + counterfactuals, with several seeds, and compare
on **real images of held-out patients**. Both augmented sets are equally long, so that a gain over
the duplicates comes from the edits, not from more steps. Without that control a gain means little.

## Splits

{patients} patients; each is in one split, its counterfactuals with it. {how}

{splits}

## Labels

A counterfactual has its source's labels, with what was added and without what was removed, as the
edit was asked for. No radiologist has looked: a verdict is arithmetic on the pictures. {unknown}

{labels}

## Masks

`organs`: 1 right lung, 2 left lung, 3 heart, as the segmenter found them in the **source**.
`organ_mask` is empty for a counterfactual whose edit may move an outline, such as a larger heart.
`edit`: 1 region, 2 band; nothing changed beyond.

## Left out

{left}

## Made with

{made}
"""


def sheet(
    run: Run, counts: Mapping[str, Any], labels: Mapping[tuple[str, str], int], wanted: Wanted
) -> str:
    """The page.

    Args:
        run: the batch.
        counts: what was exported.
        labels: (arm, label) -> images.
        wanted: how it was exported.
    """
    unknown = counts["without_labels"]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in wanted.shares.items())
    names = sorted({label for _, label in labels})
    rows = [
        f"| {name} | " + " | ".join(str(labels.get((arm, name), 0)) for arm in ARMS) + " |"
        for name in names
    ]
    head = ["| label | " + " | ".join(ARMS) + " |", "|---" * (len(ARMS) + 1) + "|"]
    made = {**run.fingerprint, **{f"weights of {m}": d[:16] for m, d in run.weights.items()}}
    return TEXT.format(
        version=run.fingerprint.get("version", ""),
        **{arm: counts[arm] for arm in (REAL, COPIES, EDITED)},
        verdict="of any verdict" if wanted.any_verdict else "whose verdict is passed",
        patients=counts["patients"],
        how=f"By the manifest's column group; without it by a hash of the patient: {shares}.",
        splits=_bullets(counts["splits"]),
        unknown=f"{unknown} sources came without labels: theirs are not known, not negative."
        if unknown
        else "Every source came with labels.",
        labels="\n".join([*head, *rows]) if rows else "None.",
        left=_bullets(counts["left_out"]),
        made=_bullets(made),
    )


def _bullets(facts: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items()) or "Nothing."
