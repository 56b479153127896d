# SPDX-License-Identifier: Apache-2.0
"""What is asked of whoever shows a run: the panel in Slicer, or the page in a browser.

The presenter knows nobody who shows. ``panel.effects`` does what it asks for, and calls what shows
a run by this face alone. No qt, no slicer.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .presenter import Presenter
from .states import Happening

Made = TypeVar("Made", contravariant=True)  # a run in the scene (scene.history.Added)


class Surface(Protocol[Made]):
    """One screen: it shows the view of its presenter, and lets it hear what happens."""

    presenter: Presenter

    @property
    def source(self) -> Any:
        """The radiograph's node, or None."""

    def feed(self, happening: Happening) -> None:
        """Let something happen, show it, and do what follows."""

    def check_runner(self) -> None:
        """Look whether a run would work; what is found is fed as ``Checked``."""

    def reading(self) -> dict[str, bool]:
        """What the strict reader may let pass."""

    def write_region(self, folder: Path) -> Path | None:
        """Write the user's own region into a folder; None: the finding decides."""

    def show_preview(self, path: Path) -> None:
        """A picture of the run while it goes on."""

    def clear_preview(self) -> None:
        """No picture."""

    def list_runs(self) -> None:
        """List the runs of the scene as they are now."""

    def show_result(self, made: Made, verdict: Sequence[str]) -> None:
        """Bring a run into view, with the sentences about it."""
