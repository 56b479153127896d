# SPDX-License-Identifier: Apache-2.0
"""Every editing method as a row: what it needs, what it costs, whose it is, what it can be told.

``methods.registry`` holds the function of each row; requests, ``cxr-cf info methods`` and the
evaluations read the rows. Costs are formulas in F, one forward of the loaded UNet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monai_cxr_cf.catalogue.row import ALL, CHANNELS, COMMON, Reference, Row, Unit, passes
from monai_cxr_cf.catalogue.settings import Inpaint, Settings
from monai_cxr_cf.errors import BadRequest

OURS = "regulated"
DIFFUSERS = {"commit": "0.42.1", "licence": "Apache-2.0"}
ROWS = (
    Row("regulated", "ours: laws on guidance, attention and start, as a preset says",
        Settings(), None, Reference("arXiv 2603.04130"), dials=(ALL,), region="guidance"),
    Row("sdedit", "plain image-to-image by the preset's solver, strength and guidance, no law",
        Settings(), None,
        Reference("arXiv 2108.01073", "huggingface/diffusers, Img2Img", **DIFFUSERS),
        region="none",
        dials=(*COMMON, "start.strength", "sampling.solver", "sampling.steps", "sampling.spacing",
               "sampling.guidance_scale")),
    Row("sd_inpaint", "noise in the region and the source pasted around it after every step; "
        "a UNet of 9 channels sees the source instead",
        Inpaint(),
        lambda s, u: passes(s.guidance) * s.executed + u.vae + u.encode * (u.kind == "inpaint"),
        Reference("arXiv 2112.10752", "huggingface/diffusers, Inpaint", **DIFFUSERS),
        kinds=("text", "inpaint")),
)  # fmt: skip
TABLE: Mapping[str, Row] = {row.id: row for row in ROWS}


def row_of(name: str) -> Row:
    """The row of a method; BadRequest lists the known ones."""
    if name not in TABLE:
        raise BadRequest(f"Unknown method '{name}'.", hint=f"Choose one of: {', '.join(TABLE)}.")
    return TABLE[name]


@dataclass(frozen=True)
class Choice:
    """A method, and the settings it is to have."""

    row: Row
    settings: Any


def choose(name: str, values: Mapping[str, Any] | None = None) -> Choice:
    """A method with some settings replaced; BadRequest if one is unknown or wrong."""
    row = row_of(name)
    for key in values or {}:
        if key not in row.settings.as_dict():
            known = ", ".join(row.settings.as_dict()) or "none"
            raise BadRequest(f"'{key}' is no setting of '{name}'.", hint=f"Its settings: {known}.")
    return Choice(row, row.settings.with_values(values or {}))


def as_dict(row: Row) -> dict[str, Any]:
    """A row as JSON: cost for SD v1.5 at the published settings, with a source prompt."""
    unit = Unit(kind=row.kinds[0])
    return {
        "about": row.about,
        "settings": row.settings.as_dict(),
        "f": None if row.cost is None else round(row.cost(row.settings, unit), 1),
        "channels": [CHANNELS[kind] for kind in row.kinds],
        "needs": list(row.needs),
        "region": row.region,
        "defects": list(row.defects),
        "reference": vars(row.reference),
    }
