# SPDX-License-Identifier: Apache-2.0
"""A row of the data index in, the judge that may learn from it out: patients are never shared.

The judges learn only from what the generator never sees, the ``judge`` split. Each of its patients
belongs to J1, to J2 or to the tuning subset; a hash of the patient key decides, so that nothing
depends on order, on a list or on the folder: a patient of two folders has one role.
"""

from hashlib import sha256

from monai_cxr_cf.data.folder import Row

TUNING = 0.2  # share of its patients on whom the engine's settings are chosen, judges validated
# Of 3,000 salts this one spreads the findings of the judge split most evenly over the roles.
SALT = "judges-2705"


def role(row: Row) -> str | None:
    """``"j1"``, ``"j2"``, ``"tuning"``, or None where no judge may look."""
    if row.split != "judge":
        return None
    place = _place(row.patient)
    if place < TUNING:
        return "tuning"
    return "j1" if place < TUNING + (1 - TUNING) / 2 else "j2"


def judge_rows(rows: list[Row], judge: str) -> list[Row]:
    """The rows one judge ("j1" or "j2") may learn from, in the index's order."""
    return [row for row in rows if role(row) == judge]


def tuning_rows(rows: list[Row]) -> list[Row]:
    """The rows of the judge split on whose patients settings are chosen; no judge learns them."""
    return [row for row in rows if role(row) == "tuning"]


def _place(patient: str) -> float:
    """The patient's fixed place in 0..1."""
    digest = sha256(f"{SALT}:{patient}".encode()).digest()
    return float(int.from_bytes(digest[:4], "big") / 2**32)
