# SPDX-License-Identifier: Apache-2.0
"""Did the counterfactual do what was asked, and nothing else? Explainable checks, one verdict.

Each check is a number against a limit, said in words; the verdict fails if one fails. A classifier
may give its opinion: its word counts where its AUC says so, and ``proven`` means that it confirms
every finding of a passed verdict. The bars: docs/method.md 6; attention is no evidence.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from monai_cxr_cf.judges.artefacts import artefacts
from monai_cxr_cf.judges.evidence import Check, Evidence, Expected, Limits, Opinion
from monai_cxr_cf.measures.masks import box_of, cardiothoracic_ratio, dice

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
GREY = 255.0  # display units to grey levels
LIMITS = Limits()


def judge(evidence: Evidence, limits: Limits = LIMITS) -> dict[str, Any]:
    """All checks and the verdict, JSON-ready.

    Returns:
        ``verdict``: "passed", "failed" or "unmeasured"; ``proven``: True if it passed and the
        classifier, counting for every asked finding, saw each of them change as asked;
        ``checks``: list of ``Check`` as dicts; ``classifier``: its opinion or None; ``words``:
        one sentence that names who judged.
    """
    checks = [_outside(evidence, limits), _inside_share(evidence, limits)]
    checks += [_texture(evidence, limits), _foreign(evidence, limits)]
    checks += artefacts(evidence, limits)
    checks += [_finding(evidence, item, limits) for item in evidence.expected]
    checks += _organs(evidence, limits)
    opinion = evidence.opinion
    if opinion is not None:
        checks += _gains(opinion, evidence.expected, limits)
        checks += _drift(opinion, evidence.expected, limits)
    failed = [c for c in checks if c.passed is False]
    open_ = [c for c in checks if c.passed is None]
    verdict = "failed" if failed else "unmeasured" if open_ else "passed"
    problems = "; ".join(c.words for c in failed or open_)
    who = who_judged(opinion, evidence.expected)
    asked = {item.name for item in evidence.expected}
    return {
        "verdict": verdict,
        "proven": verdict == "passed" and opinion is not None and asked <= opinion.counts,
        "words": f"{verdict}: {problems}; {who}" if problems else f"{verdict} ({who})",
        "checks": [asdict(c) for c in checks],
        "classifier": None if opinion is None else _told(opinion),
    }


def who_judged(opinion: Opinion | None, expected: Sequence[Expected]) -> str:
    """Which classifier judged which finding, and what was left to measures on the image."""
    name = "" if opinion is None else opinion.judge.upper()
    parts = []
    for item in expected:
        if opinion is not None and item.name in opinion.counts:
            gain = opinion.after[item.name] - opinion.before[item.name]
            way = "likelier" if gain >= 0 else "less likely"
            parts.append(f"classifier {name} finds {item.name} {way} by {abs(gain):.2f}")
    rest = [item for item in expected if opinion is None or item.name not in opinion.counts]
    if rest:
        sizes = {"density" if item.measure == "density" else "heart size" for item in rest}
        names = " or ".join(dict.fromkeys(item.name for item in rest))
        why = (
            f"classifier {name} does not tell {names} reliably"
            if name
            else "no classifier is installed"
        )
        parts.append(f"judged by {', '.join(sorted(sizes))} and outlines alone: {why}")
    return "; ".join(parts)


def _told(opinion: Opinion) -> dict[str, Any]:
    return {
        "judge": opinion.judge,
        "sha256": opinion.sha256,
        "before": {name: round(p, 4) for name, p in opinion.before.items()},
        "after": {name: round(p, 4) for name, p in opinion.after.items()},
        "auc": dict(opinion.auc),
        "counts": sorted(opinion.counts),
    }


def _gains(opinion: Opinion, expected: Sequence[Expected], limits: Limits) -> list[Check]:
    """The finding's probability must move the asked way, where the classifier can tell."""
    checks = []
    for item in expected:
        if item.name in opinion.counts:
            gain = item.rise * (opinion.after[item.name] - opinion.before[item.name])
            ways = ("higher", "lower")[:: item.rise]
            words = (
                f"the classifier's probability of {item.name} is {_moved(gain, ways, limits.gain)}"
            )
            name = f"gain:{item.name}"
            checks.append(Check(name, round(gain, 4), limits.gain, gain >= limits.gain, words))
    return checks


def _drift(opinion: Opinion, expected: Sequence[Expected], limits: Limits) -> list[Check]:
    """No finding that has nothing to do with the asked ones may become more likely."""
    free = {name for item in expected for name in (item.name, *item.related)}
    rises = {f: opinion.after[f] - opinion.before[f] for f in sorted(opinion.counts - free)}
    if not rises:
        return []
    worst = max(rises, key=lambda finding: rises[finding])
    value, limit = rises[worst], limits.drift
    words = f"no unrelated finding became likelier by more than {limit:g}"
    if value > limit:
        words = f"{worst}, which is unrelated, became likelier by {value:.3f} (at most {limit:g})"
    return [Check("drift", round(value, 4), limit, value <= limit, words)]


