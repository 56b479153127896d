# SPDX-License-Identifier: Apache-2.0
"""The cells of a manifest's row in, one checked row out; names of columns say what is what.

``path`` is the radiograph; or ``pacs``, ``study``, ``series`` and ``instance`` name it in a
DICOMweb store. Any field of ``request.schema.json`` may be a column under its own name, its parts
with dots (``reading.allow_raster``, ``overrides.boost.eta``). ``finding``, ``side``, ``zone``,
``severity`` and ``direction`` stand for one entry of ``findings``. ``id``, ``patient`` and
``group`` are kept beside it, and so is every further column.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from monai_cxr_cf.data.csv_text import filled
from monai_cxr_cf.dicom.store.remote import check_uids, check_url
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.request import EditRequest, from_json, schema
from monai_cxr_cf.runs.result import refuse_words

ELSEWHERE = ("pacs", "study", "series", "instance")  # a DICOMweb store's root URL, and what in it
OWN = ("id", "path", "patient", "group", *ELSEWHERE)
FINDING = ("finding", "side", "zone", "severity", "direction")
PLACES = ("masks", "roi")  # further files of a row
LONGEST_ID = 200
FLAG = re.compile(r"--([a-z]+(?:-[a-z]+)*)")
SEEDS = 2**63
LIKE = 0.85  # how alike an unknown column and a field must be to be taken for a slip


@dataclass(frozen=True)
class Row:
    """One edit to be made."""

    number: int  # in the manifest, from 1
    id: str
    path: str  # absolute, or an address in a DICOMweb store
    given: str  # the path as the manifest has it
    request: Mapping[str, Any]  # fields of request.schema.json but ``source``
    patient: str = ""
    group: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)  # further columns, as they are

    @property
    def digest(self) -> str:
        """16 hex digits over everything but number and folder."""
        told = [self.id, self.given, self.request, self.patient, self.group, self.more]
        return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def edit(self) -> EditRequest:
        """The request of this row."""
        return from_json({**self.request, "source": self.path})

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(vars(self), ensure_ascii=False, separators=(",", ":"))


def row_of(line: str | bytes) -> Row:
    """A row back from its line."""
    return Row(**json.loads(line))


@cache
def fields() -> Mapping[str, Mapping[str, Any]]:
    """The fields of a request that a row may hold, with their rules."""
    known: dict[str, dict[str, Any]] = schema()["properties"]
    return {name: rule for name, rule in known.items() if name != "source"}


def check_columns(names: Iterable[str]) -> None:
    """BadRequest for a column that is most likely a misspelt field, or that is not read here."""
    known = (*OWN, *FINDING, *fields())
    for name in names:
        if name in known or "." in name:
            continue
        close = difflib.get_close_matches(name.casefold(), known, 1, LIKE)
        if close:
            raise BadRequest(
                f"The column '{name}' is no field, but nearly '{close[0]}'.",
                hint=f"Call it {close[0]}, or another name if it is to be passed through.",
            )


def read_row(number: int, cells: Mapping[str, Any], base: Path, common: Mapping[str, Any]) -> Row:
    """The row that the cells describe; BadRequest with one sentence if they describe none.

    Args:
        number: in the manifest, from 1.
        cells: by column, as text or as JSON values.
        base: what a relative path is relative to.
        common: fields of a request that a row has unless it says otherwise.
    """
    request, more = _sorted(cells)
    for name, value in common.items():
        other = {"prompt": "findings", "findings": "prompt"}.get(name)
        if name not in request and other not in request:
            request[name] = value
    path = _source(cells)
    for name in PLACES:
        if name in request:
            request[name] = str(_placed(base, request[name]))
    checked(json.dumps({**request, **_like(request)}, sort_keys=True))
    place = path if is_remote(path) else str(_placed(base, path))
    if not is_remote(path) and not Path(place).exists():
        raise BadRequest("The file of 'path' is not there.")
    name, patient, group = (str(cells.get(n, "")).strip() for n in ("id", "patient", "group"))
    return _named(Row(number, name, place, path, request, patient, group, more))


def is_remote(path: str) -> bool:
    """Whether a source lies in a DICOMweb store."""
    return path.startswith(("http://", "https://"))


def _source(cells: Mapping[str, Any]) -> str:
    """What the row says of its source: a path as it is given, or an address."""
    told = {name: str(cells.get(name) or "").strip() for name in ("path", *ELSEWHERE)}
    path, *where = told.values()
    if bool(path) == any(where):
        raise BadRequest("It names no file in 'path'." if not path else
                         "It has both 'path' and a place in a store; expected one.")  # fmt: skip
    if path:
        if is_remote(path):
            raise BadRequest("Its 'path' is an address; expected a file.",
                             hint="Columns pacs, study, series and instance name a source "
                             "in a DICOMweb store.")  # fmt: skip
        return path
    if not all(where):
        raise BadRequest(f"It lacks {', '.join(n for n in ELSEWHERE if not told[n])}.")
    check_uids(*where[1:])
    study, series, instance = where[1:]
    return f"{check_url(where[0])}/studies/{study}/series/{series}/instances/{instance}"


def request_of(cells: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request among some cells."""
    return _sorted(cells)[0]


