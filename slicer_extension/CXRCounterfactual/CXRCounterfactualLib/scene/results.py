# SPDX-License-Identifier: Apache-2.0
"""A finished run in, its images, masks and change map in the source's study out.

The steps: docs/slicer.md 4.2.

The order matters: verify, import, images, grid and grey scale as the source, masks, change, and
last the record on the nodes. If any step refuses, the scene is left as it was.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..refused import Refused
from . import change_map, hierarchy, pictures, segments
from .history import MEMBER, Added, choice_of, write
from .loading import NOT_IMPORTED, Place, load_images, load_masks, verify

if TYPE_CHECKING:
    from ..contract.events import File, Result
    from .app_services import SlicerApp

GEOMETRY = "The result's own spacing differs from the radiograph's; the radiograph's was kept."
NO_FILE = "The radiograph is not in the DICOM database: the result was added to the scene only."
LONGEST_NAME = 80
SHOWN = ("cf", "seg", "arrays")


@dataclass(frozen=True)
class Story:
    """What the report of a run says, as far as the scene needs it."""

    words: str
    labels: tuple[str, ...]
    levels: tuple[float, ...]
    seeds: tuple[int, ...]
    choice: dict[str, Any]
    facts: dict[str, Any]

    def name(self, index: int) -> str:
        """Of a member's volume; long words are cut, a label is not."""
        tail = f" ({self.labels[index]})" if len(self.labels) > 1 else ""
        return f"SYNTHETIC {self.words[: LONGEST_NAME - len(tail)]}{tail}"


def add_results(
    scene: Any,
    app: "SlicerApp",
    source: Any,
    result: "Result",
    folder: str | Path,
    *,
    scene_only: bool = False,
) -> Added:
    """Bring a run into the scene, and unless ``scene_only`` into the DICOM database.

    Args:
        scene, app: the scene, and the calls into the application around it.
        source: the radiograph's volume node, which the run started from.
        result: the runner's last event.
        folder: the runner's output folder.
        scene_only: leave the database untouched.

    Raises:
        Refused: a file is damaged or missing, or does not lie on the radiograph's grid. The scene
            is then as it was; what was imported stays in the database.
    """
    images = [file for file in result.files if file.role == "cf"]
    verify([file for file in result.files if file.role in SHOWN])
    story = read_story(Path(folder) / result.report, len(images))
    place = Place(scene, app, source, in_database=False)
    place, notes = (place, ()) if scene_only else _import(place, folder, images)
    made: list[Any] = []
    try:
        told = _bring_images(place, images, story, made)
        masks, more = load_masks(place, result.files, f"Masks: {story.words}"[:LONGEST_NAME])
        made.append(masks)
        added = _added(story, result, source, (*notes, *told, *more))
        made.append(_change(place, made[added.main], added))
        return _recorded(scene, added, made)
    except Exception:
        for node in made:
            hierarchy.remove(scene, node)
        raise


def _import(
    place: Place, folder: str | Path, images: "Sequence[File]"
) -> tuple[Place, tuple[str, ...]]:
    """Import if the source came from there; a database that refuses costs a note, no result."""
    app = place.app
    known = [app.files_for_instance(uid) for uid in app.instance_uids(place.source)]
    if not known or not all(known):
        return place, (NO_FILE,)
    taken = app.importDicom(str(folder))
    if not taken or not all(app.files_for_instance(file.sop_uid) for file in images):
        return place, (NOT_IMPORTED,)
    return replace(place, in_database=True), ()


def _bring_images(
    place: Place, images: "Sequence[File]", story: Story, made: list[Any]
) -> tuple[str, ...]:
    """Add the members to ``made``, on the grid and in the grey scale of their source; notes."""
    for volume in load_images(place, images, [story.name(k) for k in range(len(images))]):
        made.append(volume)
    moved = [pictures.match_geometry(place.source, volume) for volume in made]
    for volume in made:
        pictures.match_polarity(place.source, volume)
    _match_windows(place, made)
    return (GEOMETRY,) if any(moved) else ()


