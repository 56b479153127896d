# SPDX-License-Identifier: Apache-2.0
"""What ``cxr-cf info --json`` or a server says it offers: choices, licences, what is unproven.

No qt: the widget fills its lists from it, and shows the terms where the choice is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNPROVEN = "unproven: no evidence yet that these weights show it"


@dataclass(frozen=True)
class Weight:
    """One file of weights."""

    file: str
    sha256: str
    licence: str


@dataclass(frozen=True)
class Facts:
    """What the runner offers."""

    version: str
    findings: tuple[str, ...]
    sided: frozenset[str]  # findings that have a side
    unproven: frozenset[str]
    zones: tuple[str, ...]
    presets: tuple[str, ...]
    weights: tuple[Weight, ...]
    intended_use: str

    def label(self, finding: str) -> str:
        """How a finding is listed: its name, and that it is unproven."""
        return f"{finding} (unproven)" if finding in self.unproven else finding

    def note(self, finding: str) -> str:
        """The sentence beside the chosen finding; "" where there is evidence."""
        return f"{finding} is {UNPROVEN}." if finding in self.unproven else ""

    @property
    def licences(self) -> tuple[tuple[str, str], ...]:
        """(part, licence) of the weights, each once: ("cxr-mini", "Apache License")."""
        pairs = ((weight.file.split("/")[0], weight.licence) for weight in self.weights)
        return tuple(dict.fromkeys(pairs))


def read_facts(document: Mapping[str, Any]) -> Facts:
    """The facts of a document; ValueError if it is no such document."""
    try:
        findings = document["findings"]
        weights = [Weight(w["file"], w["sha256"], w["licence"]) for w in document["weights"]]
        return Facts(
            version=str(document["versions"]["monai-cxr-cf"]),
            findings=tuple(findings),
            sided=frozenset(name for name, about in findings.items() if _sided(about)),
            unproven=frozenset(document["unproven_findings"]),
            zones=tuple(document["zones"]),
            presets=tuple(document["presets"]),
            weights=tuple(weights),
            intended_use=str(document["intended_use"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("The runner did not say what it offers; update it.") from error


def _sided(about: Mapping[str, Any]) -> bool:
    """A finding has a side if a term of its default region does."""
    return any(side is not None for _, side in about["region"])
