# SPDX-License-Identifier: Apache-2.0
"""Flags of ``cxr-cf edit`` in, an ``EditRequest`` out; every dial of a preset has a flag.

The flags of the sampler's dials are generated from the metadata in ``presets``; a job file gives
the same fields, and a flag on the command line replaces what the file says.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands import methods
from monai_cxr_cf.commands.say import count
from monai_cxr_cf.dicom.reading.options import ORIENTATIONS, ReadOptions
from monai_cxr_cf.errors import BadRequest, UnreadableInput
from monai_cxr_cf.presets import PRESETS, SWITCHES, EditConfig
from monai_cxr_cf.request import LEVELS_BY, EditRequest, from_json
from monai_cxr_cf.runs.networks import CACHE_BYTES

UNSET: Any = argparse.SUPPRESS
READING = {  # what each permission of the reader is about
    "max_pixels": "pixels of an image",
    "max_bytes": "bytes of a file",
    "min_side": "pixels of the shorter side",
    "allow_body_part": "the header names another body part",
    "allow_lateral": "a lateral, oblique or decubitus view",
    "allow_burned_in": "text burned into the picture",
    "allow_synthetic": "a source that is marked synthetic",
    "allow_raster": "PNG or JPEG: without patient data",
    "ignore_voi": "use a grey scale of ours, not the file's (VOI)",
    "polarity": "what the stored values mean: mono1 high is black, mono2 high is white",
    "orientation": "where stored rows/columns run to, whatever the header says; L/F: upright",
}
CHOICES = {"polarity": ("mono1", "mono2"), "orientation": ORIENTATIONS}
OFF = {  # what a law's switch means
    "no-gate": "cells attend over organ borders (without Eq. 5)",
    "no-boost": "words of the finding are not amplified (without Eq. 6)",
    "no-correction": "the latent is not corrected (without Eq. 9)",
    "no-regional-prompt": "the prompt acts outside the region, too",
    "no-regional-guidance": "the whole picture is guided",
    "no-anatomy": "organ names act everywhere",
    "no-paste": "the source is not held outside the region while drawing",
    "no-composite": "the model's whole picture: pixels outside change, too",
    "no-bounds": "let greys leave this patient's range or move against the finding",
    "no-detail": "added density hides ribs, vessels and grain of the source",
    "no-crop": "draw the whole picture, not a window",
}
ABOUT_LAWS = "For experiments. docs/method.md 2 explains laws and dials, with the paper's symbols."
Flags = argparse.ArgumentParser
PLAIN = (
    *("prompt", "source_prompt", "negative_prompt", "masks", "roi", "sham"),
    *("strength", "levels", "levels_by", "seeds", "preset", "backbone", "segmenter"),
    *("iod", "uids", "burn_in", "png", "method"),
)


def _numbers(text: str) -> list[float]:
    return [float(item) for item in text.split(",")]


def _whole(text: str) -> list[int]:
    try:
        return [int(item) for item in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text[:40]}' is no list such as 1,2,3") from None


SWITCH: dict[str, Any] = {"action": "store_true"}
FINDING = {
    "action": "append",
    "metavar": "NAME[,KEY=VALUE...]",
    "help": 'instead of --prompt: "pleural effusion,side=left,severity=0.7,direction=add"',
}
REQUEST_FLAGS: dict[str, dict[str, dict[str, Any]]] = {
    "what to change": {
        "--prompt": {"metavar": "TEXT", "help": 'e.g. "moderate left pleural effusion"'},
        "--finding": FINDING,
        "--source-prompt": {"metavar": "TEXT", "help": "what the source shows, if known"},
        "--negative-prompt": {"metavar": "TEXT", "help": "what to avoid"},
        "--masks": {"metavar": "FILE", "help": "your organ masks: SEG, NRRD, NIfTI, PNG, JPEG"},
        "--roi": {"metavar": "FILE", "help": "your region instead of the one from words"},
        "--sham": {**SWITCH, "help": "control: the same edit without its words"},
    },
    "how much and how often": {
        "--strength": {"type": float, "help": "how much is drawn anew: 0 nothing, 1 all"},
        "--levels": {
            "type": _numbers,
            "metavar": "N,N",
            "help": "0..1 of the change, an image each",
        },
        "--levels-by": {"choices": list(LEVELS_BY), "help": "blend, or sample by guidance"},
        "--seeds|--seed": {"type": _whole, "metavar": "N,N", "help": "of chance, an image each"},
        "--preset": {"choices": list(PRESETS), "help": "named set of dials"},
        "--backbone": {
            "metavar": "MODEL",
            "help": "what draws: cxr-mini, a diffusers folder, a hub id or a .safetensors file",
        },
        "--segmenter": {"choices": ["hybridgnet", "unet"], "help": "network that finds organs"},
    },
    "who edits": methods.FLAGS,
    "how it is written": {
        "--iod": {"choices": ["sc", "same"], "help": "Secondary Capture, or the source's kind"},
        "--uids": {"choices": ["stable", "random"], "help": "repeatable, or new ones"},
        "--burn-in": {**SWITCH, "help": "draw SYNTHETIC into the pixels"},
        "--png": {**SWITCH, "help": "also as plain grey PNG, 8 or 16 bits"},
    },
}


def add_request_flags(parser: Flags) -> None:
    """What to change, in which picture, and how the result is written."""
    for title, flags in REQUEST_FLAGS.items():
        group = parser.add_argument_group(title)
        for flag, keywords in flags.items():
            group.add_argument(*flag.split("|"), default=UNSET, **keywords)


def add_reading_flags(parser: Flags) -> None:
    """What the strict reader may let pass."""
    group = parser.add_argument_group("what the reader may let pass")
    for field in fields(ReadOptions):
        flag = "--" + field.name.replace("_", "-")
        keywords: dict[str, Any] = {"dest": f"read.{field.name}", "default": UNSET}
        if isinstance(field.default, bool):
            keywords["action"] = "store_true"
        elif field.name in CHOICES:
            keywords["choices"] = list(CHOICES[field.name])
        else:
            keywords |= {"type": int, "metavar": "N"}
        limit = f" [{field.default}]" if type(field.default) is int else ""
        group.add_argument(flag, help=READING[field.name] + limit, **keywords)


def add_dial_flags(parser: Flags) -> None:
    """One switch a law, one flag a dial, and ``--set part.field=value``."""
    group = parser.add_argument_group("switch a law off", ABOUT_LAWS)
    for name, change in SWITCHES.items():
        ((law, values),) = change.items()
        ((key, value),) = values.items()
        about = f"{OFF[name]} [{law}.{key} = {json.dumps(value)}]"
        keywords: dict[str, Any] = {"action": "append_const", "const": name, "dest": "switches"}
        group.add_argument(f"--{name}", help=about, **keywords)
    group.add_argument(
        "--set",
        action="append",
        dest="settings",
        metavar="PART.FIELD=VALUE",
        help="any dial, e.g. --set boost.eta=2",
    )
    defaults = EditConfig()
    for part in fields(EditConfig):
        dials = getattr(defaults, part.name)
        text = (type(dials).__doc__ or "").splitlines()[0]
        group = parser.add_argument_group(f"dials: {part.name}", text)
        for field in fields(dials):
            _add_dial(group, part.name, field)


def _add_dial(group: Any, part: str, field: Any) -> None:
    flag, default = f"--{part}-{field.name.replace('_', '-')}", field.default
    choices = field.metadata["choices"]
    keywords: dict[str, Any] = {"dest": f"dial.{part}.{field.name}", "default": UNSET}
    about = field.metadata["help"].replace("%", "%%")
    if isinstance(default, bool):
        keywords["action"] = argparse.BooleanOptionalAction
    elif choices:
        keywords["choices"] = choices
    else:
        keywords["metavar"] = "N,N" if isinstance(default, tuple) else "N"
        keywords["type"] = {int: int, float: float, tuple: _whole}.get(type(default), str)
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    group.add_argument(flag, help=f"{about} [{default}]", **keywords)


def request_from(args: argparse.Namespace) -> EditRequest:
    """The request that the flags, on top of ``--request``, describe; BadRequest if it is wrong."""
    given = vars(args)
    data = _job(given.get("request"))
    data.update({key: given[key] for key in PLAIN if key in given})
    if given.get("source"):
        data["source"] = given["source"]
    if "finding" in given:
        data["findings"] = [_finding(text) for text in given["finding"]]
        if "prompt" not in given:
            data.pop("prompt", None)
    elif "prompt" in given:
        data.pop("findings", None)
    reading = {k.removeprefix("read."): v for k, v in given.items() if k.startswith("read.")}
    if reading:
        data["reading"] = {**data.get("reading", {}), **reading}
    if "method_set" in given:
        told = methods.settings_from(given["method_set"])
        data["method_settings"] = {**data.get("method_settings", {}), **told}
    if overrides := _overrides(given):
        merged = data.setdefault("overrides", {})
        for part, values in overrides.items():
            merged[part] = {**merged.get(part, {}), **values}
    _complete(data)
    return from_json(data)


def _job(path: str | None) -> dict[str, Any]:
    """The job file as a dictionary."""
    if path is None:
        return {}
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableInput(f"The request file cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise BadRequest("The request file is not JSON.", hint=f"{error}.") from error
    if not isinstance(data, dict):
        raise BadRequest("The request file holds no JSON object.", hint="See docs/usage.md.")
    return data


def _complete(data: dict[str, Any]) -> None:
    """Say plainly what is missing before the schema says it formally."""
    if not data.get("source"):
        raise BadRequest("No source is named.", hint="Give a DICOM file: cxr-cf edit FILE ...")
    if bool(data.get("prompt")) == bool(data.get("findings")):
        raise BadRequest(
            "An edit needs either --prompt or --finding, and not both.",
            hint='For example: --prompt "moderate left pleural effusion".',
        )


def _finding(text: str) -> dict[str, Any]:
    """``NAME,key=value,...`` as a finding of the request."""
    name, *pairs = (item.strip() for item in text.split(","))
    found: dict[str, Any] = {"finding": name}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            raise BadRequest(f"'{pair}' in --finding is no KEY=VALUE.", hint="E.g. side=left.")
        found[key.strip()] = methods.value_of(value.strip())
    return found


def _overrides(given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Switches, dials and --set together; the same dial twice with two values is refused."""
    merged: dict[str, dict[str, Any]] = {}
    for part, key, value in _dials(given):
        values = merged.setdefault(part, {})
        if key in values and values[key] != value:
            raise BadRequest(
                f"{part}.{key} is asked to be {values[key]!r} and {value!r}.", hint="Drop one flag."
            )
        values[key] = value
    return merged


