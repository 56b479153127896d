# SPDX-License-Identifier: Apache-2.0
"""Made folders in the published layouts of MIMIC-CXR-JPG and CheXpert Plus are read as such."""

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.cli import main
from monai_cxr_cf.data.captioned import read_layout
from monai_cxr_cf.data.table import load_grey
from monai_cxr_cf.errors import BadRequest, UnreadableInput
from tests.data.made import SAID, Mimic

REPORT = """\
                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___-year-old woman with cough.  Evaluate for pneumonia.

 FINDINGS:

 The cardiac silhouette is mildly enlarged.  There is a small left pleural effusion.
 No pneumothorax is seen.

 IMPRESSION:

 Small left pleural effusion.
"""
LABELS = ["Cardiomegaly", "Edema", "Fracture", "No Finding", "Pleural Effusion"]
MIMIC = [  # dicom_id, subject, study, view, split, has a report, positive labels, on disk
    ("aa-1", "10000032", "50414267", "PA", "train", True, {"Pleural Effusion": "1.0"}, True),
    ("aa-2", "10000032", "50414267", "LATERAL", "train", True, {}, True),
    ("bb-1", "10000764", "57375967", "AP", "train", False, {"Edema": "1.0"}, True),
    ("cc-1", "11000001", "50000003", "PA", "validate", False, {"Edema": "-1.0"}, True),
    ("dd-1", "12000001", "50000004", "PA", "test", False, {"No Finding": "1.0"}, True),
    ("ee-1", "13000001", "50000005", "PA", "train", False, {"Fracture": "1.0"}, True),
    ("ff-1", "13000002", "50000006", "PA", "train", False, {"Cardiomegaly": "1.0"}, False),
]


def write_table(path: Path, rows: list[dict[str, str]], *, packed: bool = False) -> None:
    """A CSV, or a CSV.GZ."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_text(path.with_name(path.name + ".gz") if packed else path, text.getvalue())


def write_text(path: Path, text: str) -> None:
    """Packed if the name ends in .gz."""
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def write_grey(path: Path, value: int = 128) -> None:
    """A tiny grey image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((12, 10), value, np.uint8)).save(path)


@pytest.fixture
def mimic(tmp_path: Path) -> Path:
    """A folder of seven images in MIMIC-CXR-JPG's layout, two tables packed."""
    metadata, split, labels = [], [], {}
    for name, subject, study, view, part, report, positive, present in MIMIC:
        keys = {"subject_id": subject, "study_id": study}
        metadata.append({"dicom_id": name, **keys, "ViewPosition": view, "Rows": "12"})
        split.append({"dicom_id": name, **keys, "split": part})
        labels.setdefault(study, keys | {k: positive.get(k, "") for k in LABELS})
        place = f"p{subject[:2]}/p{subject}/s{study}"
        if present:
            write_grey(tmp_path / "files" / place / f"{name}.jpg")
        if report:
            text = tmp_path / "mimic-cxr-reports" / "files" / f"{place}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text(REPORT)
    write_table(tmp_path / "mimic-cxr-2.0.0-metadata.csv", metadata, packed=True)
    write_table(tmp_path / "mimic-cxr-2.0.0-split.csv", split, packed=True)
    write_table(tmp_path / "mimic-cxr-2.0.0-chexpert.csv", list(labels.values()))
    return tmp_path


def plus_row(image: str, view: str, split: str, impression: str, side: str = "Frontal") -> dict:
    """One row of the published table, with some of its other columns."""
    return {
        "path_to_image": image,
        "path_to_dcm": image.replace(".jpg", ".dcm"),
        "frontal_lateral": side,
        "ap_pa": view,
        "deid_patient_id": image.split("/")[1],
        "report": "unused",
        "section_findings": "",
        "section_impression": impression,
        "age": "62.0",
        "split": split,
    }


@pytest.fixture
def chexpert(tmp_path: Path) -> Path:
    """A folder of five images in CheXpert Plus's layout, PNG unpacked one folder too deep."""
    at = "patient{}/study1/view{}_{}.jpg".format
    rows = [
        plus_row("train/" + at("00001", 1, "frontal"), "PA", "train", "MODERATE RIGHT EFFUSION"),
        plus_row("train/" + at("00001", 2, "lateral"), "", "train", "As above.", "Lateral"),
        plus_row("train/" + at("00002", 1, "frontal"), "AP", "train", "Pulmonary edema."),
        plus_row("valid/" + at("64541", 1, "frontal"), "PA", "valid", "Clear lungs."),
        plus_row("train/" + at("00009", 1, "frontal"), "PA", "train", "Nodule."),
    ]  # fmt: skip
    for row in rows[:-1]:
        path = Path(row["path_to_image"]).with_suffix(".png")
        write_grey(tmp_path / "PNG" / "PNG" / path)
    write_table(tmp_path / "df_chexpert_plus_240401.csv", rows)
    return tmp_path


