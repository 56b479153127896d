# SPDX-License-Identifier: Apache-2.0
"""What is seen: a banner that never goes, five numbered steps on the left, the views on the right.

Vuetify's widgets by way of trame; every text comes from a field (``fields``), every act goes to
the session.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets import vuetify3 as v

from . import results, sections
from .look import CSS

if TYPE_CHECKING:
    from .session import ViewerSession
    from .views import Views

TITLE = "CXR counterfactual"
TO_RESULT = """
window.setTimeout(() => window.document.getElementById('step-result').scrollIntoView(
  {behavior: 'smooth', block: 'nearest'}), 400)
"""


def build(server: Any, session: "ViewerSession", views: "Views", sample: Path) -> None:
    """Make the page of a server.

    Args:
        server: the trame server.
        session: what the buttons call.
        views: what is drawn on the right.
        sample: the radiograph behind "Open the sample".
    """
    server.state.trame__title = TITLE
    with VAppLayout(server, full_height=True) as layout:
        layout.root.theme = "dark"
        client.Style(CSS)
        with v.VAppBar(density="compact", flat=True, color="#F5C242", height=40):
            html.Strong("{{ badge }}", id="badge", classes="px-4", role="note")
            v.VSpacer()
            html.Span(TITLE, classes="px-4")
        with v.VNavigationDrawer(permanent=True, width=380):
            sections.source(session, sample)
            sections.request()
            sections.region(session)
            sections.running(session)
            results.found(session)
            results.about(session)
        session.on_result(client.JSEval(exec=TO_RESULT).exec)
        with v.VMain(), html.Div(classes="stage"):
            _views(views, layout)
            results.dials()


def _views(views: "Views", layout: Any) -> None:
    dropped = sections.sending("$event.dataTransfer.files")
    attributes = ['@dragover.prevent=""', f'@drop.prevent="{dropped}"']
    with html.Div(classes="views", id="views", raw_attrs=attributes):
        with html.Div(style="width: 100%; height: 100%; display: flex"):
            views.manager.initialize_layout_grid(layout)
        with html.Div(v_if=("!source_name",), classes="empty", id="empty"):
            html.Strong("Drop a DICOM radiograph here")
            html.Span("or open one on the left")
