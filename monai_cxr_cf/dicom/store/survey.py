# SPDX-License-Identifier: Apache-2.0
"""A DICOMweb store in, its chest images out, each with a word for its patient."""

from functools import partial

from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.store.pacs import Instance, Pacs, instance_of, parsed
from monai_cxr_cf.dicom.store.remote import remote

FIELDS = ["Modality", "PatientID"]


class Survey(Pacs):
    """A store that is asked for all that it has."""

    def images(self, date: str | None = None) -> list[tuple[Instance, str]]:
        """Every image of CR and DX series, by QIDO, with p1, p2, ... for its patient.

        The word says only which images are of one patient; where the store names none, which are
        of one study.

        Args:
            date: only of studies of this day or range, as of ``find_series``.
        """
        words: dict[str, str] = {}
        found: list[tuple[Instance, str]] = []
        for series in self.find_series(date=date, limit=None):
            with remote(), self._as_json():
                answers = self._client.search_for_instances(
                    series.study, series.series, fields=FIELDS, get_remaining=True
                )
            found += parsed(answers, partial(_named, words=words))
        return found


def _named(ds: Dataset, words: dict[str, str]) -> tuple[Instance, str]:
    instance = instance_of(ds)
    patient = f"id {ds.get('PatientID')}" if ds.get("PatientID") else instance.study
    return instance, words.setdefault(patient, f"p{len(words) + 1}")
