# SPDX-License-Identifier: Apache-2.0
"""What the transforms leave for each other in one item, and how a DataLoader batches it.

Beside the image under ``key`` an item holds ``request`` and the results of the steps under
``key_radiograph``, ``key_scene`` and so on. A ``Radiograph`` and an ``EditRequest`` pass through
collate and decollate as they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data._utils.collate import default_collate_fn_map

from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.request import EditRequest, from_json

Item = dict[str, Any]
Fields = Mapping[str, Any] | EditRequest
REQUEST = "request"
# What a step leaves under key_NAME -> the transform that makes it.
MAKERS = {
    "radiograph": "LoadCXRDicomd",
    "scene": "SegmentOrgansd",
    "case": "RegionFromRequestd",
    "samples": "EditCounterfactuald",
    "run": "CompositeNatived",
}
LISTS = ("levels", "seeds")
TEXTS = ("prompt", "source_prompt", "negative_prompt")  # whose words stay words
WORDS = {"true": True, "false": False}


def need(item: Mapping[str, Any], key: str, name: str) -> Any:
    """What an earlier transform left under ``key_name``; BadRequest names the missing transform."""
    found = item.get(f"{key}_{name}")
    if found is None:
        raise BadRequest(
            f"The item holds no '{key}_{name}'.",
            hint=f"Put {MAKERS[name]}(keys='{key}') before this transform.",
        )
    return found


def request_of(item: Item, key: str, given: Fields | None) -> EditRequest:
    """The item's own request, else ``given``; kept in the item for the next transform.

    Raises:
        BadRequest: neither is there, or one is wrong.
    """
    found = item.get(REQUEST, given)
    if found is None:
        raise BadRequest(
            "The item holds no 'request', and none was given to the transform.",
            hint="Give request={'prompt': 'moderate left pleural effusion'}.",
        )
    if not isinstance(found, EditRequest):
        found = from_json({"source": str(_source(item, key)), **cleaned(found)})
    item[REQUEST] = found
    return found


def _source(item: Mapping[str, Any], key: str) -> Any:
    """The path the image came from, as LoadCXRDicomd noted it."""
    return getattr(item.get(key), "meta", {}).get("filename_or_obj") or "image"


def cleaned(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request as a bundle's configuration gives them, made fit for ``from_json``.

    Empty fields and parts count as not given. A command line turns ``edema, effusion`` into a
    tuple, ``--request#seeds 3`` into a number and hands on ``false`` as text; all are set right.
    """
    found = {key: value if key in TEXTS else _plain(value) for key, value in fields.items()}
    if isinstance(found.get("prompt"), list | tuple):
        found["prompt"] = ", ".join(map(str, found["prompt"]))
    for name in LISTS:
        if isinstance(found.get(name), int | float):
            found[name] = [found[name]]
    if isinstance(found.get("overrides"), dict):
        found["overrides"] = {part: dials for part, dials in found["overrides"].items() if dials}
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, str):
        return WORDS.get(value.casefold(), value)
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def switch(name: str, value: Any) -> bool:
    """A switch as a configuration or a command line gives it: True, "false", 1 or nothing.

    Raises:
        BadRequest: any other value; "no" is not taken for anything.
    """
    if value is None or value == "":
        return False
    found = WORDS.get(value.casefold()) if isinstance(value, str) else value
    if found not in (True, False):
        raise BadRequest(f"{name} is {value!r}; expected true or false.")
    return bool(found)


def _boxes(
    batch: Sequence[Any], *, collate_fn_map: Mapping[Any, Any] | None = None
) -> list[NDArray[Any]]:
    """One 0-d array of objects each: MONAI's decollate gives back what a 0-d array holds.

    The bare objects would not do: decollate refuses a Radiograph, and takes a pydicom Dataset,
    which can be iterated, apart into elements.
    """
    found = []
    for value in batch:
        box = np.empty((), dtype=object)
        box[()] = value
        found.append(box)
    return found


# The extension point that torch documents for types of one's own; MONAI adds MetaTensor here.
default_collate_fn_map.update({Radiograph: _boxes, EditRequest: _boxes})
