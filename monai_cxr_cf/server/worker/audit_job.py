# SPDX-License-Identifier: Apache-2.0
"""An ``audit`` job: radiographs and a classifier of the operator in, the report out.

Until it is over its edits lie beside the result: one that begins again goes on.
"""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_cxr_cf.audit.adapters.classifier import Classifier
from monai_cxr_cf.audit.adapters.declared import read_declared
from monai_cxr_cf.audit.adapters.load import load_classifier
from monai_cxr_cf.audit.beside import explain_all
from monai_cxr_cf.audit.cohort import Chosen, single
from monai_cxr_cf.audit.report.write import JSON, PAGE, TABLE
from monai_cxr_cf.audit.run import Audit, edit, finish, lay_out_edits, score
from monai_cxr_cf.batch.count import count
from monai_cxr_cf.batch.edit_work import EditWork, Parts
from monai_cxr_cf.batch.engines.here import Here
from monai_cxr_cf.batch.store.results import DONE, Line
from monai_cxr_cf.dicom.reading.series import find_by_patient
from monai_cxr_cf.errors import ComponentMissing, CxrError, ResourceExhausted
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.progress import Silent
from monai_cxr_cf.server.queue.jobs import HOME
from monai_cxr_cf.server.uploads.audit_order import edits_of
from monai_cxr_cf.server.worker.pictures import entry_of

log = logging.getLogger(__name__)
ROLES = {PAGE: "audit_page", JSON: "audit_data", TABLE: "audit_rows"}


def audit(
    request: Mapping[str, Any], folder: Path, out: Path, *, networks: Networks, events: Silent,
    loads: tuple[str, str, str | None],
) -> dict[str, Any]:  # fmt: skip
    """Audit by the radiographs in ``folder/in``; of a single one, explain it as well.

    ``loads``: the operator's words for backbone, classifier and its declaration.
    """
    backbone, spec, declared = loads
    classifier = _classifier(request["model"], spec, declared)
    chosen = _chosen(folder / "in" / "source")
    place = {name: getattr(networks, name) for name in ("device", "precision", "compiled")}
    common = {"preset": request["preset"], "backbone": backbone}
    work = EditWork(backbone=backbone, **place)
    made = Audit(folder / HOME, chosen, edits_of(request), common, work, margin=request["margin"])
    lay_out_edits(made)
    _make_edits(made, networks, events)
    facts, found = score(made, classifier, events)
    said = explain_all(made, classifier, facts, found) if len(chosen) == 1 else []
    named = replace(made, common={name: request[name] for name in common})
    told = finish(named, classifier, facts, found)
    files = [made.out / name for name in ROLES] + sorted(made.out.glob("one-*"))
    for file in files:
        shutil.copy(file, out)
    listed = [entry_of(ROLES.get(f.name, "audit_one"), out / f.name, out) for f in files]
    return {"files": listed, "page_one": told["page_one"], "said": said, "patients": len(chosen)}


def _classifier(name: str, spec: str, declared: str | None) -> Classifier:
    """Under its published name; what is wrong with it is the operator's to know."""
    try:
        found = load_classifier(spec, read_declared(Path(declared)) if declared else None)
    except CxrError as error:
        log.error("the classifier %s cannot be loaded: %s", name, error.message)
        words = f"The classifier '{name}' cannot be loaded."
        raise ComponentMissing(words, hint="The server's log says why.") from error
    return replace(found, name=name)


def _chosen(source: Path) -> list[Chosen]:
    """One radiograph a patient, as they came; pictures name none."""
    if source.is_file():
        return [single(source)]
    words = dict(find_by_patient(source))
    found: dict[str, Chosen] = {}
    for file in sorted(source.iterdir()):
        patient = words.get(file) or file.name
        found.setdefault(patient, Chosen(file.name, str(file), patient))
    return list(found.values())


def _make_edits(made: Audit, networks: Networks, events: Silent) -> None:
    counts = count(made.folder)
    over = counts.over

    def step(_: Any = None) -> None:
        events({"stage": "rows", "step": over, "total": counts.rows})

    def tell(lines: Sequence[Line]) -> None:
        nonlocal over
        over += sum(line["state"] == DONE or line.get("final", True) for line in lines)
        step()

    step()
    if stopped := edit(made, tell, Here(Parts(networks, tell=step), step)):
        raise ResourceExhausted(stopped)
