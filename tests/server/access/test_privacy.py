# SPDX-License-Identifier: Apache-2.0
"""Patient data and prompts that were planted in everything sent are found in no log."""

from pathlib import Path
from typing import Any

from monai_cxr_cf.server.queue.jobs import PARTS
from tests.dicom import makers
from tests.dicom.factory import Spec, save
from tests.server.serving import Serving, finish, post

NAME, NUMBER, WORD, SECRET = "Zebrafinch^Marigold", "PID-470811", "quokka", "s3cret-" * 6
PLANTED = ("zebrafinch", "marigold", "470811", WORD, "s3cret", "xylo-origin")


def test_nothing_planted_is_logged(serve: Any, labels: bytes, tmp_path: Path) -> None:
    serving: Serving = serve(key=SECRET)
    spec = Spec().with_(PatientName=NAME, PatientID=NUMBER, InstitutionName=WORD)
    source = save(tmp_path / f"{NUMBER}.dcm", spec).read_bytes()
    words = f"moderate left pleural effusion and {WORD}"
    told = {"source_prompt": f"{NAME} {NUMBER}", "negative_prompt": WORD}
    with serving.client() as client:
        good = {"dicom": (f"{NAME}.dcm", source), "masks": (f"{NAME}.png", labels)}
        jobs = [post(client, good, **told), post(client, good, **told, seeds=[1, 2], levels=[0.5])]
        for answer in jobs:
            assert answer.status_code == 202, answer.text
        client.get(f"/v1/jobs/{NUMBER}/files/0", params={"name": NAME})
        client.get(f"/{NAME}/{NUMBER}?{WORD}", headers={"x-patient": NAME, "cookie": NUMBER})
        client.get("/v1/jobs", headers={"authorization": f"Bearer {SECRET}x"})
        client.get("/healthz", headers={"origin": "https://xylo-origin.example"})
        client.request(WORD.upper(), "/v1/jobs")
        for make in (makers.bad_uid, makers.colour, makers.no_pixels):
            bad = make(tmp_path).read_bytes().replace(b"Phantom", b"Marigol")
            post(client, {"dicom": (f"{NAME}.dcm", bad)}, prompt=f"{words} {NAME}")
        bad = save(tmp_path / "odd.dcm", spec.with_(PatientBirthDate=f"{WORD}", WindowWidth="0"))
        post(client, {"dicom": bad.read_bytes()}, prompt=words)
        assert post(client, {"dicom": source}, prompt=words).status_code == 400
        states = [finish(client, answer.json()["id"])["state"] for answer in jobs]
    assert states == ["done", "done"]
    assert serving.stop() == 0
    said = serving.said().lower()
    assert "job" in said
    assert "traceback" not in said
    assert [word for word in PLANTED if word.lower() in said] == []
    # The data folder holds what was sent, as it must; only names of files could give it away.
    names = "".join(str(path.relative_to(serving.data)) for path in serving.data.rglob("*"))
    assert [word for word in PLANTED if word.lower() in names.lower()] == []
    assert PARTS[0] in names
