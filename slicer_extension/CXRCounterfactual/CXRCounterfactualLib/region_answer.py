# SPDX-License-Identifier: Apache-2.0
"""The runner's answer to "which region?": an outline on the radiograph, or why there is none."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import mask_files, segments
from .refused import Refused

if TYPE_CHECKING:
    from .watching import End


def outlined(scene: Any, end: "End", source: Any, folder: Path) -> str:
    """Outline the region that an edit would act in; what to say of it.

    Args:
        scene: the radiograph's.
        end: of ``commands.region_command``.
        source: the radiograph's volume node.
        folder: what the command wrote into.
    """
    files = [f for f in (end.document or {}).get("files", ()) if f.get("role") == "seg"]
    if end.exit_code != 0 or not files:
        return _why(end)
    try:
        masks = mask_files.masks_of_seg(folder / Path(str(files[0]["path"])).name)
        segments.show_region(scene, source, masks["edit_region"])
    except Refused as refused:
        return refused.message
    except KeyError:
        return "It has no pixels."
    area = int(masks["edit_region"].sum())
    return f"Outlined: {area} pixels may change, and a soft rim."


def _why(end: "End") -> str:
    """Why there is no region, in the runner's own words if it said any."""
    if end.exit_code is None:
        return "The runner could not be started. Check it in the section on where it runs."
    told = (end.document or {}).get("error")
    if isinstance(told, dict):
        return f"{told.get('message', '')} {told.get('hint', '')}".strip()
    return f"The region was not found (exit code {end.exit_code}). Check the runner."
