# SPDX-License-Identifier: Apache-2.0
"""What an output folder will hold, fixed before anything is written: pixels, UIDs and dates.

In: the radiograph, the members of the series and the run's record. Out: an ``OutputPlan`` that
every writer of this package takes, so that files can point at each other
(docs/dicom-conformance.md 5).
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.display import stored_range
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.record import Member, OutputOptions, RunRecord, digest
from monai_cxr_cf.dicom.writing.burn import burn_in
from monai_cxr_cf.dicom.writing.inherit import source_header
from monai_cxr_cf.dicom.writing.uids import SeriesIds, random_ids, series_ids, series_number
from monai_cxr_cf.errors import BadRequest

IODS = ("sc", "same")
DEFAULTS = OutputOptions()
_DATE = re.compile(r"\d{8}")
_TIME = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")
BURNT_IN = (
    "burnt_in",
    "SYNTHETIC is burnt into the pixels: they differ from the source outside region and band too.",
)
_REPAIRS = {
    "illegal_values": "Left out, as illegal in DICOM",
    "rewritten": "Written in another way, as illegal in DICOM",
}
OVERLAYS = ("overlays_dropped", "The source's overlays are not copied into the output.")


@dataclass(frozen=True)
class OutputPlan:
    """The frozen facts of one output folder."""

    radiograph: Radiograph
    record: RunRecord
    options: OutputOptions
    header: Dataset  # the source's, cleaned; a stand-in without patient for a raster
    members: tuple[Member, ...]  # as they will be written, burnt-in mark included
    cf: SeriesIds
    diff: SeriesIds
    content: tuple[str, str]  # ContentDate, ContentTime; empty where nothing is known
    warnings: tuple[tuple[str, str], ...]  # of the writing side

    @property
    def is_raster(self) -> bool:
        """The source is a PNG or JPEG: no patient data and nothing to refer to."""
        return self.radiograph.header is None

    @property
    def unicode(self) -> bool:
        """Whether what we add (request, region, labels, ...) is more than ASCII.

        One answer for all files of an output: a name in two encodings looks like two names.
        """
        labels = [member.label for member in self.members]
        return not f"{replace(self.record, run={})}{labels}".isascii()

    def ids(self, role: str, digests: Sequence[str], extra: str = "") -> SeriesIds:
        """Identifiers of a series of ours, from its members' digests."""
        number = series_number(_number(self.header), role)
        if self.options.uids == "random":
            return random_ids(len(digests), number)
        return series_ids((*_entropy(self), role, extra), digests, number)


def plan_output(
    radiograph: Radiograph,
    members: Sequence[Member],
    *,
    record: RunRecord,
    options: OutputOptions = DEFAULTS,
) -> OutputPlan:
    """Fix pixels, identifiers and dates of an output.

    Args:
        radiograph: the source.
        members: the images of the counterfactual series, HxW integers in stored units on the
            source's grid; empty for masks alone.
        record: what the run did.
        options: IOD, UIDs, burnt-in mark, content time.

    Raises:
        BadRequest: unknown option, a member of another shape, or a stored value that the
            source's bits cannot hold.
    """
    _check_options(options)
    checked = tuple(_checked(radiograph, member) for member in members)
    if options.burn_in:
        checked = tuple(burn_in(member, radiograph) for member in checked)
    header, repairs = source_header(radiograph, everything=options.iod == "same")
    blank = SeriesIds("", (), 0)
    warnings = [BURNT_IN] if options.burn_in and members else []
    if any(0x6000 <= element.tag.group <= 0x60FF for element in header):
        warnings.append(OVERLAYS)
    for code, keywords in (("illegal_values", repairs.lost), ("rewritten", repairs.rewritten)):
        if keywords:
            warnings.append((code, f"{_REPAIRS[code]}: {', '.join(keywords)}."))
    plan = OutputPlan(
        radiograph, record, options, header, checked,
        blank, blank, _content_time(header, options), tuple(warnings),
    )  # fmt: skip
    digests = [digest(member.stored) for member in checked]
    cf, diff = plan.ids("cf", digests, options.iod), plan.ids("diff", digests)
    return replace(plan, cf=cf, diff=diff)


def mask_digests(masks: Mapping[str, NDArray[np.bool_]]) -> list[str]:
    """One digest of all masks, names included: the identity of a SEG."""
    return ["+".join(f"{name}:{digest(masks[name])}" for name in sorted(masks))]


def _entropy(plan: OutputPlan) -> tuple[str, ...]:
    """What makes two objects two: source, request, weights, code, dates and the source's pixels."""
    record = plan.record
    return (
        plan.radiograph.source_sop_uid,
        plan.radiograph.sha256,
        record.request_json,
        *(f"{w.role}={w.sha256}" for w in record.weights),
        record.code_version,
        *(str(seed) for seed in record.seeds),
        *plan.content,
    )


def _checked(radiograph: Radiograph, member: Member) -> Member:
    stored: NDArray[Any] = np.asarray(member.stored)
    low, high = stored_range(radiograph.bits_stored, radiograph.signed)
    if stored.shape != radiograph.shape or stored.dtype.kind not in "iu":
        raise BadRequest(
            f"A counterfactual is {stored.dtype} {stored.shape}; expected integers "
            f"{radiograph.shape} (rows, columns) like the source.",
            code="counterfactual_shape",
        )
    if stored.min() < low or stored.max() > high:
        raise BadRequest(
            f"A counterfactual holds {stored.min()}..{stored.max()}; the source's "
            f"{radiograph.bits_stored} bits hold {low}..{high}.",
            code="counterfactual_range",
            hint="Make the values with Radiograph.to_stored.",
        )
    return Member(stored.astype(radiograph.stored.dtype, copy=False), member.label)


def _check_options(options: OutputOptions) -> None:
    if options.iod not in IODS:
        raise BadRequest(f"iod is {options.iod!r}; expected one of {', '.join(IODS)}.")
    if options.uids not in ("stable", "random"):
        raise BadRequest(f"uids is {options.uids!r}; expected stable or random.")


def _number(header: Dataset) -> int | None:
    try:
        return int(header.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        return None


def _content_time(header: Dataset, options: OutputOptions) -> tuple[str, str]:
    """From the job, else SOURCE_DATE_EPOCH (UTC), else the source's content or study time."""
    moment = options.content_time or _epoch()
    if moment is not None:
        return moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    for date, time in (("ContentDate", "ContentTime"), ("StudyDate", "StudyTime")):
        day, clock = str(header.get(date) or ""), str(header.get(time) or "")
        if _DATE.fullmatch(day):
            return day, clock if _TIME.fullmatch(clock) else "000000"
    return "", ""


def _epoch() -> datetime | None:
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not seconds:
        return None
    if not seconds.isdigit():
        raise BadRequest("SOURCE_DATE_EPOCH is not a number of seconds.", code="source_date_epoch")
    return datetime.fromtimestamp(int(seconds), UTC)
