# SPDX-License-Identifier: Apache-2.0
"""The numbered steps of the page before and while it runs: radiograph, request, region, run."""

from pathlib import Path
from typing import TYPE_CHECKING

from trame.widgets import html
from trame.widgets import vuetify3 as v

from . import fields

if TYPE_CHECKING:
    from .session import ViewerSession

SMALL = {"density": "compact", "hide_details": True, "variant": "outlined"}
SEND = "window.fetch('upload?name=' + encodeURIComponent({0}.name), {{method: 'POST', body: {0}}})"
LEVELS_BY = (
    "[{title: 'blend of source and edit', value: 'blend'},"
    " {title: 'guidance, each drawn anew', value: 'guidance'}]"
)
INPUTS = "!enabled.includes('inputs')"


def sending(files: str) -> str:
    """JavaScript that sends the first of some files, if there is one."""
    act = f"opening = true; {SEND.format(f'{files}[0]')}.finally(() => {{ opening = false }})"
    return f"if ({files} && {files}.length) {{ {act} }}"


def step(number: int, title: str, name: str) -> html.Section:
    """A numbered section; to be used with ``with``."""
    section = html.Section(classes="step", id=name, raw_attrs=[f'aria-label="{title}"'])
    with section:
        html.H2(f"<b>{number}</b>{title}")
    return section


def source(session: "ViewerSession", sample: Path) -> None:
    """Step 1: a file, by picking or dropping it, or the sample."""

    def open_sample() -> None:
        session.open_file(sample, "Sample: a drawn chest, no patient")

    with step(1, "Radiograph", "step-source"):
        html.P("{{ source_name || 'Any frontal chest radiograph as DICOM: DX, CR or SC.' }}",
               id="source-name")  # fmt: skip
        with html.Div(classes="row"):
            html.Input(
                type="file", id="file", classes="sr-only", tabindex=-1,
                raw_attrs=['aria-label="DICOM file"'],
                change=f"{sending('$event.target.files')}; $event.target.value = ''",
            )  # fmt: skip
            v.VBtn("Open DICOM …", id="open", size="small", color="primary", disabled=("running",),
                   loading=("opening",),
                   click="window.document.getElementById('file').click()")  # fmt: skip
            v.VBtn("Open the sample", id="sample", size="small", variant="tonal",
                   disabled=("running",), click=open_sample)  # fmt: skip
        html.Div("{{ source_words }}", v_if=("source_words",), classes="tone bad",
                 id="source-words", role="alert")  # fmt: skip


def request() -> None:
    """Step 2: the finding, picked or typed, and how it is drawn."""
    with step(2, "What should change", "step-request"):
        with v.VBtnToggle(v_model=("way",), mandatory=True, density="compact", divided=True,
                          classes="mb-3", variant="outlined", disabled=(INPUTS,)):  # fmt: skip
            v.VBtn("Pick", value=fields.PICK, size="small", id="pick")
            v.VBtn("Type", value=fields.TYPE, size="small", id="type")
        with html.Div(v_if=("way == 'pick'",)):
            _picked()
        with html.Div(v_else=True):
            v.VCombobox(v_model=("prompt",), items=("prompt_items",), id="prompt",
                        label="In words, e.g. moderate left pleural effusion",
                        disabled=(INPUTS,), classes="mb-2", **SMALL)  # fmt: skip
        html.P("{{ finding_note }}", v_if=("finding_note",), id="finding-note")
        _how()


def _picked() -> None:
    v.VAutocomplete(v_model=("finding",), items=("finding_items",), label="Finding",
                    id="finding", disabled=(INPUTS,), classes="mb-3", **SMALL)  # fmt: skip
    with html.Div(classes="row mb-2"):
        v.VSelect(v_model=("direction",), label="Do", id="direction", disabled=(INPUTS,),
                  items=("['add', 'remove']",), **SMALL)  # fmt: skip
        v.VSelect(v_model=("side",), items=("side_items",), label="Patient's side", id="side",
                  disabled=(f"{INPUTS} || !sided",), **SMALL)  # fmt: skip
    with html.Div(classes="row"):
        html.Label("Severity {{ severity.toFixed(2) }}", html_for="severity",
                   style="min-width: 96px; font-size: 0.85rem")  # fmt: skip
        v.VSlider(v_model=("severity",), min=0, max=1, step=0.05, id="severity", color="primary",
                  disabled=(f"{INPUTS} || direction == 'remove'",), hide_details=True,
                  density="compact", raw_attrs=['aria-label="Severity"'])  # fmt: skip


