# SPDX-License-Identifier: Apache-2.0
"""The table of methods: costs as published, settings checked, every fault named and switchable."""

from dataclasses import fields
from pathlib import Path

import pytest

from monai_cxr_cf.catalogue.row import Unit
from monai_cxr_cf.catalogue.settings import Inpaint, Published
from monai_cxr_cf.catalogue.table import TABLE, as_dict, choose, row_of
from monai_cxr_cf.errors import BadRequest

# F of a 512 px image at the published settings, with a source prompt.
COSTS = {
    "sd_inpaint": 104.5,
    "ddim_invert": 154.5,
    "ddpm_invert": 332.5,
    "blended": 80.5,
    "pie": 545.2,
    "pie_latent": 504.5,
    "radedit": 244.5,
    "diffedit": 184.5,
    "ip2p": 304.5,
    "biomedjourney": 304.5,
    "instructx2x": 307.5,
    "latent_shift": 13.9,
    "p2p": 371.5,
    "masactrl": 204.5,
    "attend_excite": 99.5,
    "layout_guidance": 84.5,
    "ledits": 124.5,
    "rse": 106.5,
    "external": 1.4,
    "progemu": 1.4,
}


def test_costs_are_those_of_the_algorithms() -> None:
    assert {n: as_dict(r)["f"] for n, r in TABLE.items() if r.cost} == COSTS
    empty = Unit(source=False)
    most = {n: as_dict(r)["f_at_most"] for n, r in TABLE.items() if r.most}
    assert most == {"attend_excite": 263.7, "latent_shift": 351.9, "layout_guidance": 182.0}
    cheaper = {n: TABLE[n].cost(TABLE[n].settings, empty) for n in ("ddpm_invert", "diffedit")}
    assert cheaper == pytest.approx({"ddpm_invert": 232.5, "diffedit": 144.5}, abs=0.1)
    nine = TABLE["sd_inpaint"].cost(Inpaint(), Unit(kind="inpaint"))
    assert nine == pytest.approx(105.9, abs=0.1)


@pytest.mark.parametrize("name", TABLE)
def test_a_row_says_whose_the_method_is_and_has_words_for_every_setting(name) -> None:
    row = TABLE[name]
    assert row.reference.paper
    assert name == "regulated" or row.reference.licence
    assert all(f.metadata["help"] for f in fields(row.settings))
    if row.defects:
        assert isinstance(row.settings, Published)


def test_an_unknown_method_or_setting_is_refused() -> None:
    with pytest.raises(BadRequest, match="Unknown method 'gan'"):
        row_of("gan")
    with pytest.raises(BadRequest, match="'x' is no setting of 'sd_inpaint'"):
        choose("sd_inpaint", {"x": 1})
    with pytest.raises(BadRequest, match=r"inpaint.steps is 0; allowed is 1 to 1000"):
        choose("sd_inpaint", {"steps": 0})


def test_strengths_are_whole_steps() -> None:
    assert Inpaint(strength=0.58).executed == 29
    assert Inpaint(strength=0.7).share == pytest.approx(0.7)
    with pytest.raises(BadRequest, match="less than one step"):
        _ = Inpaint(strength=0.01).executed


def test_the_page_of_methods_has_every_row_with_its_cost_and_channels() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text("utf-8")
    cells = [
        [c.strip() for c in line.split("|")[1:-1]] for line in page.splitlines() if "|" in line
    ]
    told = {row[0].strip("`"): row for row in cells if row[0].startswith("`")}
    assert set(told) == set(TABLE)
    for name, row in TABLE.items():
        known = as_dict(row)
        kinds = ", ".join(map(str, known["channels"]))
        assert told[name][2] == ("any" if len(row.kinds) == 3 else kinds)
        if row.cost is not None:
            both = [f(row.settings, Unit(kind=row.kinds[0])) for f in (row.cost, row.most) if f]
            assert told[name][3] == " to ".join(f"{value:.0f}" for value in both), name
        assert ("additions only" in told[name][1]) != row.removes
