# SPDX-License-Identifier: Apache-2.0
"""Table, page and evidence say what the rows say, and every cell stands in them."""

import json
from html.parser import HTMLParser

import pytest
from PIL import Image

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.edits.page import examples
from monai_cxr_cf.evaluation.edits.report import write_report
from monai_cxr_cf.evaluation.edits.store import HEADER, ROWS
from monai_cxr_cf.evaluation.edits.table import evidence, tabulate
from monai_cxr_cf.evaluation.edits.valid import judged
from monai_cxr_cf.evaluation.edits.words import markdown
from tests.evaluation.edits.rows import JUDGES, row, sham

SHAMS = [sham(f"s{n}", n / 40, verdict="failed" if n % 4 else "passed") for n in range(20)]
GOOD = [row(f"p{n}", geometry_gain=2.0 + n) for n in range(4)]
BAD = [row("p9", geometry_gain=0.0, prompt='<b>"left"</b> effusion')]
HEART = {"finding": "cardiomegaly", "group": "add cardiomegaly", "cell": "add cardiomegaly, AP",
         "side": None, "mean_shift_side": None, "view": "AP"}  # fmt: skip
MORE = [row(f"r{n}", geometry_gain=2.5) for n in range(2)]  # six of seven are valid
ROWS_MADE = [*GOOD, *MORE, *BAD, *SHAMS, row("q1", **HEART), sham("q2", 0.5, **HEART)]


def table_of(rows=ROWS_MADE, judges=JUDGES) -> dict:
    return tabulate(judged(rows, judges))


def line(table: dict, name: str) -> dict:
    return next(s for s in (*table["cells"], *table["pools"]) if s["name"] == name)


def test_shares_counts_and_pools_follow_the_rows() -> None:
    table = table_of()
    cell = line(table, "add left effusion, PA")
    assert (cell["edits"], cell["shams"], cell["patients"]) == (7, 20, 7)
    assert cell["valid"][0] == pytest.approx(6 / 7, abs=1e-4)
    assert cell["valid"][1] <= 6 / 7 <= cell["valid"][2]
    assert cell["sham_pass"][0] == 0
    assert cell["verdict_passed"][0] == 1
    assert cell["sham_verdict_passed"][0] == pytest.approx(0.25)
    assert cell["j2_gain"][0] == pytest.approx(0.5)
    assert cell["lpips_inside"] == [None, None, None]
    assert line(table, "all additions")["edits"] == 8
    assert line(table, "add pleural effusion")["valid"] == cell["valid"]


def test_bars_are_met_missed_or_not_measured() -> None:
    reached = {bar["what"]: bar["reached"] for bar in table_of()["bars"]}
    assert reached["valid additions, pleural effusion"] is True
    assert reached["valid additions, cardiomegaly"] is False
    assert reached["valid removals"] is None
    assert reached["largest change outside, additions"] is True
    outside = table_of([*ROWS_MADE, row("p7", outside_max_diff=3)])["bars"]
    assert {"largest change outside, additions"} <= {b["what"] for b in outside if not b["reached"]}


def test_evidence_lists_findings_that_pass_their_bar_and_no_other() -> None:
    found = evidence(table_of(), {"backbone cxr-mini": "abc"})
    assert found["findings"] == ["pleural effusion"]
    assert found["figures"]["cardiomegaly"]["valid"][0] == 0
    assert found["weights"] == {"backbone cxr-mini": "abc"}
    wrong_side = [{**r, "mean_shift_side": {"asked": 0.0, "other": 0.0}} for r in ROWS_MADE]
    assert evidence(table_of(wrong_side), {})["findings"] == []
    holes = [{**r, "verdict_failed": ["foreign_grey"]} for r in ROWS_MADE]
    assert line(table_of(holes), "add pleural effusion")["valid"][0] == pytest.approx(
        6 / 7, abs=1e-4
    )
    assert evidence(table_of(holes), {})["findings"] == []
    leak = [*ROWS_MADE, row("p7", outside_max_diff=3)]
    assert evidence(table_of(leak), {})["findings"] == []


def test_geometry_alone_is_marked() -> None:
    assert line(table_of(), "add left effusion, PA")["judged_by"] == "classifier and geometry"
    bare = [{**r, "j2_before": None, "j2_after": None} for r in ROWS_MADE]
    table = table_of(bare, {})
    assert line(table, "add left effusion, PA")["judged_by"] == "geometry alone"
    assert "No classifier judged" in markdown(table, {})


def test_pictures_are_highest_median_lowest_and_the_medians_sham() -> None:
    own = sham("p1", 0.1, input="i_p1")
    shown = examples([*GOOD, *BAD, own], "add left effusion, PA")
    assert [(why, r["patient"]) for why, r in shown] == [
        ("highest gain", "p3"), ("median gain", "p1"), ("lowest gain", "p9"), ("its sham", "p1"),
    ]  # fmt: skip
    assert examples([], "add edema, PA") == []


class Reader(HTMLParser):
    """Collects text, and what a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.loaded: list[str] = []
        self.images_without_words = 0

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.loaded += [found[name] for name in ("src", "href") if name in found]
        self.loaded += ["script"] if tag == "script" else []
        self.images_without_words += tag == "img" and not found.get("alt")

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_holds_every_cell_and_loads_nothing(tmp_path) -> None:
    header = {"protocol": 1, "weights": {"backbone cxr-mini": "abc"}, "judges": JUDGES}
    (tmp_path / HEADER).write_text(json.dumps(header))
    pictured = [{**r, "picture": "one.png"} for r in ROWS_MADE]
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (908, 224)).save(tmp_path / "pictures" / "one.png")
    (tmp_path / ROWS).write_text("".join(json.dumps(r) + "\n" for r in pictured))
    table = write_report(tmp_path)
    html = (tmp_path / "index.html").read_text()
    reader = Reader()
    reader.feed(html)
    text = " ".join(reader.text)
    for name in [s["name"] for s in (*table["cells"], *table["pools"])]:
        assert name in text
        assert f"| {name} |" in (tmp_path / "table.md").read_text()
    assert all(bar["what"] in text for bar in table["bars"])
    assert "AUC 0.90" in text
    assert "does not count" in text
    assert "<b>" not in html
    assert '<b>"left"</b> effusion' in text
    assert all(item.startswith("data:image/png;base64,") for item in reader.loaded)
    assert reader.loaded
    assert reader.images_without_words == 0
    assert json.loads((tmp_path / "evidence.json").read_text())["findings"] == ["pleural effusion"]
    assert json.loads((tmp_path / "table.json").read_text())["edits"] == 8
    with Image.open(tmp_path / "medians.jpg") as sheet:
        assert sheet.width > sheet.height > 0  # two cells, side by side


def test_a_folder_without_a_run_has_no_report(tmp_path) -> None:
    with pytest.raises(BadRequest, match="no run"):
        write_report(tmp_path)
