# SPDX-License-Identifier: Apache-2.0
"""The runs of a scene, read back from what their nodes carry: a saved scene explains itself.

``results`` writes a record onto every volume of a run with ``write``; here it becomes an ``Added``
again, also after the scene was saved, closed and loaded.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .hierarchy import nodes

log = logging.getLogger(__name__)
SYNTHETIC = "CXRCF.synthetic"  # on every volume that was made by, or computed from, the model
RUN, MEMBER, RECORD = "CXRCF.run", "CXRCF.member", "CXRCF.record"
SOURCE, MASKS, CHANGE = "CXRCF.source", "CXRCF.masks", "CXRCF.change"  # node references
_ASKED = ("preset", "strength", "overrides", "levels", "levels_by", "iod")
_FINDING = ("finding", "direction", "side", "zone", "severity")


@dataclass(frozen=True)
class Added:
    """One run in the scene: its nodes, and all that was asked and found."""

    run: str
    created: str = ""  # local time of the import, ISO 8601 to the minute
    words: str = ""  # "add moderate left pleural effusion"
    labels: tuple[str, ...] = ()  # one a member: "seed 7, severity 0.50"
    levels: tuple[float, ...] = ()  # of the severity dial, one a member
    seeds: tuple[int, ...] = ()  # one a member
    volume_ids: tuple[str, ...] = ()
    segmentation_id: str = ""
    change_id: str = ""
    source_id: str = ""
    preview: str = ""  # picture in the job's folder; empty for a run of a loaded scene
    outside: int = 0  # largest change outside region and band, stored units
    verdict: str = ""  # passed, failed, unproven
    verdict_words: str = ""
    choice: Mapping[str, Any] = field(default_factory=dict)  # arguments of params.Choice
    facts: Mapping[str, Any] = field(default_factory=dict)  # region, strength, weights, version
    notes: tuple[str, ...] = ()  # what the import had to do differently, to be shown

    @property
    def main(self) -> int:
        """The member to show first: the highest level of the first seed."""
        return self.levels.index(max(self.levels)) if self.levels else 0


_SAVED = ("created", "words", "labels", "levels", "seeds", "outside", "verdict", "verdict_words",
          "choice", "facts", "notes")  # fmt: skip
_TUPLES = ("labels", "levels", "seeds", "notes")


def choice_of(request: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    """Arguments of ``params.Choice`` that repeat a run.

    Args:
        request: the canonical request of a report; what stood at its default is absent.
        seeds: the seeds that were used. They are kept although the request named none: then only
            what the user changes next changes the picture.
    """
    choice = {key: request[key] for key in _ASKED if key in request}
    choice["prompt"], choice["seeds"] = request.get("prompt", ""), tuple(seeds)
    if "levels" in choice:
        choice["levels"] = tuple(choice["levels"])
    findings = request.get("findings", ())
    if findings:
        choice |= {key: findings[0][key] for key in _FINDING if findings[0].get(key) is not None}
    return choice


def write(scene: Any, added: Added) -> None:
    """Leave the record of a run on its nodes, in words a person can read too."""
    record = json.dumps({name: getattr(added, name) for name in _SAVED}, ensure_ascii=True)
    for index, identifier in enumerate(added.volume_ids):
        volume = scene.GetNodeByID(identifier)
        volume.SetAttribute(MEMBER, str(index))
        volume.SetAttribute(RECORD, record)
        for name, value in _readable(added, index).items():
            volume.SetAttribute(f"CXRCF.{name}", value)
        volume.SetNodeReferenceID(SOURCE, added.source_id)
        volume.SetNodeReferenceID(MASKS, added.segmentation_id)
        volume.SetNodeReferenceID(CHANGE, added.change_id)
    for identifier in (*added.volume_ids, added.segmentation_id, added.change_id):
        scene.GetNodeByID(identifier).SetAttribute(RUN, added.run)
    for identifier in (*added.volume_ids, added.change_id):
        scene.GetNodeByID(identifier).SetAttribute(SYNTHETIC, "YES")


def _readable(added: Added, index: int) -> dict[str, str]:
    """What someone finds who looks at one volume's attributes (Slicer's Data module shows them)."""
    weights = added.facts.get("weights", {})
    return {
        "prompt": str(added.choice.get("prompt") or added.words),
        "label": added.labels[index],
        "seed": str(added.seeds[index]),
        "severity": f"{added.levels[index]:g}",
        "strength": str(added.facts.get("strength", "")),
        "preset": str(added.choice.get("preset", "default")),
        "weights": " ".join(f"{name} sha256:{digest}" for name, digest in weights.items()),
        "version": str(added.facts.get("version", "")),
        "outside": str(added.outside),
        "verdict": added.verdict,
    }


def history(scene: Any) -> list[Added]:
    """Every run whose volumes are in the scene, oldest first."""
    runs: dict[str, list[Any]] = {}
    for volume in nodes(scene, "vtkMRMLScalarVolumeNode"):
        if volume.GetAttribute(RECORD):
            runs.setdefault(volume.GetAttribute(RUN) or volume.GetID(), []).append(volume)
    found = []
    for run, members in runs.items():
        try:
            found.append(_read(run, members))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            # A scene is a file that anyone can edit: its other runs are still good.
            log.warning("The record of one run in the scene cannot be read; it is left out.")
    return sorted(found, key=lambda added: added.created)


def _read(run: str, volumes: list[Any]) -> Added:
    """A run from its volumes; those that the user removed are left out of every list."""
    volumes.sort(key=_position)
    saved = json.loads(volumes[0].GetAttribute(RECORD))
    values = {name: saved[name] for name in _SAVED}
    kept = [_position(volume) for volume in volumes]
    for name in ("labels", "levels", "seeds"):
        values[name] = [saved[name][index] for index in kept]
    for name in _TUPLES:
        values[name] = tuple(values[name])
    for name in ("seeds", "levels"):
        if name in values["choice"]:
            values["choice"][name] = tuple(values["choice"][name])
    return Added(
        run=run,
        volume_ids=tuple(volume.GetID() for volume in volumes),
        source_id=_referred(volumes[0], SOURCE),
        segmentation_id=_referred(volumes[0], MASKS),
        change_id=_referred(volumes[0], CHANGE),
        **values,
    )


def _position(volume: Any) -> int:
    return int(volume.GetAttribute(MEMBER))


def _referred(volume: Any, role: str) -> str:
    """Id of a node a volume refers to; empty if that node is gone."""
    node = volume.GetNodeReference(role)
    return "" if node is None else str(node.GetID())