def _match_windows(place: Place, volumes: Sequence[Any]) -> None:
    """Every member as the source is shown; the source's own window is mended first."""
    for uid in place.app.instance_uids(place.source):
        for path in place.app.files_for_instance(uid):
            pictures.mend_window(place.source, path)
    for volume in volumes:
        pictures.match_window(place.source, volume)


def _added(story: Story, result: "Result", source: Any, notes: tuple[str, ...]) -> Added:
    """The record of a run, as yet without its nodes."""
    return Added(
        run=uuid4().hex[:12],
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        words=story.words,
        labels=story.labels,
        levels=story.levels,
        seeds=story.seeds,
        source_id=str(source.GetID()),
        preview=next((str(file.path) for file in result.files if file.role == "preview"), ""),
        outside=int(result.metrics.get("outside_max_diff") or 0),
        verdict=str(result.verdict.get("verdict", "unproven")),
        verdict_words=str(result.verdict.get("words", "")),
        choice=story.choice,
        facts=story.facts,
        notes=notes,
    )


def _change(place: Place, shown: Any, added: Added) -> Any:
    name = f"SYNTHETIC change: {added.words}"[:LONGEST_NAME]
    volume = change_map.add_change(place.scene, place.source, shown, name)
    volume.SetAttribute(MEMBER, str(added.main))
    hierarchy.place_beside(place.scene, volume, place.source)
    return volume


def _recorded(scene: Any, added: Added, made: list[Any]) -> Added:
    # A source that the user moved by a transform: all that lies on it moves along.
    moved = scene.GetNodeByID(added.source_id).GetTransformNodeID()
    for node in made:
        node.SetAndObserveTransformNodeID(moved)
    *volumes, masks, change = (str(node.GetID()) for node in made)
    complete = replace(added, volume_ids=tuple(volumes), segmentation_id=masks, change_id=change)
    write(scene, complete)
    segments.hide_region(scene)
    return complete


def read_story(path: Path, count: int) -> Story:
    """What a ``report.json`` says of a run with ``count`` members.

    Raises:
        Refused: no such file, or it does not fit the images.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        story = _story(report)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused("The report of the run cannot be read.", "Run again.") from error
    if not count or len(story.labels) != count or len(story.levels) != count:
        raise Refused(
            f"The result holds {count} images, its report tells of {len(story.labels)}.",
            "Run again.",
        )
    return story


def _story(report: dict[str, Any]) -> Story:
    request, seeds = report["request"], report["seeds"]
    levels = request.get("levels") or [1.0]
    findings = (f"{each['direction']} {each['words']}" for each in report["findings"])
    return Story(
        words=", ".join(findings),
        labels=tuple(str(member["label"]) for member in report["metrics"]["members"]),
        levels=tuple(float(level) for _ in seeds for level in levels),
        seeds=tuple(int(seed) for seed in seeds for _ in levels),
        choice=choice_of(request, seeds),
        facts={
            "strength": report["strength"],
            "region": report["region"],
            "weights": {each["name"]: each["sha256"] for each in report["weights"]},
            "version": report["versions"]["monai_cxr_cf"],
        },
    )


def show_member(scene: Any, added: Added, index: int) -> str:
    """Let the change map show member ``index``; for the severity slider and the seed picker.

    Returns:
        The id of that member's volume, empty if it was removed; the map is left alone where any
        of the three nodes is gone.
    """
    needed = (added.volume_ids[index], added.source_id, added.change_id)
    volume, source, change = (_node(scene, identifier) for identifier in needed)
    complete = None not in (volume, source, change)
    if complete and change.GetAttribute(MEMBER) != str(index):
        change_map.show_change(change, source, volume)
        change.SetAttribute(MEMBER, str(index))
    return "" if volume is None else str(volume.GetID())


def _node(scene: Any, identifier: str) -> Any:
    """A node by its id; None for an empty one."""
    return scene.GetNodeByID(identifier) if identifier else None
