# SPDX-License-Identifier: Apache-2.0
"""The words of a caller -> a checked request: no paths, known backbone, within the limits."""

import json
from collections.abc import Mapping
from typing import Any

from monai_cxr_cf.catalogue.row import FOLDERS
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.request import EditRequest, from_json, organs_from_json
from monai_cxr_cf.runs.result import refuse_words
from monai_cxr_cf.server.settings import Settings

SEGMENT_KEYS = ("prompt", "findings", "segmenter", "reading")
PLACE = {"source": "source"}  # stands for the upload where the schema wants a path


def parse(text: str) -> dict[str, Any]:
    """A JSON object from a form field; BadRequest if it is none."""
    try:
        data = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest("'request' is not JSON.", hint="See /docs for an example.") from error
    if not isinstance(data, dict):
        raise BadRequest("'request' is no JSON object.", hint="See /docs for an example.")
    return data


def edit_request(data: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The canonical form of an edit's request, its backbone by published name.

    Args:
        data: as in ``request.schema.json``, without ``source``, ``masks`` and ``roi``: these are
            uploads.
        settings: names the backbones and the limits.

    Raises:
        BadRequest: names the first thing that is wrong.
    """
    _refuse_paths(data)
    name = data.get("backbone", settings.backbone)
    if name not in settings.backbones:
        offered = ", ".join(settings.backbones)
        raise BadRequest("The backbone is not offered by this server.", hint=f"One of: {offered}.")
    request = from_json({**data, **PLACE, "backbone": name})
    if FOLDERS & set(request.choice().row.needs):
        raise BadRequest(
            f"The method '{request.method}' reads a folder; this server opens no path of a caller.",
            code="path_refused",
            hint="Run it on your own machine: cxr-cf edit.",
        )
    refuse_words(request)
    _check_limits(request, settings)
    plain = {**request.as_dict(), "backbone": name}
    del plain["source"]
    return plain


def segment_request(data: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The same for a job that only finds organs, and the region of words if there are any.

    Raises:
        BadRequest: a key that means nothing here, or as ``edit_request``.
    """
    unknown = sorted(set(data) - set(SEGMENT_KEYS))
    if unknown:
        raise BadRequest(f"Unknown keys: {', '.join(unknown)[:200]}.",
                         hint=f"Known: {', '.join(SEGMENT_KEYS)}.")  # fmt: skip
    request = organs_from_json({**data, **PLACE})
    refuse_words(request)
    _check_reading(request.reading, settings)
    return {key: data[key] for key in SEGMENT_KEYS if key in data}


def _refuse_paths(data: Mapping[str, Any]) -> None:
    given = [key for key in ("source", "masks", "roi") if data.get(key) is not None]
    if given:
        raise BadRequest(
            f"'{given[0]}' names a path; this server opens no path of a caller.",
            code="path_refused",
            hint="Upload the file: the fields are dicom, masks and roi.",
        )


def _check_limits(request: EditRequest, settings: Settings) -> None:
    limits = settings.limits
    members = max(len(request.seeds), 1) * max(len(request.levels), 1)
    if members > limits.members:
        raise BadRequest(
            f"Seeds times levels is {members}; the limit is {limits.members}.",
            code="too_many_members",
            hint="Ask for fewer, or in several jobs.",
        )
    _check_reading(request.reading, settings)


def _check_reading(reading: ReadOptions, settings: Settings) -> None:
    limits, usual = settings.limits, ReadOptions()
    for name, most in (("max_pixels", limits.max_pixels), ("max_bytes", limits.upload_bytes)):
        value = getattr(reading, name)
        if value > max(most, getattr(usual, name) if value == getattr(usual, name) else 0):
            raise BadRequest(f"reading.{name} is {value}; this server allows {most}.", code="limit")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
