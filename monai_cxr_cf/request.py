# SPDX-License-Identifier: Apache-2.0
"""One edit request, the same from every door: command line, bundle, server and Slicer.

A request is JSON that follows ``schemas/request.schema.json`` (versioned, unknown keys refused);
here it becomes a frozen ``EditRequest`` with a canonical form and a hash. Paths are not part of
the identity: what they point to is hashed where it is read.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from importlib import resources
from typing import Any

from monai_cxr_cf.catalogue.table import OURS, Choice, choose, row_of
from monai_cxr_cf.dials import checked
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import EditConfig, preset

VERSION = 1
SIDES = ("left", "right", "both")
DIRECTIONS = ("add", "remove", "change")
PATHS = ("source", "masks", "roi", "backbone", "folder")
LEVELS_BY = ("blend", "guidance")
BESIDE = ("png",)  # further files: they change nothing of the edit and of its own files


@dataclass(frozen=True)
class FindingEdit:
    """One finding and what should happen to it."""

    finding: str  # canonical name in the vocabulary, e.g. "pleural effusion"
    direction: str = "add"  # add, remove, change
    side: str | None = None  # the patient's left, right, both; None: the finding's default
    zone: str | None = None  # upper, mid, lower, apical, ...; None: the finding's default
    severity: float | None = None  # 0..1; None: not said
    phrase: str = ""  # the noun phrase as written in the prompt, without side and severity
    span: tuple[int, int] | None = None  # character span of the phrase in the prompt


@dataclass(frozen=True)
class EditRequest:
    """All a run depends on besides the weights; equal requests give equal bytes."""

    source: str  # DICOM file or folder; PNG or JPEG with reading.allow_raster
    prompt: str = ""  # words; or ``findings``, not both
    findings: tuple[FindingEdit, ...] = ()
    source_prompt: str = ""  # what the source shows, if known
    negative_prompt: str = ""
    levels: tuple[float, ...] = ()  # severity dial: one image of the series per level, 0..1
    levels_by: str = "blend"  # of latents of one edit; guidance = each level sampled anew
    strength: float | None = None  # shorthand for overrides.start.strength
    seeds: tuple[int, ...] = ()  # empty: one, derived from source and request
    sham: bool = False  # control edit: same region and seed, the source prompt as target
    preset: str = "default"
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    masks: str | None = None  # organ masks of the user instead of the segmenter's
    roi: str | None = None  # explicit region instead of the one from words
    iod: str = "sc"  # sc = Secondary Capture; same = derived DX or CR
    uids: str = "stable"  # stable = from content; random = a fresh copy
    method: str = "regulated"  # ours, or one of catalogue.table
    method_settings: Mapping[str, Any] = field(default_factory=dict)  # of a method with its own
    burn_in: bool = False  # burn SYNTHETIC into the pixels
    png: bool = False  # also as plain PNG
    backbone: str = "cxr-mini"  # shipped name, diffusers folder, hub id or one safetensors file
    segmenter: str = "hybridgnet"
    reading: ReadOptions = ReadOptions()  # what the strict reader may let pass
    version: int = VERSION

    def __post_init__(self) -> None:
        if bool(self.prompt.strip()) == bool(self.findings):
            raise BadRequest(
                "A request needs words in 'prompt' or a list in 'findings', and not both.",
                hint='For example: --prompt "moderate left pleural effusion".',
            )
        self._check_levels()
        self._check_method()
        self.config()

    def choice(self) -> Choice:
        """The method and its settings; BadRequest for an unknown one or a wrong value."""
        values = dict(self.method_settings)
        row = row_of(self.method)
        if self.strength is not None and not row.by_preset:
            values["strength"] = self.strength
        return choose(self.method, values)

    def _check_method(self) -> None:
        """A dial that the method does not read would be a silent no-op."""
        row = self.choice().row
        for part, values in self.overrides.items():
            for key in values:
                if not row.reads(part, key):
                    raise BadRequest(
                        f"{part}.{key} means nothing to the method '{row.id}'.",
                        hint="Drop it. Settings of the method: cxr-cf info methods.",
                    )
        if self.levels and "results" in row.needs:
            raise BadRequest(f"'{row.id}' shows finished pictures; they have no levels.")
        if self.levels_by != "blend" and row.id != OURS:
            raise BadRequest(
                f"Levels of '{row.id}' cannot be sampled by {self.levels_by}.",
                hint="Blend them: --levels-by blend.",
            )

    def _check_levels(self) -> None:
        if self.levels_by not in LEVELS_BY:
            raise BadRequest(
                f"levels_by is {self.levels_by!r}.", hint=f"Choose one of: {', '.join(LEVELS_BY)}."
            )
        if self.levels_by != "blend" and not self.levels:
            raise BadRequest(
                f"levels_by is {self.levels_by}, and no level is named.",
                hint="Name some values from 0 to 1, e.g. --levels 0.25,0.5,1.",
            )

    def config(self, base: EditConfig | None = None) -> EditConfig:
        """The preset with the overrides and the strength applied; BadRequest if one is wrong.

        Its strength is the one that is run: whole steps of the schedule.

        Args:
            base: the preset as calibrated for a backbone; None = as published.
        """
        config = base or preset(self.preset)
        choice = self.choice()
        if not choice.row.by_preset:  # its own settings say how it samples
            share = {"start": {"strength": choice.settings.share}}
            return config.with_overrides({**self.overrides, **share})
        if "guidance_scale" in self.overrides.get("sampling", {}):  # said, so it rules
            config = config.with_overrides({"sampling": {"guidance_rms": 0.0}})
        config = config.with_overrides(self.overrides)
        if self.strength is not None:
            config = config.with_overrides({"start": {"strength": self.strength}})
        return config.as_run()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, without what stands at its default; 2 and 2.0 of a dial are the same."""
        plain = json.loads(json.dumps({**asdict(self), **self._numbers()}))
        keep = {
            f.name
            for f in fields(self)
            if getattr(self, f.name) != f.default or f.name == "version"
        }
        return {k: v for k, v in plain.items() if k in keep and v not in ([], {})}

    def _numbers(self) -> dict[str, Any]:
        """The fields that hold numbers, each of the type of its setting: doors differ in that."""
        parts, settings = EditConfig(), row_of(self.method).settings
        own = {key: checked(settings, key, v) for key, v in self.method_settings.items()}
        return {
            "method_settings": own,
            "strength": None if self.strength is None else float(self.strength),
            "levels": [float(level) for level in self.levels],
            "overrides": {
                part: {key: checked(getattr(parts, part), key, v) for key, v in values.items()}
                for part, values in self.overrides.items()
                if values
            },
        }

    def canonical_json(self) -> str:
        """The identity of the request: sorted keys, no white space, no paths, no further files."""
        identity = {k: v for k, v in self.as_dict().items() if k not in (*PATHS, *BESIDE)}
        own = {k: v for k, v in identity.pop("method_settings", {}).items() if k not in PATHS}
        identity |= {"method_settings": own} if own else {}
        return json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def hash(self) -> str:
        """sha256 of the canonical JSON."""
        return sha256(self.canonical_json().encode()).hexdigest()


