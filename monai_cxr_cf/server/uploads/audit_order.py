# SPDX-License-Identifier: Apache-2.0
"""The words of a caller -> a checked audit: no path and no code, a classifier by its name."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monai_cxr_cf.audit.plan import ARMS, LEVELS, Edits, asked_from
from monai_cxr_cf.batch.rows.manifest import file_sha256
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.server.settings import JUDGES, Settings
from monai_cxr_cf.server.uploads.intake import edit_request

START = token_hex(8)
Text = Annotated[str, Field(max_length=300)]


class AuditOrder(BaseModel):
    """What is asked; fields as the flags of ``cxr-cf audit``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Text
    findings: list[Text] = Field(min_length=1, max_length=8)
    levels: list[float] = Field(list(LEVELS), max_length=8)
    margin: float = Field(0.05, gt=0, lt=1)
    seed: int = Field(0, ge=0, lt=2**31)
    preset: Text = "fast"
    backbone: Text | None = None


def audit_request(data: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The canonical form of a request; BadRequest names the first thing that is wrong."""
    try:
        order = AuditOrder.model_validate(dict(data)).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:80]
        raise BadRequest(f"{where}: {first['msg']}.", hint="See /v1/capabilities.") from None
    known = settings.classifiers()
    if order["model"] not in known:
        raise BadRequest(
            "This server offers no classifier of that name.", hint=f"One of: {', '.join(known)}."
        )
    edits_of(order)
    one = {"prompt": order["findings"][0], "preset": order["preset"]}
    one |= {"backbone": order["backbone"] or settings.backbone}
    return order | {"backbone": edit_request(one, settings)["backbone"]}


def edits_of(request: Mapping[str, Any]) -> Edits:
    """What is asked of every radiograph; BadRequest for words that are no finding."""
    asked = asked_from(request["findings"])
    return Edits(asked, tuple(request["levels"]), seed=request["seed"])


def classifier_digest(spec: str, declared: str | None) -> str:
    """Of what the operator offers under a name: a job of another classifier is another job.

    What lies in no file (a module, an address) is another one after every start.
    """
    told = [spec]
    for name in (spec, spec.rpartition(":")[0], declared or ""):
        files = [Path(name)] if Path(name).is_file() else sorted(Path(name or "-").rglob("*"))
        told += [file_sha256(file) for file in files if file.is_file()]
    if len(told) == 1 + (declared is not None) and spec not in JUDGES:
        told.append(START)
    return sha256(" ".join(told).encode()).hexdigest()


def check_amount(request: Mapping[str, Any], radiographs: int, most: int) -> None:
    """BadRequest for an audit of too many edits."""
    count = radiographs * len(edits_of(request).asked) * len(ARMS)
    if count > most:
        words = f"Radiographs times findings, with shams, are {count} edits; the limit is {most}."
        raise BadRequest(words, code="too_many_members", hint="Ask in several jobs.")
