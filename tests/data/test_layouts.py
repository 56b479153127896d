# SPDX-License-Identifier: Apache-2.0
"""Collections as people have them on their disks: read the same, or refused by what is wrong."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_cxr_cf.data.captioned import Collection, survey
from monai_cxr_cf.data.table import Wanted
from monai_cxr_cf.errors import UnreadableInput
from tests.data.made import SAID, Mimic, Plus, text_of

HOME = "physionet.org/files/mimic-cxr-jpg/2.1.0"


def deeper(m: Mimic, home: str) -> None:
    """The whole collection below another folder."""
    for path in [*m.folder.glob("*.csv"), m.images, m.folder / "mimic-cxr-reports"]:
        m.move(path, f"{home}/{path.name}")


def labelled(m: Mimic, **cells: str) -> None:
    """No report, and these labels of the first study."""
    m.without_reports()
    m.cells("chexpert", 0, **({"Edema": ""} | cells))


def packed(m: Mimic, table: str) -> None:
    path = m.folder / m.at.format(table)
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def judged(m: Mimic) -> None:
    """Radiologists' labels of the first study, as release 2.1.0 has them."""
    labelled(m, Edema="1.0")
    row = {"study_id": "50000000", "Airspace Opacity": "1", "Edema": "0", "Cardiomegaly": "-1"}
    (m.folder / "mimic-cxr-2.1.0-test-set-labeled.csv").write_text(text_of([row]))


def renamed_release(m: Mimic) -> None:
    for path in m.folder.glob("*.csv"):
        path.rename(path.with_name(path.name.replace("2.0.0", "2.1.0")))


NORMAL = "no acute cardiopulmonary process"
# change of the folder -> caption of the first image, and how many PA images there are
MIMIC = {
    "as published": (lambda m: None, SAID, 2),
    "tables packed": (lambda m: [packed(m, name) for name in m.names], SAID, 2),
    "one table packed": (lambda m: packed(m, "split"), SAID, 2),
    "release 2.1.0 in the names": (renamed_release, SAID, 2),
    "as wget leaves it": (lambda m: deeper(m, HOME), SAID, 2),
    "below the version": (lambda m: deeper(m, "mimic-cxr-jpg/2.0.0"), SAID, 2),
    "below a folder of its name": (lambda m: deeper(m, "mimic-cxr-jpg"), SAID, 2),
    "reports among the images": (lambda m: shutil.copytree(
        m.reports, m.images, dirs_exist_ok=True) and m.without_reports(), SAID, 2),
    "reports without files/": (lambda m: m.move(m.reports / "p10", "mimic-cxr-reports/p10"),
                               SAID, 2),
    "reports in reports/": (lambda m: m.move(m.folder / "mimic-cxr-reports", "reports"), SAID, 2),
    "reports in capitals": (lambda m: m.move(m.folder / "mimic-cxr-reports", "MIMIC-CXR-Reports"),
                            SAID, 2),
    "reports flat": (lambda m: m.move(m.reports / f"{m.place(0)}.txt",
                                      "reports/s50000000.txt"), SAID, 2),
    "reports of MIMIC-CXR beside": (lambda m: m.move(
        m.reports, "physionet.org/files/mimic-cxr/2.0.0/files"), SAID, 2),
    "images without files/": (lambda m: m.reshape("{place}/{name}.jpg"), SAID, 2),
    "images in images/": (lambda m: m.reshape("images/{place}/{name}.jpg"), SAID, 2),
    "images as PNG": (lambda m: m.reshape("files/{place}/{name}.png"), SAID, 2),
    "images in capitals": (lambda m: m.reshape("files/{place}/{name}.JPG"), SAID, 2),
    "images flat": (lambda m: m.reshape("images/{name}.jpg"), SAID, 2),
    "images flat beside the tables": (lambda m: m.reshape("{name}.png"), SAID, 2),
    "one part only": (lambda m: shutil.rmtree(m.images / "p11"), SAID, 1),
    "no labels": (lambda m: (m.folder / m.at.format("chexpert")).unlink(), SAID, 2),
    "labels only": (lambda m: labelled(m, Cardiomegaly="1.0"), "cardiomegaly", 2),
    "labels as whole numbers": (lambda m: labelled(m, Edema="1", Cardiomegaly="0"),
                                "pulmonary edema", 2),
    "labels written by pandas": (lambda m: labelled(m, Edema="nan", Cardiomegaly="1.0"),
                                 "cardiomegaly", 2),
    "uncertain is nothing": (lambda m: labelled(m, Edema="-1.0"), "", 2),
    "devices alone are no finding": (lambda m: labelled(m, **{"Support Devices": "1.0"}), "", 2),
    "no finding": (lambda m: labelled(m, **{"No Finding": "1.0"}), NORMAL, 2),
    "NegBio's labels": (lambda m: m.without_reports() or m.move(
        m.folder / m.at.format("chexpert"), m.at.format("negbio")), "pulmonary edema", 2),
    "radiologists before a labeller": (judged, "lung opacity", 2),
    "a table of somebody's own beside": (lambda m: (
        m.folder / "mimic-cxr-2.0.0-merged.csv").write_text("a;b\n"), SAID, 2),
    "numbers written by pandas": (lambda m: [m.cells(
        name, 0, subject_id="10000001.0", study_id="50000000.0") for name in m.names], SAID, 2),
    "identities with letters": (lambda m: [m.cells(
        name, 0, subject_id="p10000001", study_id="s50000000") for name in m.names], SAID, 2),
    "view in lower case": (lambda m: m.cells("metadata", 0, ViewPosition="pa"), SAID, 2),
    "blank view, told by the code": (lambda m: m.cells("metadata", 0, ViewPosition="",
                                     ViewCodeSequence_CodeMeaning="postero-anterior"), SAID, 2),
    "nan view, told by the procedure": (lambda m: m.cells("metadata", 0, ViewPosition="nan",
                                        PerformedProcedureStepDescription="CHEST PA"), SAID, 2),
}  # fmt: skip


