# SPDX-License-Identifier: Apache-2.0
"""Composited edit in, DICOM files and report out: the writers of ``runs.outputs`` as transforms.

Written one after the other into one hidden folder, which takes its place when the ``last`` one is
done: the output appears whole or not at all.
"""

import json
import sys
from collections.abc import Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms.transform import MapTransform
from numpy.typing import NDArray

from monai_cxr_cf import __version__
from monai_cxr_cf.dicom.record import RunRecord, Weights, WrittenFile
from monai_cxr_cf.dicom.writing.plan import plan_output
from monai_cxr_cf.dicom.writing.seg import write_segmentation
from monai_cxr_cf.runs import outputs
from monai_cxr_cf.runs.atomic import staged
from monai_cxr_cf.transforms.items import Item, need, switch


@dataclass
class _Open:
    """A folder that is being filled."""

    stack: ExitStack
    folder: Path  # hidden, beside ``out``
    out: Path


class _Writer(MapTransform):
    """What the three writers share: where they write, and who is the last.

    Args:
        keys: keys of pictures that ``CompositeNatived`` has seen.
        output_dir: folder to make; None takes the item's ``output``.
        overwrite: replace a folder that holds files.
        last: no other writer follows, so the folder takes its place.
        allow_missing_keys: skip an absent key.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | Path | None = None,
        overwrite: bool | str = False,
        last: bool | str = True,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = output_dir
        self.overwrite = switch("overwrite", overwrite)
        self.last = switch("last", last)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with ``key_files``: what was written for each key, with final paths."""
        item: Item = dict(data)  # type: ignore[arg-type]
        for key in self.key_iterator(item):
            with self._folder(item, str(key)) as place:
                written = self._write(item, str(key), place.folder)
            final = tuple(
                replace(file, path=place.out / file.path.relative_to(place.folder))
                for file in written
            )
            item[f"{key}_files"] = (*item.get(f"{key}_files", ()), *final)
        return item  # type: ignore[return-value]

    def _write(self, item: Item, key: str, folder: Path) -> list[WrittenFile]:
        """Write into ``folder``; returns what was added."""
        raise NotImplementedError

    @contextmanager
    def _folder(self, item: Item, key: str) -> Iterator[_Open]:
        """The folder an earlier writer left open, or a new one; gone if this writer fails."""
        place: _Open | None = item.pop(f"{key}_open", None)
        if place is None:
            out = Path(self.output_dir or item.get("output") or "out").expanduser().absolute()
            stack = ExitStack()
            place = _Open(stack, stack.enter_context(staged(out, overwrite=self.overwrite)), out)
        try:
            yield place
        except BaseException:
            place.stack.__exit__(*sys.exc_info())
            raise
        if self.last:
            place.stack.close()
        else:
            item[f"{key}_open"] = place


class WriteCounterfactuald(_Writer):
    """The counterfactual series, marked synthetic: ``cf/0001.dcm`` and on."""

    def _write(self, item: Item, key: str, folder: Path) -> list[WrittenFile]:
        writing = _writing(item, key)
        before = len(writing.files)
        outputs.write_images(writing, folder)
        return writing.files[before:]


class WriteSegmentationd(_Writer):
    """Organs, region and band as DICOM SEG: ``seg.dcm`` (docs/dicom-conformance.md 4.4).

    Needs no edit: after ``SegmentOrgansd`` it writes the organs, after ``RegionFromRequestd``
    region and band as well.
    """

    def _write(self, item: Item, key: str, folder: Path) -> list[WrittenFile]:
        if f"{key}_run" not in item:
            return [_masks_alone(item, key, folder)]
        writing = _writing(item, key)
        outputs.write_masks(writing, folder)
        return writing.files[-1:]


class WriteReportd(_Writer):
    """What was asked, done and measured: ``diff/``, ``sr.dcm``, two pictures, ``report.json``.

    The report lists the files of the writers before it, so it comes last. Leaves the ``Outcome``
    with metrics and verdict under ``key_outcome``.
    """

    def _write(self, item: Item, key: str, folder: Path) -> list[WrittenFile]:
        writing = _writing(item, key)
        before = len(writing.files)
        item[f"{key}_outcome"] = outputs.write_records(writing, folder, arrays=False)
        return writing.files[before:]


def _writing(item: Item, key: str) -> outputs.Writing:
    """The judged run, made by the first writer and kept for the next."""
    if f"{key}_writing" not in item:
        run = need(item, key, "run")
        with run.stages("write"):
            item[f"{key}_writing"] = outputs.prepare(run, item[f"{key}_pictures"])
    found: outputs.Writing = item[f"{key}_writing"]
    return found


def _masks_alone(item: Item, key: str, folder: Path) -> WrittenFile:
    radiograph, scene = need(item, key, "radiograph"), need(item, key, "scene")
    masks: dict[str, NDArray[np.bool_]] = scene.organs.as_dict()
    if (case := item.get(f"{key}_case")) is not None:
        masks |= {"edit_region": case.region, "edit_band": case.band}
    facts = item[f"{key}_masks"]
    record = RunRecord(
        request_json=json.dumps({"segmenter": facts["segmenter"], "masks": sorted(masks)}),
        seeds=(),
        findings=(),
        region="",
        strength=0.0,
        weights=(Weights("segmenter", facts["segmenter"], facts["sha256"], facts["licence"]),),
        code_version=__version__,
        masks=facts,
    )
    plan = plan_output(radiograph.as_stored(), (), record=record)
    back = radiograph.turn.undo  # outputs lie as the source's own pixels do
    return write_segmentation(plan, {name: back(mask) for name, mask in masks.items()}, folder)
