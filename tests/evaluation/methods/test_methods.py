# SPDX-License-Identifier: Apache-2.0
"""The table of methods: each judged by its own shams, ours subtracted over the same edits."""

from dataclasses import replace
from pathlib import Path

import pytest

from monai_cxr_cf.catalogue.row import Unit
from monai_cxr_cf.catalogue.table import OURS, TABLE, choose
from monai_cxr_cf.cli import main
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.edits.protocol import ADDITIONS, REMOVALS, Input, Settings, Trial
from monai_cxr_cf.evaluation.methods.entries import Entry, able, parsed, trials_of
from monai_cxr_cf.evaluation.methods.run import costs_of, hastened
from monai_cxr_cf.evaluation.methods.table import FIGURES, lines, markdown
from tests.evaluation.edits.rows import JUDGES, row, sham
from tests.methods.quick import backbone

PATIENTS = ("p1", "p2", "p3", "p4")


def made(name: str, *, gain: float, chance: float, beyond: float) -> list[dict]:
    """Edits of four patients by a method, and their shams."""
    more = {"beyond": beyond, **({} if name == OURS else {"method": name})}
    edits = [row(p, geometry_gain=gain, **more) for p in PATIENTS]
    return edits + [sham(p, chance, **more) for p in PATIENTS]


def test_every_method_is_held_to_its_own_shams() -> None:
    rows = made(OURS, gain=2.0, chance=1.0, beyond=0.5)
    rows += made("sdedit", gain=2.0, chance=3.0, beyond=8.0)
    ours, other = lines(rows, JUDGES, [OURS, "sdedit"])
    assert (ours["valid"][0], other["valid"][0]) == (1.0, 0.0)
    assert (ours["beyond"][0], other["beyond"][0]) == (0.5, 8.0)
    assert ours["less_ours"] == {}
    assert other["less_ours"] == {"valid": [-1.0, -1.0, -1.0], "beyond": [7.5, 7.5, 7.5]}
    assert (ours["edits"], ours["patients"], ours["refused"]) == (4, 4, 0)


def test_the_difference_is_over_edits_that_both_made() -> None:
    rows = made(OURS, gain=2.0, chance=1.0, beyond=1.0)
    rows += made("sdedit", gain=2.0, chance=1.0, beyond=2.0)
    rows = [r for r in rows if not (r["patient"] == "p1" and "method" not in r)]
    *_, other = lines(rows, JUDGES, [OURS, "sdedit"])
    assert other["less_ours"]["beyond"][0] == 1.0
    refused = {**row("p9"), "method": "sdedit", "refused": "no_cell"}
    *_, again = lines([*rows, refused], JUDGES, [OURS, "sdedit"])
    assert again["refused"] == 1


def test_the_text_has_a_line_a_method_and_direction() -> None:
    rows = made(OURS, gain=2.0, chance=1.0, beyond=0.5) + made(
        "pie", gain=2.0, chance=1.0, beyond=0.7
    )
    text = markdown(lines(rows, JUDGES, [OURS, "pie"]), {OURS: None, "pie": 545.2})
    assert text.count("| `pie` |") == 1
    assert all(heading in text for heading in FIGURES.values())
    assert "| 545 |" in text
    assert "All removals" not in text


class Loaded:
    """Networks of one backbone, whatever it is called."""

    def __init__(self, shipped=Path("none")):
        self.shipped = shipped

    def folder(self):
        return self.shipped

    def backbone(self, spec):
        kinds = {"eight": "instruct", "tiny-instruct": "instruct", "tiny-inpaint": "inpaint"}
        return backbone(kinds.get(spec, "text"))

    def judge(self, name):
        return None


def test_who_can_run_and_why_the_others_cannot() -> None:
    found, why = able(parsed([], "tiny"), Loaded(), default="tiny")
    assert found[0].method == OURS
    assert set(why) == {
        "ip2p",
        "biomedjourney",
        "instructx2x",
        "external",
        "latent_shift",
        "progemu",
    }
    assert {e.method for e in found} | set(why) == set(TABLE)
    with pytest.raises(BadRequest, match="None of these methods can run"):
        able(parsed(["ip2p"], "tiny"), Loaded(), default="tiny")


