# SPDX-License-Identifier: Apache-2.0
"""Does a torchvision that lies beside this torch break what an edit needs? For the doctor.

The package never uses it, yet transformers, diffusers and torchmetrics import it wherever it is
found. One from another index than torch, or for another torch, takes CLIP down with it.
"""

import importlib
import importlib.util
from importlib import metadata

NAME = "torchvision"
# What an edit or a measure imports -> module and a name in it that pulls torchvision in.
USERS = {
    "CLIP": ("transformers", "CLIPTextModel"),
    "diffusers": ("diffusers", "UNet2DConditionModel"),
    "torchmetrics": ("torchmetrics", "Metric"),
}
CURE = (
    "Nothing here needs it: python -m pip uninstall torchvision, or install the build that belongs "
    "to torch {torch}, from the index that torch came from."
)


def look() -> tuple[bool, str, str]:
    """Whether all is well, what was found, and what to do."""
    if importlib.util.find_spec(NAME) is None:
        return True, "absent, as it should be", ""
    torch = _version("torch")
    found = [words for words in (_made_for(torch), _import_error()) if words]
    broken = broken_users()
    if broken:
        found.append(f"breaks {', '.join(broken)}")
    version = _version(NAME)
    if found:
        return False, f"{version}: {'; '.join(found)}", CURE.format(torch=torch)
    return True, f"{version}, present and whole; not used", ""


def broken_users() -> list[str]:
    """Who cannot be imported beside it; what is not installed cannot break."""
    broken = []
    for user, (module, name) in USERS.items():
        if importlib.util.find_spec(module) is None:
            continue
        try:
            getattr(importlib.import_module(module), name)
        except Exception:  # a broken library may raise anything; the doctor reports it
            broken.append(user)
    return broken


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown version"


def _made_for(torch: str) -> str:
    """The torch that its metadata asks for, if this is another; nothing is imported for it."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import InvalidVersion, Version

    try:
        wanted = [Requirement(line) for line in metadata.requires(NAME) or ()]
        here = Version(torch).public
    except (metadata.PackageNotFoundError, InvalidRequirement, InvalidVersion):
        return ""
    for each in wanted:
        asked = each.name == "torch" and (each.marker is None or each.marker.evaluate())
        if asked and not each.specifier.contains(here, prereleases=True):
            return f"made for torch{each.specifier}, beside torch {torch}"
    return ""


def _import_error() -> str:
    try:
        importlib.import_module(NAME)
    except Exception as error:  # as above
        first = (str(error).strip().splitlines() or ["no words"])[0]
        return f"its import ends in {type(error).__name__} ({first[:120]})"
    return ""
