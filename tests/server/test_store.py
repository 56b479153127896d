# SPDX-License-Identifier: Apache-2.0
"""With a real store: find a study, run, send the results, read them back; twice is once."""

import json
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from monai_cxr_cf.dicom.store.pacs import Pacs
from monai_cxr_cf.dicom.writing.banner import TEXT
from monai_cxr_cf.errors import BadRequest
from tests.dicom.factory import Spec, save
from tests.server.orthanc import Orthanc
from tests.server.serving import ROOT, Serving, finish, post

pytestmark = pytest.mark.server
pytest.importorskip("dicomweb_client", reason="pip install '.[server]'")


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """One store for the module; it holds one study with a CR image and a CT image."""
    folder = tmp_path_factory.mktemp("orthanc")
    store = Orthanc(folder)
    store.put(save(folder / "chest.dcm", Spec(sop="CR")).read_bytes())
    other = dcmread(folder / "chest.dcm")
    other.Modality, other.SOPInstanceUID = "CT", "1.2.3.4"
    other.SeriesInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    other.save_as(folder / "other.dcm")
    store.put((folder / "other.dcm").read_bytes())
    yield store
    store.stop()


@pytest.fixture(scope="module")
def chest(orthanc: Orthanc) -> dict[str, str]:
    """The UIDs of the radiograph, found by QIDO."""
    (series,) = Pacs(orthanc.url).find_series()
    (found,) = Pacs(orthanc.url).find(study=series.study, series=series.series)
    return {"study": found.study, "series": found.series, "instance": found.instance}


@pytest.fixture(scope="module")
def storing(orthanc: Orthanc, serve: Any) -> Serving:
    """A server that may store into it."""
    started: Serving = serve("--dicomweb", orthanc.url, "--allow-store")
    return started


@pytest.fixture(scope="module")
def job(storing: Serving, chest: dict[str, str], labels: bytes) -> str:
    """A finished edit of the image in the store."""
    request = {"prompt": "moderate left pleural effusion", "overrides": {"sampling": {"steps": 4}}}
    with storing.client() as client:
        sent = client.post(
            "/v1/jobs",
            data={"request": json.dumps(request), **chest},
            files={"masks": ("labels.png", labels)},
        )
        assert sent.status_code == 202, sent.text
        done = finish(client, sent.json()["id"])
    assert done["state"] == "done", done["error"]
    return str(done["id"])


def test_a_radiograph_is_found_and_fetched_byte_for_byte(
    orthanc: Orthanc, chest: dict[str, str], tmp_path: Path
) -> None:
    Pacs(orthanc.url).fetch(**chest, path=tmp_path / "back.dcm")
    assert (tmp_path / "back.dcm").read_bytes() == orthanc.instances()[chest["instance"]]


def test_an_instance_that_is_not_there_is_the_callers_mistake(
    orthanc: Orthanc, chest: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(BadRequest) as refused:
        Pacs(orthanc.url).fetch(**{**chest, "instance": "1.2.3"}, path=tmp_path / "back.dcm")
    assert refused.value.code == "not_in_store"


def test_results_go_to_the_store_and_come_back_the_same_and_twice_is_once(
    orthanc: Orthanc, storing: Serving, job: str
) -> None:
    before = set(orthanc.instances())
    order = {"destination": orthanc.url, "verify": True}
    with storing.client() as client:
        sent = {
            file["sop_uid"]: client.get(f"/v1/jobs/{job}/files/{file['index']}").content
            for file in client.get(f"/v1/jobs/{job}/files").json()
            if file["role"] in ("cf", "diff", "seg", "sr")
        }
        answers = [client.post(f"/v1/jobs/{job}/store", json=order) for _ in range(2)]
    assert [a.status_code for a in answers] == [200, 200], answers[0].text
    assert sorted(answers[0].json()["roles"]) == ["banner", "cf", "diff", "seg", "sr"]
    now = orthanc.instances()
    (banner,) = set(now) - before - set(sent)
    assert len(now) == len(before) + 5
    for uid, data in sent.items():
        ours, back = dcmread(BytesIO(data)), dcmread(BytesIO(now[uid]))
        assert ours.StudyInstanceUID == back.StudyInstanceUID
        if "PixelData" in ours:
            assert np.array_equal(ours.pixel_array, back.pixel_array)
    note = dcmread(BytesIO(now[banner])).GraphicAnnotationSequence[0].TextObjectSequence[0]
    assert note.UnformattedTextValue == TEXT


def test_nothing_is_sent_to_a_destination_that_the_caller_does_not_name(
    orthanc: Orthanc, storing: Serving, job: str
) -> None:
    with storing.client() as client:
        for body in ({}, {"destination": "http://127.0.0.1:1/dicom-web"}, {"destination": ""}):
            answer = client.post(f"/v1/jobs/{job}/store", json=body)
            assert answer.status_code == 400, answer.text


def test_without_the_flag_nothing_is_sent(orthanc: Orthanc, within: Any) -> None:
    with within(dicomweb=orthanc.url) as client:
        answer = client.post("/v1/jobs/0/store", json={"destination": orthanc.url})
    assert (answer.status_code, answer.json()["code"]) == (403, "store_off")


def test_a_job_on_an_image_that_the_store_lacks_is_refused(
    storing: Serving, chest: dict[str, str], files: dict[str, Any]
) -> None:
    with storing.client() as client:
        form = {"request": '{"prompt": "cardiomegaly"}', **chest}
        gone = client.post("/v1/jobs", data={**form, "instance": "1.2.3"})
        path = client.post("/v1/jobs", data={**form, "instance": "../../x"})
        both = post(client, {**files, "study": (None, "1.2")})
    assert [a.status_code for a in (gone, path, both)] == [400, 400, 400]
    assert gone.json()["code"] == "not_in_store"


def test_series_of_the_store_are_images_for_label_clients(
    storing: Serving, orthanc: Orthanc, chest: dict[str, str]
) -> None:
    with storing.client() as client:
        listed = client.get("/datastore/", params={"output": "all"}).json()["objects"]
        image = client.get("/datastore/image", params={"image": chest["series"]})
    assert chest["series"] in listed
    assert image.content == orthanc.instances()[chest["instance"]]


def test_the_command_line_finds_fetches_and_stores(
    orthanc: Orthanc, storing: Serving, job: str, chest: dict[str, str], tmp_path: Path
) -> None:
    def said(*words: str) -> str:
        run = subprocess.run(
            [sys.executable, "-m", "monai_cxr_cf.cli", "pacs", *words],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        return run.stdout

    out = storing.data / "jobs" / job / "out"
    file = tmp_path / "chest.dcm"
    assert chest["instance"] in said("find", orthanc.url, "--study", chest["study"])
    said("fetch", orthanc.url, *chest.values(), "--out", str(file))
    assert dcmread(file).SOPInstanceUID == chest["instance"]
    before = set(orthanc.instances())
    assert said("store", orthanc.url, str(out), "--verify").startswith("5 files stored")
    assert said("store", orthanc.node, str(out)).startswith("5 files stored")
    assert len(before | set(orthanc.instances())) <= len(before) + 5
