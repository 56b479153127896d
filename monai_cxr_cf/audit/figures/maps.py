# SPDX-License-Identifier: Apache-2.0
"""Do the user's saliency maps point at what moved the score, better than another patient's?"""

from typing import Any

from monai_cxr_cf.audit.figures.chance import PAGE_ONE, effect, holm
from monai_cxr_cf.audit.figures.facts import Facts, patients, plain, rounded

MEASURES = ("pointing", "mass", "iou", "transplant")


def maps(facts: Facts) -> list[dict[str, Any]]:
    """Own map minus another patient's, by edit and measure, corrected by Holm."""
    found = []
    for name, trials in facts.names().items():
        known = [trial for trial in trials if trial.get("maps")]
        for measure in MEASURES if known else ():
            own, other = ([t["maps"][kind][measure] for t in known] for kind in ("own", "other"))
            gain = effect([a - b for a, b in zip(own, other, strict=True)], patients(known))
            told = {"name": name, "label": measure, "own": plain(sum(own) / len(own))}
            found.append(told | {"other": plain(sum(other) / len(other)), **rounded(gain)})
    for entry, p in zip(found, holm([entry["p"] for entry in found]), strict=True):
        entry |= {"p_holm": plain(p, 6), "better": p <= PAGE_ONE and entry["value"] > 0}
    return found
