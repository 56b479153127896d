# SPDX-License-Identifier: Apache-2.0
"""Rows of a made collection: every third patient has an effusion, two of five images are AP."""

from monai_cxr_cf.data.folder import Row


def row(k: int, *, view: str = "PA", labels: tuple[str, ...] = ("No Finding",)) -> Row:
    """One radiograph of the patient k."""
    nothing: frozenset[str] = frozenset()
    return Row(
        f"{k:05d}", "nih", f"p{k}", view, 60, "F", labels, "", "test", nothing, False, nothing,
        "", "yes",
    )  # fmt: skip


def rows_of(count: int) -> list[Row]:
    """``count`` patients with one radiograph each."""
    return [
        row(k, view="AP" if k % 5 < 2 else "PA", labels=("Effusion" if k % 3 else "No Finding",))
        for k in range(count)
    ]
