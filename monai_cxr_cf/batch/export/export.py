# SPDX-License-Identifier: Apache-2.0
"""``batch export``: a batch in, a folder of training data with its data sheet out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.edit_work import ALL
from monai_cxr_cf.batch.export.samples import ARMS, COPIES, EDITED, REAL, Wanted, samples
from monai_cxr_cf.batch.export.sheet import sheet
from monai_cxr_cf.batch.export.writers import Folders, Parquets, Tars, Writer
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.runs.atomic import staged

WRITERS: dict[str, Callable[[Path], Writer]] = {
    "folder": Folders, "webdataset": Tars, "parquet": Parquets,
}  # fmt: skip
KINDS = tuple(WRITERS)
SHEET = "augmentation.md"


@dataclass
class Exported:
    """What was written, counted."""

    arms: Counter[str] = field(default_factory=Counter)
    splits: Counter[tuple[str, str]] = field(default_factory=Counter)  # (arm, split)
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)  # (arm, label)
    left: Counter[str] = field(default_factory=Counter)  # rows without a counterfactual
    unknown: int = 0  # real images without labels
    patients: dict[str, str] = field(default_factory=dict)  # -> split

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **{arm: self.arms[arm] for arm in ARMS},
            "patients": len(self.patients),
            "splits": {f"{arm} {split}": n for (arm, split), n in sorted(self.splits.items())},
            "left_out": dict(sorted(self.left.items())),
            "without_labels": self.unknown,
        }


def export(folder: RunFolder, out: Path, kind: str, wanted: Wanted) -> Exported:
    """Write the arms of a batch; ``out`` appears whole or not at all.

    Args:
        folder: of the batch.
        out: new or empty.
        kind: of ``KINDS``.
        wanted: which rows, and how.

    Raises:
        BadRequest: nothing to export, or a patient in two splits.
    """
    run, found = folder.read(), Exported()
    if run.fingerprint.get("keep", ALL) != ALL:
        raise BadRequest("The batch kept reports alone: there is no image to export.",
                         hint="Run it with --keep all.")  # fmt: skip
    with staged(out) as place:
        writer = WRITERS[kind](place)
        for sample in samples(folder, wanted, found.left):
            writer.add(sample)
            found.arms[sample.arm] += 1
            found.splits[sample.arm, sample.split] += 1
            found.labels.update((sample.arm, label) for label in sample.labels)
            found.patients[sample.patient] = sample.split
            found.unknown += sample.arm == REAL and not sample.record["labels_known"]
        writer.close()
        if not found.arms[EDITED]:
            told = ", ".join(f"{count} {why}" for why, count in sorted(found.left.items()))
            raise BadRequest(
                f"The batch holds no counterfactual to export ({told or 'no rows'}).",
                hint="Finish it; --any-verdict takes edits that did not pass, too.",
            )
        if found.arms[EDITED] != found.arms[COPIES]:
            raise BadRequest("The arms are not equally long.")
        (place / SHEET).write_text(sheet(run, found.as_dict(), found.labels, wanted), "utf-8")
    return found