def test_mimic_gives_pa_images_on_disk_with_report_or_label_prompts(mimic: Path) -> None:
    rows = read_layout("mimic-cxr-jpg", mimic)
    assert [row.id for row in rows] == ["aa-1", "cc-1", "dd-1", "ee-1"]
    prompts = {row.id: row.prompt for row in rows}
    assert "mild left pleural effusion" in prompts["aa-1"]
    assert "cardiomegaly" in prompts["aa-1"]
    assert "pneumothorax" not in prompts["aa-1"]
    assert "pneumonia" not in prompts["aa-1"]  # the indication is no finding
    assert prompts["cc-1"] == prompts["ee-1"] == ""  # uncertain; a fracture of some bone
    assert prompts["dd-1"] == "no acute cardiopulmonary process"


def test_mimic_keeps_the_published_splits_and_patients(mimic: Path) -> None:
    rows = {row.id: row for row in read_layout("mimic-cxr-jpg", mimic, views=("PA", "AP"))}
    splits = {name: row.split for name, row in rows.items()}
    assert splits == {
        "aa-1": "train", "bb-1": "train", "cc-1": "judge", "dd-1": "test", "ee-1": "train"
    }  # fmt: skip
    assert rows["bb-1"].view == "AP"
    assert rows["bb-1"].prompt == "pulmonary edema"
    assert rows["aa-1"].patient == "p10000032"
    assert [r.id for r in read_layout("mimic-cxr-jpg", mimic, split="test")] == ["dd-1"]


def test_chexpert_plus_gives_frontal_images_with_the_impression_s_findings(chexpert: Path) -> None:
    rows = read_layout("chexpert-plus", chexpert)
    assert [(r.patient, r.view, r.split) for r in rows] == [
        ("patient00001", "PA", "train"),
        ("patient64541", "PA", "test"),
    ]
    assert rows[0].prompt.casefold() == "moderate right effusion"
    assert rows[1].prompt == "no acute cardiopulmonary process"
    assert len(read_layout("chexpert-plus", chexpert, views=("PA", "AP"))) == 3


def test_images_load_as_grey_fractions(chexpert: Path, mimic: Path) -> None:
    for folder, layout in ((chexpert, "chexpert-plus"), (mimic, "mimic-cxr-jpg")):
        image = load_grey(folder, read_layout(layout, folder)[0])
        assert image.shape == (12, 10)
        assert image.dtype == np.float32
        assert abs(float(image.mean()) - 128 / 255) < 0.01


def test_sixteen_bits_are_scaled_by_sixteen_bits(chexpert: Path) -> None:
    row = read_layout("chexpert-plus", chexpert)[0]
    Image.fromarray(np.full((4, 4), 65535, np.uint16)).save(chexpert / row.image)
    assert load_grey(chexpert, row).max() == 1.0


def test_the_project_s_own_folder_is_a_layout_too(shared: Path) -> None:
    rows = read_layout("folder", shared / "data" / "cxr", split="train")
    assert {row.view for row in rows} == {"PA"}
    assert any(row.prompt == "no acute cardiopulmonary process" for row in rows)
    assert any("pleural effusion" in row.prompt for row in rows)
    assert load_grey(shared / "data" / "cxr", rows[0]).ndim == 2


def test_a_patient_in_two_splits_is_refused(mimic: Path) -> None:
    table = mimic / "mimic-cxr-2.0.0-split.csv.gz"
    for path in (table, mimic / "mimic-cxr-2.0.0-metadata.csv.gz"):
        text = gzip.decompress(path.read_bytes()).decode()
        write_text(path, text.replace("12000001", "10000032"))
    place = mimic / "files/p10/p10000032/s50000004"
    place.mkdir(parents=True)
    (mimic / "files/p12/p12000001/s50000004/dd-1.jpg").rename(place / "dd-1.jpg")
    with pytest.raises(UnreadableInput, match="two splits"):
        read_layout("mimic-cxr-jpg", mimic)


def test_what_is_missing_is_named(tmp_path: Path, mimic: Path) -> None:
    with pytest.raises(UnreadableInput, match="df_chexpert_plus"):
        read_layout("chexpert-plus", tmp_path / "none")
    with pytest.raises(BadRequest, match="layout"):
        read_layout("padchest", mimic)
    with pytest.raises(BadRequest, match="PA, AP"):
        read_layout("mimic-cxr-jpg", mimic, views=("LL",))
    write_table(mimic / "mimic-cxr-2.0.0-split.csv", [{"dicom_id": "aa-1"}])
    with pytest.raises(UnreadableInput, match="columns split"):
        read_layout("mimic-cxr-jpg", mimic)


def test_the_command_line_counts_a_collection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Mimic(tmp_path)
    assert main(["read", str(tmp_path), "--layout", "mimic-cxr-jpg", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["left_out"]) == (
        2, {"AP (not asked for)": 1, "of another view": 1},
    )  # fmt: skip
    assert told["captions_most_common"] == [[SAID, 1], ["pulmonary edema", 1]]
    words = ["read", str(tmp_path), "--layout", "mimic-cxr-jpg", "--views", "PA,ap"]
    assert main(words) == 0
    assert "3 images of 4 rows" in capsys.readouterr().out
    assert main(["read", str(tmp_path), "--layout", "chexpert-plus"]) == 2
    assert "no df_chexpert_plus_*.csv" in capsys.readouterr().err
