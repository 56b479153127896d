# SPDX-License-Identifier: Apache-2.0
"""An audit by the server, from uploads to the report; a caller names nothing of this machine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from monai_cxr_cf.audit.report.write import schema
from monai_cxr_cf.cli import build_parser
from monai_cxr_cf.commands.serve import settings_from
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.server.uploads.audit_order import classifier_digest
from tests.audit.models import YAML, onnx
from tests.server.browser import Browser
from tests.server.serving import Serving, Web, finish

KEY = "a-key-for-the-audit-tests"
ENTER = "\ue007"
ORDER = {"model": "mine", "findings": ["left pleural effusion"], "levels": [1.0]}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Serving]:
    """A server with a tiny ONNX file, and one that is gone."""
    home = tmp_path_factory.mktemp("audits")
    onnx(home / "net.onnx")
    (home / "a.yaml").write_text(YAML)
    words = ["--backbone", f"tiny={tiny_folder}"]
    for name, file in (("mine", "net.onnx"), ("gone", "gone.onnx")):
        words += ["--audit-model", f"{name}={home / file}"]
        words += ["--audit-preprocessing", f"{name}={home / 'a.yaml'}"]
    found = Serving(home / "data", *words, key=KEY).start()
    yield found
    assert found.stop() == 0


def test_a_name_for_another_classifier_is_another_job(tmp_path: Path) -> None:
    (tmp_path / "n.onnx").write_bytes(b"1")
    (tmp_path / "a.yaml").write_text(YAML)
    net, yaml = str(tmp_path / "n.onnx"), str(tmp_path / "a.yaml")
    first = classifier_digest(net, yaml)
    assert first == classifier_digest(net, yaml) != classifier_digest("j1", None)
    (tmp_path / "n.onnx").write_bytes(b"2")
    second = classifier_digest(net, yaml)
    (tmp_path / "a.yaml").write_text(YAML + "# other\n")
    assert len({first, second, classifier_digest(net, yaml)}) == 3


def ask(client: httpx.Client, files: Any, **order: Any) -> httpx.Response:
    data = {"kind": "audit", "request": json.dumps({**ORDER, **order})}
    return client.post("/v1/jobs", data=data, files=[("radiographs", ("x", f)) for f in files])


def test_an_audit_from_uploads_to_the_report(serving: Serving, root: Path) -> None:
    chest = (root / "docs" / "example.dcm").read_bytes()
    home = str(serving.data.parent)
    with serving.client() as client:
        offered = client.get("/v1/capabilities").json()["audit"]["models"]
        assert offered == ["j1", "j2", "mine", "gone"]
        job = finish(client, ask(client, [chest, chest]).json()["id"])  # one patient
        assert job["state"] == "done", job
        at = f"/v1/jobs/{job['id']}"
        names = [f["name"] for f in client.get(f"{at}/files").json()]
        assert names == ["index.html", "audit.json", "rows.csv", "one-1.dcm", "one-1.png"]
        page, told, rows = (client.get(f"{at}/files/{n}") for n in range(3))
        assert "sandbox; default-src 'none'" in page.headers["content-security-policy"]
        found = told.json()
        jsonschema.validate(found, schema())
        assert found["edits"]["fields"] == {"backbone": "tiny", "preset": "fast"}
        assert found["page_one"] == job["result"]["page_one"]
        assert home not in page.text + told.text + rows.text
        events = map(json.loads, client.get(f"{at}/events").text.splitlines())
        assert {e.get("stage") for e in events} == {None, "rows", "scores"}
        folder = serving.data / "jobs" / job["id"]
        assert sorted(p.name for p in folder.iterdir()) == ["in", "out"]
        lost = finish(client, ask(client, [chest], model="gone").json()["id"])
        assert lost["error"]["message"] == "The classifier 'gone' cannot be loaded."
        assert home not in json.dumps(lost)
        stops = ask(client, [chest], seed=1).json()["id"]
        client.delete(f"/v1/jobs/{stops}")
        assert finish(client, stops)["state"] == "cancelled"


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"model": "/etc/passwd"}, "no classifier of that name"),
        ({"model": "os:system"}, "no classifier of that"),
        ({"preprocessing": "a.yaml"}, "preprocessing: Extra"),
        ({"backbone": "/models"}, "not offered"),
        ({"preset": "none"}, "preset"),
        ({"findings": ["a blue moon"]}, "'blue'"),
        ({"levels": [0.5]}, "levels"),
        ({}, "are 202 edits"),
    ],
)
def test_what_it_refuses(caller: httpx.Client, web: Web, order: Any, words: str) -> None:
    answer = ask(caller, [b"x"] * (1 if order else 101), **{"model": "j1", **order})
    assert answer.status_code == 400
    assert words in answer.json()["message"]
    assert not list((web.data / "incoming").iterdir())


def test_files_are_looked_at_and_fields_belong_together(caller: httpx.Client) -> None:
    assert ask(caller, [b"no radiograph"], model="j1").status_code == 415
    files = {"radiographs": b"x", "dicom": b"x"}
    for kind, order in (("edit", {"prompt": "left edema"}), ("audit", {**ORDER, "model": "j1"})):
        data = {"kind": kind, "request": json.dumps(order)}
        answer = caller.post("/v1/jobs", data=data, files=files)
        assert answer.json()["message"] == "radiographs is a field of audits, instead of dicom."


@pytest.mark.parametrize("word", ["model=net.onnx", "model=j1=a", "model=a/b=a", "model=a=m:f",
                                  "preprocessing=a=a"])  # fmt: skip
def test_what_the_operator_may_not_say(word: str) -> None:
    with pytest.raises(BadRequest, match="--audit-"):
        settings_from(build_parser().parse_args(["serve", f"--audit-{word}"]))


def test_the_page_runs_one_and_opens_its_report(
    serving: Serving, tmp_path: Path, root: Path
) -> None:
    chest, browser = root / "docs" / "example.dcm", Browser(tmp_path / "profile", tmp_path)
    try:
        browser.driver.get(serving.url)
        browser.until(lambda: browser.shown("key-dialog"))
        browser.keys(KEY, ENTER)
        browser.until(lambda: browser.element("backbone").get_attribute("value"))
        browser.element("audit").click()
        browser.element("audit-model").send_keys("mine")
        browser.element("audit-files").send_keys(str(chest))
        browser.element("audit-findings").send_keys("left pleural effusion, ", ENTER)
        browser.until(lambda: browser.shown("progress"))
        browser.until(lambda: browser.focused() == "report")
        with serving.client() as client:  # the same as one file; the page follows it by its id
            order = json.dumps({name: ORDER[name] for name in ("model", "findings")})
            data = {"kind": "audit", "request": order}
            job = client.post("/v1/jobs", data=data, files={"dicom": chest.read_bytes()}).json()
        browser.driver.get(f"{serving.url}/#{job['id']}")
        browser.driver.refresh()
        browser.until(lambda: browser.focused() == "report")
        browser.keys(ENTER)
        browser.driver.switch_to.window(browser.driver.window_handles[-1])
        assert browser.driver.title == "What does mine look at?"
        assert browser.element("page-one").value_of_css_property("display") == "grid"
        assert not browser.complaints()
    finally:
        browser.driver.quit()
