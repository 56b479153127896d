# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate attention``: what is asked, the table's arithmetic, and that it goes on."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.cli import main
from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.diffusion.attention.groups import GROUPS, TAIL
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.attention.asked import PROMPTS, asked_for
from monai_cxr_cf.evaluation.attention.run import chosen
from monai_cxr_cf.evaluation.attention.table import matrix, table_text, tabulate
from monai_cxr_cf.evaluation.bootstrap import interval

WORDS = {
    "moderate left pleural effusion": {"finding": ["pleural", "effusion"],
                                       "modifier": ["moderate", "left"]},
    "there is a large right pleural effusion in the right lung": {
        "finding": ["pleural", "effusion"], "modifier": ["large", "right", "right"],
        "organ": ["lung"], "other": ["there", "is", "a", "in", "the"]},
    "the heart is severely enlarged": {"finding": ["enlarged"], "organ": ["heart"],
                                       "modifier": ["severely"], "other": ["the", "is"]},
    "left lower lobe consolidation": {"finding": ["consolidation"],
                                      "modifier": ["left", "lower", "lobe"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def data(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example radiograph as that of two patients, and a third with a finding."""
    folder = tmp_path_factory.mktemp("census")
    (folder / "images").mkdir()
    lines = ["id,patient,view,split,labels"]
    for name, label in (("a", "No Finding"), ("b", "No Finding"), ("c", "Edema")):
        (folder / "images" / f"{name}.dcm").symlink_to(root / "docs" / "example.dcm")
        lines.append(f"{name},p{name},PA,test,{label}")
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def command(data: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A census of two radiographs, two prompts and two timesteps."""
    out = tmp_path_factory.mktemp("out") / "census"
    return [
        *("evaluate", "attention", "--data", str(data), "--out", str(out)),
        *("--backbone", str(tiny_folder), "--findings", "effusion", "--images", "2"),
        *("--timesteps", "300", "600", "--device", "cpu", "--progress", "none"),
    ]


@pytest.fixture(scope="module")
def finished(command: list[str]) -> Path:
    """What the command leaves."""
    assert main(command) == 0
    return Path(command[5])


@pytest.mark.parametrize(("text", "expected"), WORDS.items())
def test_every_word_of_a_prompt_is_in_its_group(tiny_folder, text, expected) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder / "tokenizer")
    (asked,) = asked_for(prompts=[text])
    groups = asked.groups(tokenizer)
    spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    for name in ("finding", "modifier", "organ", "other"):
        letters = "".join(text[slice(*spans[k])] for k in groups[name])
        assert letters == "".join(expected.get(name, [])), name
    assert sorted(k for where in groups.values() for k in where) == list(range(77))


def test_a_census_asks_of_findings_or_the_user_s_own_words() -> None:
    assert [asked.finding for asked in asked_for()] == [n for n in PROMPTS for _ in range(2)]
    assert {asked.finding for asked in asked_for(["effusions"])} == {"pleural effusion"}
    (own,) = asked_for(prompts=["left apical pneumothorax", "left apical pneumothorax"])
    assert own.finding == "pneumothorax"
    with pytest.raises(BadRequest, match="no prompts for 'pneumothorax'"):
        asked_for(["pneumothorax"])
    with pytest.raises(BadRequest, match="removes a finding"):
        asked_for(prompts=["no cardiomegaly"])


def test_radiographs_without_findings_come_first_one_a_patient(data: Path) -> None:
    rows = read_index(data)
    assert [row.id for row in chosen(rows, 3)][2] == "c"
    assert {row.id for row in chosen(rows, 2)} == {"a", "b"}


def row(patient: str, t: int, value: float, **changes) -> dict:
    """A made row: the finding's words and padding alone."""
    levels = {
        at: dict.fromkeys(GROUPS, 0.0) | {"finding": 0.2, "padding": 0.7, "eos": 0.1}
        for at in ("0", "3")
    }
    tokens = {"finding": 2, "eos": 1, "padding": 74, TAIL: 75}
    figures = {"finding": value, "eos": 0.0, "padding": 1 - value, TAIL: 1.0}
    made = {
        "input": patient, "patient": patient, "finding": "edema", "prompt": "edema",
        "timestep": t, "tokens": tokens, "change": 0.1, "mass": levels, "without": figures,
        "alone": figures, "without_at": dict.fromkeys(levels, figures),
    }  # fmt: skip
    return {**made, **changes}


def test_the_table_holds_means_and_intervals_over_patients() -> None:
    rows = [row("p", 600, 0.1), row("p", 300, 0.3), row("q", 600, 0.5)]
    (entry,) = tabulate(rows)
    assert (entry["patients"], entry["rows"], entry["change"]) == (2, 3, 0.1)
    own, _, _, both = entry["groups"]
    assert own["without"] == [round(v, 4) for v in interval([0.1, 0.3, 0.5], ["p", "p", "q"])]
    assert own["mass"] == [0.2, 0.2, 0.2]
    assert own["by_step"] == {"600": {"mass": 0.2, "without": 0.3},
                              "300": {"mass": 0.2, "without": 0.3}}  # fmt: skip
    assert own["by_level"]["3"] == {"mass": 0.2, "without": 0.3}
    assert (both["group"], both["tokens"], both["mass"][0]) == (TAIL, 75, 0.8)


def test_a_group_that_no_prompt_has_is_left_out_and_no_effect_is_unknown() -> None:
    nothing = dict.fromkeys(("finding", "eos", "padding", TAIL))
    (entry,) = tabulate([row("p", 600, 0.1, without=nothing, alone=nothing)])
    assert [one["group"] for one in entry["groups"]] == ["finding", "eos", "padding", TAIL]
    assert entry["groups"][0]["without"] is None
    text = table_text({"backbone": "x", "carrier": "finding", "table": [entry]})
    assert "| the finding's words | 2 | 20.0 % | - | - | 10.0 % | 10.0 % |" in text


def test_the_heat_map_has_levels_then_timesteps() -> None:
    (entry,) = tabulate([row("p", 600, 0.1), row("p", 300, 0.3)])
    names, columns, values = matrix(entry, "without")
    assert columns == ["level 0", "mid", "t 600", "t 300"]
    assert names[-1] == "end and padding together"
    np.testing.assert_allclose(values[0], [0.2, 0.2, 0.1, 0.3])
    assert len(matrix(entry, "mass")[0]) == 3  # the last is a sum of the others


def test_the_folder_holds_the_answer_tables_and_pictures(finished: Path) -> None:
    table = json.loads((finished / "table.json").read_text())
    census = json.loads((finished / "census.json").read_text())
    (entry,) = table["table"]
    assert (entry["patients"], entry["rows"]) == (2, 8)
    by_group = {one["group"]: one for one in entry["groups"]}
    assert set(by_group) == {*GROUPS, TAIL}
    masses = [by_group[name]["mass"][0] for name in GROUPS[:3]]
    assert all(0 < mass < 1 for mass in masses)
    assert by_group["bos"]["without"] == [0, 0, 0]
    assert 0 < by_group["finding"]["without"][0] < by_group[TAIL]["without"][0] <= 1.2
    assert census["carrier"] == table["carrier"] == "finding+eos"
    assert census["finding_words"] == {"pleural effusion": by_group["finding"]["without"][0]}
    assert set(census["files"])
    assert all(len(digest) == 64 for digest in census["files"].values())
    assert "The end token and the padding carry the finding" in (finished / "table.md").read_text()
    for name in ("census.png", "attention.png"):
        with Image.open(finished / name) as picture:
            assert min(picture.size) > 200


def test_a_stopped_census_goes_on_where_it_was(
    finished: Path, command: list[str], tmp_path
) -> None:
    lines = (finished / "rows.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_text("".join(lines[:5]) + lines[5][:20])
    assert main([*command[:5], str(tmp_path), *command[6:]]) == 0
    again = (tmp_path / "rows.jsonl").read_text().splitlines(keepends=True)
    assert again[:5] == lines[:5]
    assert len(again) == len(lines)
    one, two = (json.loads((folder / "table.json").read_text()) for folder in (finished, tmp_path))
    first, second = (told["table"][0]["groups"][1] for told in (one, two))
    assert first["without"] == pytest.approx(second["without"], abs=1e-4)
    assert first["by_level"].keys() == second["by_level"].keys() == {"0", "1", "2", "3"}


def test_a_second_start_measures_nothing_again(
    finished: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    from monai_cxr_cf.evaluation.attention import run

    before = (finished / "rows.jsonl").read_bytes()
    table = (finished / "table.json").read_bytes()

    def refuse(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(run, "measure", refuse)
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(table)
    assert (finished / "rows.jsonl").read_bytes() == before
    assert (finished / "table.json").read_bytes() == table


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--timesteps", "1000"], "Timestep 1000 is asked for; this backbone has 0 (clean) to 999"),
        (["--split", "judge"], "There is no split 'judge'."),
        (["--findings", "heartache"], "Unknown finding 'heartache'"),
        (["--prompts", "no effusion"], "removes a finding"),
        (["--images", "0"], "no whole number from 1"),
        (["--backbone", "/nowhere/at/all"], "No backbone"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    command: list[str], tmp_path: Path, capsys, words, said
) -> None:
    other = [*command[:4], "--out", str(tmp_path / "new"), *command[6:], *words]
    try:
        code = main(other)
    except SystemExit as leaving:  # argparse
        code = leaving.code
    assert code in (2, 3)
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "new" / "table.json").exists()
