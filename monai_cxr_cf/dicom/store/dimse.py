# SPDX-License-Identifier: Apache-2.0
"""Result files to a DICOM node by C-STORE, for archives without DICOMweb; no server of our own.

In: ``dimse://CALLED_AET@host:port`` and files. DIMSE travels in the clear: trusted networks only.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.store.answers import reason
from monai_cxr_cf.dicom.writing.fileio import load
from monai_cxr_cf.errors import INSTALL_EXTRA, BadRequest, ComponentMissing, RemoteFailure

NODE = re.compile(r"dimse://([\x21-\x3f\x41-\x5b\x5d-\x7e]{1,16})@([A-Za-z0-9.\-]+):(\d{1,5})")
CALLING = "CXR_CF"
PATIENCE_S = 30


@dataclass(frozen=True)
class Node:
    """A DICOM node that takes images."""

    title: str  # its application entity title
    host: str
    port: int


def parse_node(text: str) -> Node:
    """``dimse://ORTHANC@127.0.0.1:4242`` as a ``Node``; BadRequest if it is none."""
    found = NODE.fullmatch(text)
    if found is None or not 0 < int(found[3]) < 65536:
        raise BadRequest(
            "A DICOM node is written dimse://AE_TITLE@host:port.",
            code="node",
            hint="Such as dimse://ORTHANC@127.0.0.1:4242.",
        )
    return Node(found[1], found[2], int(found[3]))


def send(
    paths: Sequence[Path], node: Node, *, warn: Callable[[str], None] = lambda text: None
) -> int:
    """Send files by C-STORE over one association; returns how many were accepted.

    ``warn`` is called with what the node says of a file that it has stored.

    Raises:
        RemoteFailure: the node cannot be reached, does not take a kind of object, or refuses one.
        ComponentMissing: the ``[server]`` extra is not installed.
    """
    try:
        from pynetdicom import AE
    except ModuleNotFoundError as error:
        raise ComponentMissing(
            "The DICOM network library is not installed.",
            hint=INSTALL_EXTRA.format("server"),
        ) from error
    with withheld():
        datasets = [load(path) for path in paths]
        entity = AE(ae_title=CALLING)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE_S
        entity.connection_timeout = PATIENCE_S
        for kind in sorted({(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for d in datasets}):
            entity.add_requested_context(*kind)
        association = entity.associate(node.host, node.port, ae_title=node.title)
        if not association.is_established:
            raise RemoteFailure(
                "The DICOM node refuses the association or cannot be reached.",
                code="store_unreachable",
                hint="Are host, port and AE title right, and is ours (CXR_CF) known there?",
            )
        try:
            told = [_send_one(association, ds, number) for number, ds in enumerate(datasets, 1)]
        finally:
            association.release()
    for text in filter(None, told):
        warn(text)
    return len(datasets)


def _send_one(association: object, ds: object, number: int) -> str:
    """One C-STORE; status 0 and the warnings B000..BFFF count as stored (PS3.4 B.2.3)."""
    try:
        answer = association.send_c_store(ds)  # type: ignore[attr-defined]
    except (ValueError, RuntimeError) as error:
        raise RemoteFailure(
            f"The DICOM node does not take file {number} ({type(error).__name__}).",
            code="store_refused",
            hint="It may not know this SOP class.",
        ) from None
    status = getattr(answer, "Status", None)
    if status is None or (status != 0 and status >> 12 != 0xB):
        told = "no answer" if status is None else reason(status)
        raise RemoteFailure(f"The DICOM node refused file {number}: {told}.", code="store_refused")
    return f"file {number}: {reason(status)}" if status else ""
