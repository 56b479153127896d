# SPDX-License-Identifier: Apache-2.0
"""What the page shows of a finished run: its verdict on the left, its dials below the views."""

from typing import TYPE_CHECKING

from trame.widgets import html
from trame.widgets import vuetify3 as v

from .sections import SMALL, step

if TYPE_CHECKING:
    from .session import ViewerSession


def found(session: "ViewerSession") -> None:
    """Step 5: what was found, in plain words; its files; the runs before it."""
    with step(5, "Result", "step-result"):
        html.P("Source and counterfactual appear side by side.", v_if=("!compared",))
        with html.Div(v_if=("compared",), id="compare"):
            html.Div("{{ outside }}", classes=("`tone ${outside_tone}`",), id="outside")
            html.Div("{{ verdict }}", classes=("`tone ${verdict_tone}`",), id="verdict")
            html.P("<strong>{{ compare_title }}</strong><br>{{ compare_label }}", id="member")
            html.P("{{ words }}", v_for="words in notes", key="words")
            v.VBtn("Save the DICOM files (ZIP)", id="save", href="result.zip", size="small",
                   variant="tonal", v_if=("savable",), raw_attrs=["download"])  # fmt: skip
            with html.Div(v_if=("past.length > 1",), classes="mt-4"):
                v.VSelect(v_model=("past_run",), items=("past",), id="past",
                          label="Runs of this radiograph",
                          update_modelValue=(session.show_past, "[$event]"), **SMALL)  # fmt: skip


def dials() -> None:
    """Below the views: how to look at them."""
    with html.Div(v_if=("compared",), classes="bar", id="dials", role="group",
                  raw_attrs=['aria-label="How to compare"']):  # fmt: skip
        with html.Div(classes="dial"):
            html.Label("Fade", html_for="fade")
            v.VSlider(v_model=("fade",), min=0, max=1, step=0.05, id="fade", color="primary",
                      density="compact", hide_details=True,
                      raw_attrs=['aria-label="Fade"'])  # fmt: skip
        with html.Div(classes="dial", v_if=("level_top > 0",)):
            html.Label("Severity", html_for="level")
            v.VSlider(v_model=("level",), min=0, max=("level_top",), step=1, id="level",
                      color="primary", density="compact", hide_details=True, show_ticks="always",
                      ticks=("level_ticks",), classes="mb-3",
                      raw_attrs=['aria-label="Severity of the series"'])  # fmt: skip
        v.VSelect(v_if=("seed_items.length > 1",), v_model=("seed",), items=("seed_items",),
                  label="Seed", id="seed", style="flex: 0 0 170px", **SMALL)  # fmt: skip
        for name, words in (
            ("mapped", "Signed change"), ("outlined", "Outlines"), ("one_view", "One view"),
            ("flicker", "Flicker"),
        ):  # fmt: skip
            v.VSwitch(v_model=(name,), label=words, id=name.replace("_", "-"), color="primary",
                      density="compact", hide_details=True)  # fmt: skip


def about(session: "ViewerSession") -> None:
    """What it runs on, whose weights, and what it is not."""
    with html.Section(classes="step", id="about"), html.Details():
        html.Summary("About, licences, check")
        html.P("Research only, never for diagnosis. A counterfactual says how an image might "
               "differ, not what would happen to a patient. For one user at a time; files of "
               "this session are removed when the viewer ends.")  # fmt: skip
        html.P("{{ words }}", v_for="words in licences", key="words")
        html.P("{{ row.ok ? '✔' : '✘' }} <b>{{ row.name }}</b> {{ row.found }}",
               v_for="row in checks", key="row.name")  # fmt: skip
        v.VBtn("Check everything", size="small", variant="tonal", click=session.check)
