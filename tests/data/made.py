# SPDX-License-Identifier: Apache-2.0
"""Made collections in the published layouts, and the ways people change them on their disks."""

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

REPORT = """\
                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 FINDINGS:

 Moderate right pleural effusion.  The lungs are otherwise clear.
"""
SAID = "moderate right pleural effusion"
LABELS = ("Atelectasis", "Cardiomegaly", "Edema", "Lung Opacity", "No Finding", "Support Devices")
Rows = Sequence[dict[str, str]]


def text_of(rows: Rows, delimiter: str = ",", end: str = "\r\n") -> str:
    """The rows as a CSV."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def draw(path: Path) -> None:
    """A small grey image in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    kind = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG"}[path.suffix.lower()[1:]]
    Image.fromarray(ramp).save(path, kind)


class Mimic:
    """Four patients, one image each: two PA, one AP, one lateral; the first has the report."""

    names = ("metadata", "split", "chexpert")

    def __init__(self, folder: Path) -> None:
        self.folder, self.at = folder, "mimic-cxr-2.0.0-{}.csv"
        self.images, self.reports = folder / "files", folder / "mimic-cxr-reports" / "files"
        metadata, split, labels = [], [], []
        for n, view in enumerate(("PA", "PA", "AP", "LATERAL")):
            keys = {"subject_id": f"1{n}000001", "study_id": f"5000000{n}"}
            name = {"dicom_id": f"x{n}-a"}
            about = {"ViewPosition": view, "ViewCodeSequence_CodeMeaning": ""}
            metadata.append(name | keys | about | {"PerformedProcedureStepDescription": ""})
            split.append(name | keys | {"split": "train"})
            labels.append(keys | dict.fromkeys(LABELS, "") | {"Edema": "1.0"})
            draw(self.images / self.place(n) / f"x{n}-a.jpg")
        report = self.reports / f"{self.place(0)}.txt"
        report.parent.mkdir(parents=True)
        report.write_text(REPORT)
        self.tables: dict[str, list[dict[str, str]]] = dict(
            zip(self.names, (metadata, split, labels), strict=True)
        )
        self.write()

    @staticmethod
    def place(n: int) -> str:
        """Folders of the n-th study."""
        return f"p1{n}/p1{n}000001/s5000000{n}"

    def write(self) -> None:
        """The tables as they are now."""
        for name, rows in self.tables.items():
            (self.folder / self.at.format(name)).write_text(text_of(rows), newline="")

    def cells(self, table: str, row: int, **cells: str) -> None:
        """Change some cells of one row."""
        self.tables[table][row] |= cells
        self.write()

    def move(self, source: Path, target: str) -> None:
        """A file or folder to another place below the folder."""
        place = self.folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(str(source), str(place))

    def without_reports(self) -> None:
        """No report at all."""
        shutil.rmtree(self.folder / "mimic-cxr-reports")

    def reshape(self, make: str) -> None:
        """Every image in another place: ``make`` has the fields place, name, top, study."""
        for n in range(4):
            old = self.images / self.place(n) / f"x{n}-a.jpg"
            new = self.folder / make.format(place=self.place(n), name=f"x{n}-a")
            new.parent.mkdir(parents=True, exist_ok=True)
            Image.open(old).save(new, "PNG" if new.suffix.lower() == ".png" else "JPEG")
            old.unlink()
        shutil.rmtree(self.images) if not any(self.images.rglob("*.*")) else None


PLUS_PATH = "train/patient00001/study1/view1_frontal.jpg"


class Plus:
    """One patient with a report, one without, and a lateral."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.table = folder, "df_chexpert_plus_240401.csv"
        paths = (
            PLUS_PATH,
            PLUS_PATH.replace("00001", "00002"),
            PLUS_PATH.replace("view1", "view2"),
        )
        self.rows = [self.row(path) for path in paths]
        self.rows[1] |= {"section_impression": "", "ap_pa": "PA"}
        self.rows[2] |= {"frontal_lateral": "Lateral", "ap_pa": ""}
        for path in paths:
            draw(folder / path)
        self.write()

    @staticmethod
    def row(path: str) -> dict[str, str]:
        """A row of the published table, with some of its columns."""
        return {
            "path_to_image": path, "path_to_dcm": path.replace(".jpg", ".dcm"),
            "frontal_lateral": "Frontal", "ap_pa": "PA", "deid_patient_id": path.split("/")[1],
            "report": "", "section_findings": "", "split": "train",
            "section_impression": "\n1.MODERATE RIGHT PLEURAL EFFUSION.",
        }  # fmt: skip

    def write(self) -> None:
        """The table as it is now."""
        (self.folder / self.table).write_text(text_of(self.rows), newline="")

    def cells(self, row: int, **cells: str) -> None:
        """Change some cells of one row."""
        self.rows[row] |= cells
        self.write()

    def root(self, name: str, ending: str = ".jpg") -> None:
        """All images below another root, with another ending."""
        for row in self.rows:
            old = self.folder / row["path_to_image"]
            new = (self.folder / name / row["path_to_image"]).with_suffix(ending)
            draw(new)
            if new != old:
                old.unlink()
