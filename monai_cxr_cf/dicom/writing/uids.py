# SPDX-License-Identifier: Apache-2.0
"""Identifiers that repeat: the same source, request, weights, code and pixels give the same UIDs.

In: words that make an object what it is. Out: UIDs under 2.25, so nobody needs a registered root
(docs/dicom-conformance.md 5). One UID must mean one object, so whatever can differ must be among
the words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID, uuid4

IMPLEMENTATION_UID = "2.25.295564379863356894024816357164654372530"  # PS3.7 D.3.3.2: who wrote it
ROLES = ("cf", "seg", "diff", "sr")
_LARGEST_IS = 2**31 - 1


@dataclass(frozen=True)
class SeriesIds:
    """The identifiers of one output series, instances in order."""

    series_uid: str
    sop_uids: tuple[str, ...]
    number: int  # SeriesNumber


def stable_uid(*words: str) -> str:
    """A 2.25 UID from words (PS3.5 B.2); their lengths count: ("ab", "c") differs from ("a", "bc").

    Not ``pydicom.uid.generate_uid``: without a prefix it ignores its entropy and draws at random.
    """
    text = "".join(f"{len(word)}:{word};" for word in words)
    return f"2.25.{UUID(bytes=sha256(text.encode()).digest()[:16], version=5).int}"


def series_ids(words: Sequence[str], digests: Sequence[str], number: int) -> SeriesIds:
    """Identifiers of a series from its members' digests.

    The series depends on all members: arithmetic that differs on another device makes another
    series, never a second version of one instance.
    """
    return SeriesIds(
        stable_uid("series", *words, *digests),
        tuple(
            stable_uid("instance", *words, str(index), *digests[index : index + 1], *digests)
            for index in range(len(digests))
        ),
        number,
    )


def random_ids(count: int, number: int) -> SeriesIds:
    """Fresh identifiers for ``--uids random``."""
    return SeriesIds(
        f"2.25.{uuid4().int}",
        tuple(f"2.25.{uuid4().int}" for _ in range(count)),
        number,
    )


def frame_of_reference(source_sop_uid: str) -> str:
    """The carrier frame of all masks of one source; a function of the source alone."""
    return stable_uid("frame of reference", source_sop_uid)


def series_number(source: int | None, role: str) -> int:
    """SeriesNumber = source * 100 + k, kept within an IS value (32 bit signed)."""
    base = max(0, source or 0) * 100
    number = base + 1 + ROLES.index(role)
    return number if number <= _LARGEST_IS else number % 100_000_000