def overrides_from(settings: list[str]) -> dict[str, dict[str, Any]]:
    """What ``--set PART.FIELD=VALUE`` says, tried on a configuration; BadRequest if wrong."""
    found = _overrides({"settings": settings})
    PRESETS["default"].with_overrides(found)
    return found


def _dials(given: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for name in given.get("switches") or ():
        ((part, values),) = SWITCHES[name].items()
        yield from ((part, key, value) for key, value in values.items())
    for name, value in given.items():
        if name.startswith("dial."):
            _, part, key = name.split(".")
            yield part, key, value
    for text in given.get("settings") or ():
        path, sign, value = text.partition("=")
        part, dot, key = path.strip().partition(".")
        if not (sign and dot):
            raise BadRequest(f"--set {text} is not PART.FIELD=VALUE.", hint="E.g. boost.eta=2.")
        # The levels of the energy are text ("0,1,2"), so a bare number there stays text.
        text_field = (part, key) == ("energy", "levels")
        yield part, key, value.strip() if text_field else methods.value_of(value.strip())


def add_cache_flags(parser: Flags) -> None:
    """Where to keep what edits of one source share."""
    group = parser.add_argument_group("what is kept for the next edit of the same source")
    group.add_argument("--cache", type=Path, metavar="DIR", help="keep it in this folder [nowhere]")
    group.add_argument("--cache-mb", type=count, default=CACHE_BYTES // 10**6, metavar="N",
                       help=f"at most so much [{CACHE_BYTES // 10**6}]")  # fmt: skip


def cache_from(args: argparse.Namespace) -> dict[str, Any]:
    """The cache flags as ``Networks`` takes them."""
    return {"cache": args.cache, "cache_bytes": args.cache_mb * 10**6}


def reading_from(args: argparse.Namespace) -> ReadOptions:
    """The reader's options from the reading flags."""
    given = vars(args).items()
    return ReadOptions(**{k.removeprefix("read."): v for k, v in given if k.startswith("read.")})
