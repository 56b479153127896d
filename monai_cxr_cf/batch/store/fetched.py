# SPDX-License-Identifier: Apache-2.0
"""Sources in a DICOMweb store: a row names one by its address, a worker fetches it once.

It lies in ``sources/`` of the batch, under a hash of its address, and stays for rows to come.
"""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from monai_cxr_cf.batch.rows.columns import Row, is_remote
from monai_cxr_cf.batch.store.files import make_folders


def local(row: Row, sources: Path) -> Row:
    """The row with its source as a file, fetched if it is not there yet.

    Raises:
        RemoteFailure: the store cannot be reached, refuses, or answers nonsense.
        BadRequest: it has no such instance.
    """
    if not is_remote(row.path):
        return row
    path = sources / f"{sha256(row.path.encode()).hexdigest()[:32]}.dcm"
    if not path.is_file():
        _fetch(row.path, path)
    return replace(row, path=str(path))


def _fetch(address: str, path: Path) -> None:
    from monai_cxr_cf.dicom.store.pacs import Pacs

    url, _, study, _, series, _, instance = address.rsplit("/", 6)
    make_folders(path.parent)
    part = path.with_name(f".{uuid4().hex}.part")
    try:
        Pacs(url).fetch(study, series, instance, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