def _outside(evidence: Evidence, limits: Limits) -> Check:
    value = evidence.outside_max_diff
    limit = limits.outside_max_diff
    words = f"pixels outside the region and its band changed by up to {value} stored units"
    words = words if value else "nothing changed outside the region and its band"
    return Check("outside_max_diff", value, limit, value <= limit, words)


def _inside_share(evidence: Evidence, limits: Limits) -> Check:
    size = np.abs(evidence.change)
    total = float(size.sum())
    limit = limits.inside_share
    if total == 0:
        return Check("inside_share", None, limit, False, "the image did not change")
    region = np.logical_or.reduce([item.region for item in evidence.expected])
    share = float(size[region].sum()) / total
    words = f"{share:.1%} of the change lies in the region"
    words += "" if share >= limit else f" (at least {limit:.0%} expected)"
    return Check("inside_share", round(share, 4), limit, share >= limit, words)


def _texture(evidence: Evidence, limits: Limits) -> Check:
    """Noise and artefacts show as fine texture that the source never had."""
    region = np.logical_or.reduce([item.region for item in evidence.expected])
    sigma = max(evidence.source.shape) / 256  # one pixel of a small model image

    near = box_of(region, int(4 * sigma + 0.5) + 1)  # as far as the filter looks

    def grain(image: Array) -> float:
        return float((image - ndimage.gaussian_filter(image, sigma))[region[near]].std())

    source, change = evidence.source[near], evidence.change[near]
    ratio = grain(source + change) / max(grain(source), 1 / GREY)
    words = f"the grain in the region is {ratio:.2f} times the source's"
    words += "" if ratio <= limits.texture else f" (at most {limits.texture:g} expected)"
    return Check("texture", round(ratio, 3), limits.texture, ratio <= limits.texture, words)


def _foreign(evidence: Evidence, limits: Limits) -> Check:
    """Holes and glare: made darker than this patient's lungs, or brighter than the whole chest.

    The darkest tenth of the lungs, not their darkest pixel: air outside the body and a black hole
    where a heart was removed have the same grey value.
    """
    region = np.logical_or.reduce([item.region for item in evidence.expected])
    organs = np.logical_or.reduce([region, *evidence.before.values()])
    lungs = [m for name, m in evidence.before.items() if name.endswith("lung") and m.any()]
    air = np.logical_or.reduce(lungs) if lungs else organs
    low = float(np.percentile(evidence.source[air], 10)) - limits.margin / GREY
    high = float(np.percentile(evidence.source[organs], 99.5)) + limits.margin / GREY
    change = evidence.change[region]
    edited = evidence.source[region] + change
    share = float((((edited < low) & (change < 0)) | ((edited > high) & (change > 0))).mean())
    words = f"{share:.1%} of the region became darker than lung or brighter than the chest"
    words += "" if share <= limits.foreign else f" (at most {limits.foreign:.0%} expected)"
    return Check("foreign_grey", round(share, 4), limits.foreign, share <= limits.foreign, words)


def _finding(evidence: Evidence, item: Expected, limits: Limits) -> Check:
    if item.measure == "heart":
        return _heart(evidence, item, limits)
    shift = float(evidence.change[item.region].mean()) * GREY
    ways = ("denser", "more lucent")[:: item.sign]
    moved, limit = shift * item.sign, limits.region_shift
    words = f"{item.name}: the region became {_moved(moved, ways, limit, ' of 255 grey levels')}"
    return Check(f"shift:{item.name}", round(shift, 2), limit, moved >= limit, words)


def _heart(evidence: Evidence, item: Expected, limits: Limits) -> Check:
    """Findings of heart size: the cardiothoracic ratio must move the asked way."""
    name, limit = f"ratio:{item.name}", limits.heart_growth
    before = cardiothoracic_ratio(evidence.before)
    after = cardiothoracic_ratio(evidence.after)
    if before is None or after is None:
        return Check(name, None, limit, None, f"the heart could not be measured for {item.name}")
    growth = after - before
    moved = _moved(growth * item.sign, ("larger", "smaller")[:: item.sign], limit)
    words = (
        f"{item.name}: heart width over chest width went from {before:.2f} to {after:.2f}, {moved}"
    )
    return Check(name, round(growth, 4), limit, growth * item.sign >= limit, words)


def _moved(gain: float, ways: Sequence[str], limit: float, unit: str = "") -> str:
    """How far it moved, the asked way being the first of two; if too little, what was expected."""
    words = f"{ways[gain < 0]} by {abs(gain):.3g}{unit}"
    return words if gain >= limit else f"{words} (expected: {ways[0]} by at least {limit:g})"


def _organs(evidence: Evidence, limits: Limits) -> list[Check]:
    free = {organ for item in evidence.expected for organ in item.may_change}
    checks = []
    for organ, mask in evidence.before.items():
        if organ in free or organ not in evidence.after:
            continue
        value = dice(mask, evidence.after[organ])
        name, limit = organ.replace("_", " "), limits.organ_dice
        words = f"the outline of the {name} stayed (Dice {value:.3f})"
        if value < limit:
            words = f"the outline of the {name} moved (overlap with the source's {name}, Dice "
            words += f"{value:.3f}; at least {limit:g} expected)"
        checks.append(Check(f"dice:{organ}", round(value, 4), limit, value >= limit, words))
    return checks