def _how() -> None:
    """Preset and series; what is seldom needed is folded away."""
    with html.Div(classes="row mt-3 mb-2"):
        v.VSelect(v_model=("preset",), items=("['fast', 'default', 'paper']",), label="Preset",
                  id="preset", disabled=(INPUTS,), **SMALL)  # fmt: skip
        v.VTextField(v_model=("levels",), label="Severities", id="levels",
                     placeholder="0.25, 0.5, 1", disabled=(INPUTS,), **SMALL)  # fmt: skip
    with html.Details(id="more"):
        html.Summary("Zone, seeds, how severities are made, images to accept")
        with html.Div(classes="row my-2"):
            v.VSelect(v_model=("zone",), items=("zone_items",), label="Zone", id="zone",
                      disabled=(f"{INPUTS} || way == 'type'",), **SMALL)  # fmt: skip
            v.VTextField(v_model=("seeds",), label="Seeds", id="seeds", placeholder="1, 2, 3",
                         disabled=(INPUTS,), **SMALL)  # fmt: skip
        v.VSelect(v_model=("levels_by",), items=(LEVELS_BY,), label="Severities by",
                  id="levels_by", disabled=(f"{INPUTS} || !levels.trim()",), **SMALL)  # fmt: skip
        for value, words in (
            ("allow_burned_in", "text burned into the picture"),
            ("allow_body_part", "another body part in the header"),
            ("allow_lateral", "a lateral or oblique view"),
        ):
            v.VCheckbox(v_model=("accepted",), value=value, label=words, density="compact",
                        hide_details=True, disabled=(INPUTS,))  # fmt: skip


def region(session: "ViewerSession") -> None:
    """Step 3: where it may change, shown before anything runs."""
    with step(3, "Region that may change", "step-region"):
        v.VBtn("Show region on the image", id="region", size="small", variant="tonal",
               click=session.show_region, loading=("region_busy",),
               disabled=("!enabled.includes('region')",))  # fmt: skip
        html.P("{{ region_words }}", id="region-words", raw_attrs=['aria-live="polite"'])


def running(session: "ViewerSession") -> None:
    """Step 4: run, how far it is, cancel; what went wrong and what to do."""
    with step(4, "Run", "step-run"):
        with html.Div(classes="row"):
            v.VBtn("{{ run_label }}", id="run", color="primary", click=session.run,
                   disabled=("!enabled.includes('run')",))  # fmt: skip
            v.VBtn("Cancel", id="cancel", variant="outlined", v_if=("running",),
                   click=session.cancel, disabled=("!enabled.includes('cancel')",))  # fmt: skip
            html.Span("{{ estimate }}", style="font-size: 0.8rem; opacity: 0.8")
        v.VProgressLinear(v_if=("running || busy",), model_value=("progress",), id="progress",
                          indeterminate=("busy",), classes="mt-2", height=6, rounded=True,
                          raw_attrs=['aria-label="Progress"'])  # fmt: skip
        with html.Div(classes=("`tone ${tone}`",), id="status", role="status"):
            html.Strong("{{ title }}", id="title")
            html.Span("{{ message }}", id="message")
            html.Em("{{ hint }}", v_if=("hint",), id="hint", style="display: block")
        html.Div("{{ words }}", v_for="words in warnings", key="words", classes="tone doubt")
        html.Img(v_if=("preview && running",), src=("preview",), alt="What there is so far",
                 style="width: 100%; border-radius: 4px")  # fmt: skip
        _trouble(session)


def _trouble(session: "ViewerSession") -> None:
    with html.Div(v_if=("failed || details || state == 'NoRunner'",), classes="row"):
        v.VBtn("{{ unfolded ? 'Hide details' : 'Show details' }}", id="details-button",
               v_if=("details || report",), size="small", variant="text",
               click="unfolded = !unfolded")  # fmt: skip
        v.VBtn("Copy report", id="copy", v_if=("report",), size="small", variant="text",
               click="window.navigator.clipboard.writeText(report)")  # fmt: skip
        v.VBtn("Dismiss", id="dismiss", v_if=("failed",), size="small", variant="text",
               click=session.dismiss)  # fmt: skip
        v.VBtn("Check again", id="check", v_if=("state == 'NoRunner'",), size="small",
               click=session.check)  # fmt: skip
    html.Div("{{ report }}", v_if=("unfolded && report",), classes="details mb-2", id="report",
             tabindex=0)  # fmt: skip
    html.Div("{{ details }}", v_if=("unfolded && details",), classes="details", id="details",
             tabindex=0)  # fmt: skip