@dataclass(frozen=True)
class OrganRequest:
    """What finding organs needs of a request; words are optional and name a region to show."""

    source: str
    prompt: str = ""
    findings: tuple[FindingEdit, ...] = ()
    masks: str | None = None
    roi: str | None = None
    segmenter: str = "hybridgnet"
    reading: ReadOptions = ReadOptions()


def schema() -> dict[str, Any]:
    """The JSON schema of a request."""
    text = (resources.files("monai_cxr_cf") / "schemas" / "request.schema.json").read_text(
        encoding="utf-8"
    )
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def from_json(data: Any) -> EditRequest:
    """An ``EditRequest`` from parsed JSON; BadRequest names the first thing that is wrong."""
    values = _typed(data, schema())
    for key in ("levels", "seeds"):
        values[key] = tuple(values.get(key, ()))
    return EditRequest(**values)


def organs_from_json(data: Any) -> OrganRequest:
    """An ``OrganRequest`` from parsed JSON: those fields of a request, no words needed."""
    whole = schema()
    known = [f.name for f in fields(OrganRequest)]
    part = {name: whole["properties"][name] for name in known}
    one = {"not": {"required": ["prompt", "findings"]}}  # words once or not at all
    return OrganRequest(**_typed(data, {**whole, "properties": part, "oneOf": [one]}))


def _typed(data: Any, rules: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of valid JSON as a request holds them; BadRequest names the first wrong one."""
    import jsonschema

    errors = sorted(
        jsonschema.Draft202012Validator(rules).iter_errors(data), key=lambda e: list(e.path)
    )
    if errors:
        where = ".".join(str(p) for p in errors[0].absolute_path) or "request"
        raise BadRequest(f"{where}: {errors[0].message}", hint="See request.schema.json.")
    values = dict(data)
    values["findings"] = tuple(_finding(item) for item in values.get("findings", ()))
    if "reading" in values:
        values["reading"] = ReadOptions(**values["reading"])
    return values


def _finding(item: Mapping[str, Any]) -> FindingEdit:
    span = item.get("span")
    return FindingEdit(**{**item, "span": tuple(span) if span else None})