@pytest.mark.parametrize(("change", "prompt", "count"), MIMIC.values(), ids=MIMIC)
def test_mimic_cxr_jpg_is_read(
    change: Callable[[Mimic], object], prompt: str, count: int, tmp_path: Path
) -> None:
    change(Mimic(tmp_path))
    rows, counts = survey("mimic-cxr-jpg", tmp_path)
    assert (rows[0].id, rows[0].prompt) == ("x0-a", prompt)
    assert len(rows) == count
    assert (tmp_path / rows[0].image).is_file()
    assert counts.rows == 4
    assert sum(counts.left.values()) + len(rows) == 4
    assert sum(counts.captions.values()) == len(rows)


def without(m: Mimic, name: str) -> None:
    (m.folder / m.at.format(name)).unlink()


MIMIC_REFUSED = {
    "no metadata": (lambda m: without(m, "metadata"), "no mimic-cxr-2.*-metadata.csv"),
    "no split": (lambda m: without(m, "split"), "looked in the folder itself"),
    "a table renamed": (lambda m: m.move(m.folder / m.at.format("split"), "split.csv"),
                        "There are mimic-cxr-2.0.0-chexpert.csv.* split.csv"),
    "no images": (lambda m: shutil.rmtree(m.images), "looked for p10/p10000001/s50000000/x0-a"),
    "neither reports nor labels": (lambda m: (m.without_reports(), without(m, "chexpert")),
                                   "neither reports nor labels"),
    "a label that is a word": (lambda m: m.cells("chexpert", 0, Edema="positive"),
                               "'positive' in column Edema"),
    "a column renamed": (lambda m: [row.update(View=row.pop("ViewPosition"))
                                    for row in m.tables["metadata"]] and m.write(),
                         "lacks the columns ViewPosition; it has .* View"),
    "blank view of a study of two": (lambda m: [m.cells("metadata", n, ViewPosition="",
        PerformedProcedureStepDescription="CHEST (PA AND LAT)") for n in (0, 1)],
                                     "2 without a view"),
    "decubitus": (lambda m: [m.cells("metadata", n, ViewPosition="PA LLD") for n in (0, 1)],
                  "3 of another view"),
    "an image twice": (lambda m: m.tables["metadata"].append(m.tables["metadata"][0])
                       or m.write(), "x0-a stands twice"),
    "splits of another kind": (lambda m: [m.cells("split", n, split="fold3") for n in (0, 1)],
                               "2 without a known split"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), MIMIC_REFUSED.values(), ids=MIMIC_REFUSED)