def test_progemu_s_folder_is_no_backbone() -> None:
    found, why = able(parsed(["progemu:emu"], "tiny"), Loaded(), default="tiny")
    assert (found[1].backbone, found[1].settings, why) == ("tiny", {"folder": "emu"}, {})


def test_a_method_on_a_backbone_of_its_own_may_be_biomedjourney() -> None:
    found, why = able(parsed(["biomedjourney:eight"], "tiny"), Loaded(), default="tiny")
    assert [(e.method, e.backbone) for e in found] == [(OURS, "tiny"), ("biomedjourney", "eight")]
    assert (found[1].settings, why) == ({"weights": "c0ffee00" * 8}, {})


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        (["gan"], "Unknown method 'gan'"),
        (["pie", "pie:other"], "'pie' is named twice"),
        (["external"], "enter with --external"),
        (["regulated:x"], "'regulated' is named twice"),
    ],
)
def test_a_wrong_name_is_refused(specs, words) -> None:
    with pytest.raises(BadRequest, match=words):
        parsed(specs, "tiny")


def test_every_method_gets_the_same_trials_but_removals_where_it_has_none() -> None:
    source = Input("i", "p", "PA", "i.png")
    asked = [Trial(source, edit, (0, 1)) for edit in (ADDITIONS[0], REMOVALS[0])]
    asked.append(replace(asked[0], sham=True))
    entries = [Entry(name, "cxr-mini") for name in (OURS, "pie", "attend_excite", "external")]
    found = trials_of(asked, entries)
    assert [(t.edit.direction, t.sham, t.settings.method) for t in found] == [
        ("add", False, OURS), ("add", False, "pie"), ("add", False, "attend_excite"),
        ("add", False, "external"), ("remove", False, OURS), ("remove", False, "pie"),
        ("remove", False, "external"), ("add", True, OURS), ("add", True, "pie"),
        ("add", True, "attend_excite"),
    ]  # fmt: skip
    assert [t.seeds for t in found] == [(0, 1)] * 7 + [(0,)] * 3  # a sham costs what an edit does
    assert len({t.identity for t in found}) == len(found)
    assert found[0].identity == asked[0].identity  # ours is what it was without a choice
    assert "method" not in Settings().about()


def test_methods_run_on_the_shipped_unet_of_their_own_kind(tmp_path) -> None:
    for name in ("tiny-instruct", "tiny-inpaint"):
        (tmp_path / name).mkdir()
    asked = parsed(["ip2p", "sd_inpaint", "sdedit", "instructx2x:eight"], "tiny")
    found, why = able(asked, Loaded(tmp_path), default="tiny")
    assert not why
    assert [entry.backbone for entry in found] == [
        "tiny", "tiny-instruct", "tiny-inpaint", "tiny", "eight",
    ]  # fmt: skip
    found, why = able(parsed([], "tiny"), Loaded(tmp_path), default="tiny")
    assert "biomedjourney" in why  # nothing else gets the name


def test_costs_are_for_the_backbone_and_settings_at_hand() -> None:
    entries = [Entry(OURS, "t"), Entry("pie_latent", "t"), hastened(Entry("pie_latent", "t"))]
    assert costs_of(Loaded(), entries[:2])[OURS] is None
    found = [costs_of(Loaded(), [e])["pie_latent"] for e in entries[1:]]
    assert found == pytest.approx([500, 36], abs=3)  # its VAE is nearly free


@pytest.mark.parametrize(
    "name", [n for n, row in TABLE.items() if row.cost and row.solver != "none"]
)
def test_a_hastened_method_can_be_chosen_and_costs_no_more(name) -> None:
    row = TABLE[name]
    cost, unit = row.most or row.cost, Unit(kind=row.kinds[0])
    mine = choose(name, hastened(Entry(name, "t")).settings).settings
    assert cost(mine, unit) <= cost(row.settings, unit)


def test_help_teaches_and_a_wrong_count_is_refused(capsys, tmp_path) -> None:
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "methods", "--help"])
    assert left.value.code == 0
    assert "table1.md" in capsys.readouterr().out
    asked = ["evaluate", "methods", "--data", str(tmp_path), "--out", str(tmp_path / "o")]
    assert main([*asked, "--inputs", "0"]) == 2
