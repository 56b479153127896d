# SPDX-License-Identifier: Apache-2.0
"""What the user chose, as a frozen ``Choice``, and its place in the scene: the parameter node.

No qt, no slicer: any object with the parameter and reference methods of
``vtkMRMLScriptedModuleNode`` will do. The key of a server is never kept here.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .address import parse_address

PRESETS = ("default", "fast", "paper")
DIRECTIONS = ("add", "remove")
LEVELS_BY = ("blend", "guidance")
SIDES = (None, "left", "right", "both")
LOCAL, REMOTE = "local", "remote"
PROMPT_LENGTH, SEEDS, LEVELS, HIGHEST_SEED = 1000, 64, 32, 2**63 - 1


@dataclass(frozen=True)
class Choice:
    """One edit as the panel shows it; words win over what is picked."""

    prompt: str = ""  # "pick or type": not empty, it replaces finding, side, zone and severity
    finding: str = "pleural effusion"
    direction: str = "add"  # or remove
    side: str | None = None  # the patient's left, right, both; None: the finding's default
    zone: str | None = None
    severity: float = 0.7  # level to reach, 0..1; a removal takes all of it
    preset: str = "default"
    seeds: tuple[int, ...] = ()  # one image per seed; empty: one derived from source and request
    levels: tuple[float, ...] = ()  # a series: one image per level, 0..1
    levels_by: str = "blend"  # of latents of one edit; guidance = each level sampled anew
    strength: float | None = None  # share of the schedule; None: the preset's
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    iod: str = "sc"  # sc = Secondary Capture, same = derived DX or CR
    backend: str = LOCAL
    server: str = ""  # address, for the remote back end
    scene_only: bool = False  # leave the DICOM database untouched


def sampled(choice: Choice) -> bool:
    """Whether every level is a run of its own; without levels there is nothing to say."""
    return bool(choice.levels) and choice.levels_by == "guidance"


def problems(choice: Choice) -> list[str]:
    """One clear sentence for each thing that cannot be asked; empty if all can."""
    found = []
    if len(choice.prompt) > PROMPT_LENGTH:
        length = len(choice.prompt)
        found.append(f"The prompt has {length} characters; {PROMPT_LENGTH} are allowed.")
    if not choice.prompt.strip() and not choice.finding.strip():
        found.append("Pick a finding, or type what should be seen.")
    for name, known in (("direction", DIRECTIONS), ("side", SIDES), ("preset", PRESETS),
                        ("iod", ("sc", "same")), ("levels_by", LEVELS_BY),
                        ("backend", (LOCAL, REMOTE))):  # fmt: skip
        if getattr(choice, name) not in known:
            found.append(f"The {name} is not known; choose one of the list.")
    found += _outside(choice)
    if not _is_settings(choice.overrides):
        found.append('The advanced settings are not of the form {"boost": {"eta": 2}}.')
    if choice.backend == REMOTE:
        try:
            parse_address(choice.server)
        except ValueError as error:
            found.append(str(error))
    return found


def _outside(choice: Choice) -> list[str]:
    """Numbers that are out of range, and too many of them."""
    found = []
    if not 0 <= choice.severity <= 1:
        found.append("The severity lies between 0 and 1.")
    if choice.strength is not None and not 0 <= choice.strength <= 1:
        found.append("The strength lies between 0 and 1.")
    if not all(0 <= level <= 1 for level in choice.levels):
        found.append("The levels of a series lie between 0 and 1.")
    if not all(0 <= seed <= HIGHEST_SEED for seed in choice.seeds):
        found.append(f"A seed is a whole number from 0 to {HIGHEST_SEED}.")
    for name, values, most in (("seeds", choice.seeds, SEEDS), ("levels", choice.levels, LEVELS)):
        if len(values) > most:
            found.append(f"There are {len(values)} {name}; {most} are allowed.")
    return found


def _is_settings(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(part, Mapping) for name, part in value.items()
    )


class Parameters:
    """A ``Choice`` and the nodes it is about, kept in a parameter node.

    Args:
        node: a ``vtkMRMLScriptedModuleNode``, or what behaves like one.
    """

    def __init__(self, node: Any) -> None:
        self.node = node

    def read(self) -> Choice:
        """The choice; what is absent or damaged stands at its default (see ``damaged``)."""
        return self._read()[0]

    def damaged(self) -> tuple[str, ...]:
        """Names of the parameters whose text means nothing; the panel says so."""
        return self._read()[1]

    def _read(self) -> tuple[Choice, tuple[str, ...]]:
        values: dict[str, Any] = {}
        damaged = []
        for name, (_, parsed) in FORMS.items():
            text = self.node.GetParameter(name) or ""
            if text:
                try:
                    values[name] = parsed(text)
                except (ValueError, TypeError, RecursionError):
                    damaged.append(name)
        return Choice(**values), tuple(damaged)

    def write(self, choice: Choice) -> None:
        """Keep a choice; whoever observes the node hears of it once."""
        start = getattr(self.node, "StartModify", None)
        before = None if start is None else start()
        try:
            for name, (text_of, _) in FORMS.items():
                value = getattr(choice, name)
                text = "" if value is None else text_of(value)
                if (self.node.GetParameter(name) or "") != text:
                    self.node.SetParameter(name, text)
        finally:
            if start is not None:
                self.node.EndModify(before)

    @property
    def source_id(self) -> str:
        """Node id of the radiograph; "" for none."""
        return self.node.GetNodeReferenceID("source") or ""

    @source_id.setter
    def source_id(self, identifier: str) -> None:
        self.node.SetNodeReferenceID("source", identifier or None)

    @property
    def region_id(self) -> str:
        """Node id of the segmentation that replaces the region; "" for none."""
        return self.node.GetNodeReferenceID("region") or ""

    @region_id.setter
    def region_id(self, identifier: str) -> None:
        self.node.SetNodeReferenceID("region", identifier or None)

    @property
    def segment_id(self) -> str:
        """Segment of that segmentation; "" for none."""
        return self.node.GetParameter("segment") or ""

    @segment_id.setter
    def segment_id(self, identifier: str) -> None:
        self.node.SetParameter("segment", identifier or "")


def _list_of(kind: Callable[[Any], Any]) -> Callable[[str], tuple[Any, ...]]:
    def parsed(text: str) -> tuple[Any, ...]:
        found = json.loads(text)
        if not isinstance(found, list):
            raise TypeError
        return tuple(kind(value) for value in found)

    return parsed


def _settings(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not _is_settings(found):
        raise TypeError
    return dict(found)


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError
    return text == "1"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _json(value: Any) -> str:
    """Sequences and mappings as text; nothing for an empty one."""
    if not value:
        return ""
    return json.dumps(dict(value) if isinstance(value, Mapping) else list(value))


_TEXT = (str, str)
# Parameter -> (its text, read back); an empty text is the default of the field.
FORMS: Mapping[str, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    **{f.name: _TEXT for f in fields(Choice)},
    "prompt": (_one_line, str),
    "severity": (repr, float),
    "strength": (repr, float),
    "seeds": (_json, _list_of(int)),
    "levels": (_json, _list_of(float)),
    "overrides": (_json, _settings),
    "scene_only": (lambda value: "1" if value else "", _flag),
}