def in_fields(words: str) -> str:
    """A sentence about ``cxr-cf edit`` with its reading flags as fields of a manifest."""

    def field(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        rule = fields()["reading"]["properties"].get(name)
        if rule is None:
            return found[0]
        return f"reading.{name}={'true' if rule.get('type') == 'boolean' else 'VALUE'}"

    return FLAG.sub(field, words)


@lru_cache(maxsize=4096)
def checked(request: str) -> None:
    """BadRequest if the fields (JSON) are no request; equal ones are looked at once."""
    told = json.loads(request)
    if not told.get("prompt") and not told.get("findings"):
        raise BadRequest("It says nothing in 'prompt', 'finding' or 'findings'; expected one.")
    if told.get("prompt") and told.get("findings"):
        raise BadRequest("It has both 'prompt' and 'findings'; expected one.")
    asked = from_json({**told, "source": "x"})
    refuse_words(asked)
    if asked.uids == "random":
        raise BadRequest("uids is 'random'; a batch needs 'stable', or a row is never the same.")


def _like(request: Mapping[str, Any]) -> dict[str, Any]:
    """Seeds that are as good as those of a request: rows that differ in them are looked at once."""
    seeds = request.get("seeds")
    if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds):
        return {}
    return {"seeds": [0] * len(seeds)} if not seeds or 0 <= min(seeds) <= max(seeds) < SEEDS else {}


def _named(row: Row) -> Row:
    """With an identifier, made from its content if it has none."""
    if not row.id:
        return Row(**{**vars(row), "id": row.digest})
    if len(row.id) > LONGEST_ID or not row.id.isprintable():
        raise BadRequest(f"Its 'id' is longer than {LONGEST_ID} characters or not printable.")
    return row


def _placed(base: Path, path: str) -> Path:
    """Absolute, without following links."""
    return Path(base, Path(path).expanduser()).absolute()


def _sorted(cells: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of the request, and further columns."""
    request: dict[str, Any] = {}
    finding: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for name, value in cells.items():
        if name in OWN:
            continue
        if name in FINDING:
            _put(finding, name, _value(name, value, "number" if name == "severity" else "string"))
        elif name in fields():
            _put(request, name, _value(name, value, fields()[name].get("type", "string")))
        elif name.partition(".")[0] in ("reading", "overrides"):
            _deep(request, name.split("."), _loose(value))
        elif value not in ("", None):
            more[name] = value
    if finding:
        if "finding" not in finding:
            raise BadRequest(f"It has {' and '.join(finding)} without a 'finding'.")
        if "findings" in request:
            raise BadRequest("It has both 'finding' and 'findings'; expected one.")
        request["findings"] = [finding]
    return request, more


def _put(into: dict[str, Any], name: str, value: Any) -> None:
    if value is not None:
        into[name] = value


def _deep(into: dict[str, Any], names: list[str], value: Any) -> None:
    """``value`` under a path of names; empty cells leave nothing behind."""
    if value is None:
        return
    for name in names[:-1]:
        into = into.setdefault(name, {})
    into[names[-1]] = value


def _value(name: str, value: Any, kind: str | list[str]) -> Any:
    """A cell as its field wants it; None for an empty one."""
    kinds = [kind] if isinstance(kind, str) else kind
    if not isinstance(value, str):
        return value
    if "string" in kinds:
        return value.strip() or None
    text = filled(value)
    if not text:
        return None
    if "array" in kinds and not text.startswith("["):
        text = f"[{text.replace(';', ',').replace('|', ',')}]"
    try:
        return json.loads(text.lower() if "boolean" in kinds else text)
    except ValueError:
        wanted = " or ".join(each for each in kinds if each != "null")
        raise BadRequest(f"{name} is '{value[:40]}'; expected a JSON {wanted}.") from None


def _loose(value: Any) -> Any:
    """A cell of a part: JSON if it is some, else text."""
    if not isinstance(value, str):
        return value
    text = filled(value)
    if not text:
        return None
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except ValueError:
        return text
