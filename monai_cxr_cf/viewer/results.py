# SPDX-License-Identifier: Apache-2.0
"""The steps of the page after a run: compare source and counterfactual, and what all rests on."""

from typing import TYPE_CHECKING

from trame.widgets import html
from trame.widgets import vuetify3 as v

from .sections import SMALL, step

if TYPE_CHECKING:
    from .session import Session


def comparing(session: "Session") -> None:
    """Step 5: what was found, and how to look at it."""
    with step(5, "Compare", "step-compare"):
        html.P("Source and counterfactual appear side by side after a run.",
               v_if=("!compared",))  # fmt: skip
        with html.Div(v_if=("compared",), id="compare"):
            html.Div("{{ outside }}", classes=("`tone ${outside_tone}`",), id="outside")
            html.Div("{{ verdict }}", classes=("`tone ${verdict_tone}`",), id="verdict")
            html.P("<strong>{{ compare_title }}</strong><br>{{ compare_label }}", id="member")
            html.P("{{ words }}", v_for="words in notes", key="words")
            _looking()
            with html.Div(v_if=("past.length > 1",), classes="mt-2"):
                v.VSelect(v_model=("past_run",), items=("past",), label="Runs of this radiograph",
                          id="past", update_modelValue=(session.show_past, "[$event]"), **SMALL)  # fmt: skip


def _looking() -> None:
    _slider("fade", "Fade", "0", "1", 0.05)
    with html.Div(v_if=("level_top > 0",)):
        _slider("level", "Severity of the series", "0", "level_top", 1, ticks=True)
    v.VSelect(v_if=("seed_items.length > 1",), v_model=("seed",), items=("seed_items",),
              label="Seed", id="seed", classes="my-2", **SMALL)  # fmt: skip
    for name, words in (
        ("mapped", "Signed change"), ("outlined", "Outlines of region and rim"),
        ("one_view", "One view"), ("flicker", "Flicker"),
    ):  # fmt: skip
        v.VSwitch(v_model=(name,), label=words, id=name.replace("_", "-"), density="compact",
                  color="primary", hide_details=True)  # fmt: skip
        if name == "mapped":
            with html.Div(v_if=("mapped",)):
                html.Div(classes="legend", raw_attrs=['aria-hidden="true"'])
                html.P("blue: more lucent · nothing: unchanged · red: denser")


def _slider(name: str, words: str, low: str, high: str, each: float, ticks: bool = False) -> None:
    more = {"show_ticks": "always", "ticks": ("level_ticks",), "classes": "mb-4"} if ticks else {}
    html.Label(words, html_for=name, style="font-size: 0.85rem")
    v.VSlider(v_model=(name,), min=(low,), max=(high,), step=each, id=name, color="primary",
              density="compact", hide_details=True, raw_attrs=[f'aria-label="{words}"'], **more)  # fmt: skip


def about(session: "Session") -> None:
    """What it runs on, whose weights, and what it is not."""
    with html.Section(classes="step", id="about"):
        with html.Details():
            html.Summary("About, licences, check", style="cursor: pointer; font-size: 0.85rem")
            html.P("Research only, never for diagnosis. A counterfactual says how an image might "
                   "differ, not what would happen to a patient. For one user at a time; files of "
                   "this session are removed when the viewer ends.")  # fmt: skip
            html.P("{{ words }}", v_for="words in licences", key="words")
            html.P("{{ row.ok ? '✔' : '✘' }} <b>{{ row.name }}</b> {{ row.found }}",
                   v_for="row in checks", key="row.name")  # fmt: skip
            v.VBtn("Check everything", size="small", variant="tonal", click=session.check)