def test_mimic_cxr_jpg_is_refused_by_what_is_wrong(
    change: Callable[[Mimic], object], words: str, tmp_path: Path
) -> None:
    change(Mimic(tmp_path))
    with pytest.raises(UnreadableInput, match=words) as caught:
        survey("mimic-cxr-jpg", tmp_path)
    assert "\n" not in caught.value.message
    assert str(tmp_path) not in caught.value.message


def chexbert(p: Plus, text: str, name: str = "chexbert_labels/report_fixed.json") -> None:
    (p.folder / name).parent.mkdir(exist_ok=True)
    (p.folder / name).write_text(text)


def labels(**found: int | None) -> str:
    path = "train/patient00002/study1/view1_frontal.jpg"
    return json.dumps({"path_to_image": path, **found}) + "\n"


def rename(p: Plus, name: str) -> None:
    (p.folder / p.table).rename(p.folder / name)


SECOND = "train/patient00002/study1/view1_frontal.jpg"
# change of the folder -> captions of the PA images
PLUS = {
    "as published": (lambda p: None, [SAID, ""]),
    "packed": (lambda p: (p.folder / f"{p.table}.gz").write_bytes(gzip.compress(
        (p.folder / p.table).read_bytes())) and (p.folder / p.table).unlink(), [SAID, ""]),
    "another day's table": (lambda p: rename(p, "df_chexpert_plus_240601.csv"), [SAID, ""]),
    "PNG": (lambda p: p.root("PNG", ".png"), [SAID, ""]),
    "PNG twice": (lambda p: p.root("PNG/PNG", ".png"), [SAID, ""]),
    "PNGs": (lambda p: p.root("PNGs", ".png"), [SAID, ""]),
    "chunk": (lambda p: p.root("png_chexpert_plus_chunk_0/PNG", ".png"), [SAID, ""]),
    "chunk below PNG": (lambda p: p.root("PNG/png_chexpert_plus_chunk_3/PNG", ".png"), [SAID, ""]),
    "CheXpert v1": (lambda p: p.root("CheXpert-v1.0"), [SAID, ""]),
    "CheXpert v1 small": (lambda p: p.root("CheXpert-v1.0-small"), [SAID, ""]),
    "CheXpert v1 twice": (lambda p: p.root("CheXpert-v1.0/CheXpert-v1.0"), [SAID, ""]),
    "paths with the root of v1": (lambda p: [p.cells(
        n, path_to_image=f"CheXpert-v1.0/{r['path_to_image']}") for n, r in enumerate(p.rows)],
        [SAID, ""]),
    "paths with backslashes": (lambda p: p.cells(
        0, path_to_image=p.rows[0]["path_to_image"].replace("/", "\\")), [SAID, ""]),
    "erect": (lambda p: p.cells(0, ap_pa="PA ERECT"), [SAID, ""]),
    "view in lower case": (lambda p: p.cells(0, ap_pa="pa", frontal_lateral="frontal"),
                           [SAID, ""]),
    "cells of pandas": (lambda p: p.cells(0, section_findings="nan"), [SAID, ""]),
    "nan for a report": (lambda p: p.cells(0, section_impression="nan"), ["", ""]),
    "CheXbert": (lambda p: chexbert(p, labels(Edema=1, Cardiomegaly=-1, Pneumonia=None)),
                 [SAID, "pulmonary edema"]),
    "CheXbert beside the table": (lambda p: chexbert(p, labels(Edema=1),
                                  "impression_fixed.json"), [SAID, "pulmonary edema"]),
    "CheXbert does not overrule text": (lambda p: chexbert(p, labels(Edema=1).replace(
        "00002", "00001")), [SAID, ""]),
    "CheXbert, uncertain": (lambda p: chexbert(p, labels(Edema=-1)), [SAID, ""]),
    "one image is gone": (lambda p: (p.folder / SECOND).unlink(), [SAID]),
    "validation": (lambda p: p.cells(1, split="valid"), [SAID, ""]),
}  # fmt: skip


