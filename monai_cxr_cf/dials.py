# SPDX-License-Identifier: Apache-2.0
"""One dial of a configuration: its default, its meaning, what it may be; and whether a value is.

``presets`` declares the dials; requests, the command line and the bundle check values here.
"""

from dataclasses import field, fields
from typing import Any

from monai_cxr_cf.errors import BadRequest

Range = tuple[float, float]
Levels = tuple[int, ...]


def dial(
    default: Any, text: str, *, span: Range | None = None, choices: tuple[str, ...] = ()
) -> Any:
    """One configuration field: its default, what it does, and what it may be."""
    return field(default=default, metadata={"help": text, "range": span, "choices": choices})


def checked(part: Any, key: str, value: Any) -> Any:
    """``value`` as field ``key`` of ``part`` wants it; BadRequest names range or choices."""
    known: dict[str, Any] = {f.name: f for f in fields(part)}
    label = f"{type(part).__name__.lower()}.{key}"
    if key not in known:
        raise BadRequest(f"Unknown setting '{label}'.", hint=f"Settings: {', '.join(known)}.")
    default, meta = known[key].default, known[key].metadata
    if isinstance(default, tuple):
        return _levels(label, value)
    if isinstance(default, bool) or isinstance(value, bool):
        if not (isinstance(default, bool) and isinstance(value, bool)):
            raise BadRequest(f"{label} is {value!r}; expected {type(default).__name__}.")
        return value
    if isinstance(default, str):
        if not isinstance(value, str) or (meta["choices"] and value not in meta["choices"]):
            raise BadRequest(
                f"{label} is {value!r}.", hint=f"Choose one of: {', '.join(meta['choices'])}."
            )
        return value
    return _number(label, default, value, meta["range"])


def _number(label: str, default: float, value: Any, span: Range) -> float:
    whole = isinstance(default, int)
    if not isinstance(value, int | float) or (whole and value != int(value)):
        raise BadRequest(f"{label} is {value!r}; expected {'a whole' if whole else 'a'} number.")
    if not span[0] <= value <= span[1]:  # also refuses NaN
        raise BadRequest(f"{label} is {value}; allowed is {span[0]} to {span[1]}.")
    return int(value) if whole else float(value)


def _levels(label: str, value: Any) -> Levels:
    items = [value] if isinstance(value, int) else value
    if not isinstance(items, list | tuple) or not all(
        isinstance(v, int) and 0 <= v <= 3 for v in items
    ):
        raise BadRequest(f"{label} is {value!r}; expected levels from 0 (finest) to 3 (mid block).")
    return tuple(dict.fromkeys(items))
