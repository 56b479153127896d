# SPDX-License-Identifier: Apache-2.0
"""Results of earlier edits, kept for the next one: bounded, in memory and, if asked, in a folder.

An entry is named by a digest over all that it depends on (``diffusion.model.recall``), so that
what is kept needs no rules of its own: another image, mask, seed, step, precision or weight is
another name. An edit writes the same bytes whether its parts were made or recalled.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from threading import Lock

import numpy as np

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.segment import Segmentation, Segmenter
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.diffusion.model.backbone import Arrays
from monai_cxr_cf.diffusion.model.recall import arithmetic, digest
from monai_cxr_cf.judges.classifier import Judge
from monai_cxr_cf.runs.cache_folder import CacheFolder

MEMORY_BYTES = 128_000_000  # of a process; an edit of a megapixel with cxr-mini takes about 2
OVERHEAD = 512  # bytes of an entry besides its values


class Remembered:
    """Arrays by digest; those used least recently make room.

    Args:
        size: bytes in memory.
        folder: also keeps them for other processes; None: nothing is written.
    """

    def __init__(self, *, size: int = MEMORY_BYTES, folder: CacheFolder | None = None) -> None:
        self.size, self.folder, self.used = size, folder, 0
        self.taken: Counter[str] = Counter()  # entries by kind that were not made anew
        self._entries: OrderedDict[str, Arrays] = OrderedDict()
        self._lock = Lock()

    def __call__(self, kind: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays called ``key``: from memory, from the folder, or made and kept; read-only."""
        found = self._recall(key)
        if found is not None:
            with self._lock:
                self.taken[kind] += 1
            return found
        made = make()
        self._keep(key, made)
        if self.folder is not None:
            self.folder.write(key, made)
        return made

    def _recall(self, key: str) -> Arrays | None:
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
                return found
        found = None if self.folder is None else self.folder.read(key)
        if found is not None:
            self._keep(key, found)
        return found

    def _keep(self, key: str, arrays: Arrays) -> None:
        for array in arrays.values():
            array.flags.writeable = False
        if weight(arrays) > self.size:  # it would push out all others, and then itself
            return
        with self._lock:
            self.used += weight(arrays) - weight(self._entries.get(key))
            self._entries[key] = arrays
            self._entries.move_to_end(key)
            while self.used > self.size:
                _, oldest = self._entries.popitem(last=False)
                self.used -= weight(oldest)

    def __len__(self) -> int:
        return len(self._entries)


def weight(arrays: Arrays | None) -> int:
    """Bytes that an entry takes; 0 for None."""
    return 0 if arrays is None else OVERHEAD + sum(array.nbytes for array in arrays.values())


def organs_of(radiograph: Radiograph, segmenter: Segmenter, memory: Remembered) -> Segmentation:
    """What the segmenter says of a source."""
    image = radiograph.pixels, radiograph.valid, radiograph.aspect

    def make() -> Arrays:
        found = segmenter(image[0], image[1], aspect=image[2])
        arrays = {"labels": found.organs.labels(), "agreement": np.array([found.agreement])}
        return arrays if found.landmarks is None else {**arrays, "landmarks": found.landmarks}

    reads = segmenter.name, segmenter.sha256, image, arithmetic()
    known = memory("organs", digest("organs", *reads), make)
    return Segmentation(
        Organs.from_labels(known["labels"]), known.get("landmarks"), float(known["agreement"][0]),
        segmenter.name, segmenter.sha256, segmenter.licence,
    )  # fmt: skip


def opinion_of(radiograph: Radiograph, judge: Judge, memory: Remembered) -> dict[str, float]:
    """The probabilities that a classifier sees in a source."""

    def make() -> Arrays:
        return {"probabilities": np.array(list(judge.read(radiograph.pixels).values()))}

    shape = judge.shape
    reads = (
        judge.sha256,
        shape.side,
        shape.detail,
        judge.findings,
        radiograph.pixels,
        arithmetic(),
    )
    known = memory("opinion", digest("opinion", *reads), make)
    return dict(zip(judge.findings, map(float, known["probabilities"]), strict=True))