@pytest.mark.parametrize(("change", "prompts"), PLUS.values(), ids=PLUS)
def test_chexpert_plus_is_read(
    change: Callable[[Plus], object], prompts: list[str], tmp_path: Path
) -> None:
    change(Plus(tmp_path))
    rows, counts = survey("chexpert-plus", tmp_path)
    assert [row.prompt.casefold() for row in rows] == prompts
    assert all((tmp_path / row.image).is_file() for row in rows)
    assert counts.rows == 3
    assert sum(counts.left.values()) + len(rows) == 3
    assert counts.left["of another view"] == 1


PLUS_REFUSED = {
    "no table": (lambda p: rename(p, "table.csv"), "no df_chexpert_plus.*There are table.csv"),
    "no images": (lambda p: shutil.rmtree(p.folder / "train"),
                  "looked for train/patient00001/study1/view1_frontal as .jpg"),
    "no PA": (lambda p: [p.cells(n, ap_pa="AP") for n in (0, 1)], r"2 AP \(not asked for\)"),
    "CheXbert as one list": (lambda p: chexbert(p, "[{}]"), "one JSON object"),
    "a CheXbert cell that is a word": (lambda p: chexbert(p, labels(Edema="yes")),
                                       "'yes' in column Edema"),
    "a patient in two splits": (lambda p: p.cells(1, split="valid",
                                deid_patient_id="patient00001"), "two splits"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), PLUS_REFUSED.values(), ids=PLUS_REFUSED)
def test_chexpert_plus_is_refused_by_what_is_wrong(
    change: Callable[[Plus], object], words: str, tmp_path: Path
) -> None:
    change(Plus(tmp_path))
    with pytest.raises(UnreadableInput, match=words) as caught:
        survey("chexpert-plus", tmp_path)
    assert "\n" not in caught.value.message


def test_reports_may_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    m = Mimic(tmp_path / "data")
    shutil.move(str(m.folder / "mimic-cxr-reports"), str(tmp_path / "elsewhere"))
    with_them, counts = survey("mimic-cxr-jpg", m.folder, Wanted(reports=tmp_path / "elsewhere"))
    assert (with_them[0].prompt, counts.reports) == (SAID, 1)
    without_them, counts = survey("mimic-cxr-jpg", m.folder)
    assert (without_them[0].prompt, counts.reports) == ("pulmonary edema", 0)
    assert any("no report was found: looked in" in note for note in counts.notes)
    with pytest.raises(UnreadableInput, match="--reports holds no report"):
        survey("mimic-cxr-jpg", m.folder, Wanted(reports=m.images))


def test_packed_reports_are_told(tmp_path: Path) -> None:
    m = Mimic(tmp_path)
    m.without_reports()
    (tmp_path / "mimic-cxr-reports.zip").write_bytes(b"PK")
    _, counts = survey("mimic-cxr-jpg", tmp_path)
    assert any("mimic-cxr-reports.zip is still packed" in note for note in counts.notes)


def test_the_counts_say_what_was_kept_and_why_the_rest_was_not(tmp_path: Path) -> None:
    m = Mimic(tmp_path)
    (m.images / m.place(2) / "x2-a.jpg").unlink()
    rows, counts = survey("mimic-cxr-jpg", tmp_path, Wanted(("PA", "AP")))
    assert counts.as_dict() == {
        "layout": "mimic-cxr-jpg",
        "table": "mimic-cxr-2.0.0-metadata.csv",
        "rows": 4,
        "images": 2,
        "with_report": 1,
        "by_view_and_split": {"PA, train": 2},
        "captions": {"report": 1, "labels": 1, "none": 0},
        "left_out": {"not on disk": 1, "of another view": 1},
        "notes": [
            "labels from mimic-cxr-2.0.0-chexpert.csv; uncertain ones count as nothing",
            "reports from mimic-cxr-reports/files",
        ],
    }
    assert [row.words_from for row in rows] == ["report", "labels"]
    assert "left out: 1 not on disk, 1 of another view" in counts.lines()


def test_nothing_is_learnt_without_a_caption(tmp_path: Path) -> None:
    m = Mimic(tmp_path)
    m.cells("chexpert", 1, Edema="")
    assert [row.id for row in Collection(tmp_path, "mimic-cxr-jpg").read(("PA",), ("train",))] == [
        "x0-a"
    ]
    labelled(m)
    with pytest.raises(UnreadableInput, match="None of 2 radiographs has a caption"):
        Collection(tmp_path, "mimic-cxr-jpg").read(("PA",), ("train",))
