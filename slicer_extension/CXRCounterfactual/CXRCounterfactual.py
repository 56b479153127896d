# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PT009 - Slicer runs the test below with unittest
"""The module CXR Counterfactual: add or remove a finding in a chest radiograph, and compare.

Describes itself to Slicer, loads the panel and hands everything to ``CXRCounterfactualLib``. The
model runs in another process; nothing heavy is imported here, and nothing is installed.
"""

import contextlib
import time
from pathlib import Path
from typing import Any

import slicer
import vtk
from CXRCounterfactualLib.contract.params import Parameters
from CXRCounterfactualLib.panel.session import Backends, PanelSession
from CXRCounterfactualLib.presenter.states import CancelPressed, Checked, RunPressed, State
from CXRCounterfactualLib.process.backend import Backend
from CXRCounterfactualLib.process.commands import Command
from CXRCounterfactualLib.scene.app_services import SlicerApp
from CXRCounterfactualLib.scene.history import Added, history
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

TITLE = "CXR Counterfactual"
SAMPLE = "SampleData/drawn-chest.dcm"
HELP = """
Add or remove one finding in a chest radiograph and see the counterfactual beside the original:
changed only inside the region you see, marked SYNTHETIC, stored as DICOM in the same study.
<p><b>Research only, never for diagnosis.</b> A counterfactual says how an image might differ, not
what would happen to a patient.</p>
<p>1 Pick a radiograph. 2 Pick or type what should change. 3 Look at the region. 4 Run.
5 Compare.</p>
<p>The message <i>Reference image in series does not contain geometry information</i> is expected
for every projection radiograph and harmless. SEG planes are a carrier for display: read no
anatomical position from them.</p>
"""
THANKS = """
Built on arXiv 2603.04130 and on MONAI, highdicom, pydicom and dcmqi. Apache License 2.0; weights
have their own terms, which the panel shows.
"""


class CXRCounterfactual(ScriptedLoadableModule):
    """Name, help and place of the module; registers the sample radiograph."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = TITLE
        parent.categories = ["Radiology"]
        parent.dependencies = []
        parent.contributors = ["The monai-cxr-cf contributors"]
        parent.helpText = HELP
        parent.acknowledgementText = THANKS
        slicer.app.connect("startupCompleted()", register_sample)


def register_sample() -> None:
    """Offer the drawn chest in Slicer's Sample Data; it comes with the module."""
    import SampleData

    icon = Path(__file__).parent / "Resources" / "Icons" / "CXRCounterfactual.png"
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=TITLE,
        sampleName="Drawn chest (DX)",
        thumbnailFileName=str(icon),
        customDownloader=lambda source: CXRCounterfactualLogic().load_sample(),
    )


class CXRCounterfactualWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: loads the .ui and tells the session what the application does."""

    session: PanelSession | None = None

    def __init__(self, parent: Any = None) -> None:
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self) -> None:
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = CXRCounterfactualLogic(self.application())
        root = slicer.util.loadUI(self.resourcePath("UI/CXRCounterfactual.ui"))
        self.layout.addWidget(root)
        self.session = PanelSession(
            root, self.logic.parameters, app=self.logic.app, backends=self.backends()
        )
        self.session.on_sample(self.logic.load_sample)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.EndCloseEvent, self._closed)
        self.addObserver(scene, scene.EndImportEvent, self._loaded)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._removed)

    def application(self) -> SlicerApp:
        """The application; a test puts another here."""
        return SlicerApp()

    def backends(self) -> Backends:
        """What runs processes; a test puts others here."""
        return Backends(Backend(), Backend())

    def enter(self) -> None:
        """The user opened the module."""
        if self.session is not None:
            self.session.enter()

    def exit(self) -> None:
        """The user opened another module."""
        if self.session is not None:
            self.session.exit()

    def cleanup(self) -> None:
        """The module is reloaded or Slicer quits."""
        self.removeObservers()
        if self.session is not None:
            self.session.close()
            self.session = None

    def _closed(self, caller: Any, event: str) -> None:
        if self.session is not None:
            self.session.scene_closed()

    def _loaded(self, caller: Any, event: str) -> None:
        if self.session is not None:
            self.session.restore()

    @vtk.calldata_type(vtk.VTK_OBJECT)  # type: ignore[untyped-decorator]
    def _removed(self, caller: Any, event: str, node: Any) -> None:
        if self.session is not None and not caller.IsClosing():
            self.session.node_removed(node)


class CXRCounterfactualLogic(ScriptedLoadableModuleLogic):
    """What scripts may use: the parameters of the scene, its past runs, the sample."""

    def __init__(self, app: SlicerApp | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.app = SlicerApp() if app is None else app

    def parameters(self) -> Parameters:
        """Typed access to the module's parameter node in the open scene."""
        return Parameters(self.getParameterNode())

    def runs(self) -> list[Added]:
        """The past runs of the scene, oldest first, with their settings and nodes."""
        return history(slicer.mrmlScene)

    def load_sample(self) -> Any:
        """Import the drawn chest into the DICOM database, load and show it; its node."""
        import pydicom

        sample = Path(__file__).parent / "Resources" / SAMPLE
        series = str(pydicom.dcmread(sample, stop_before_pixels=True).SeriesInstanceUID)
        if not self.app.importDicom(str(sample.parent)):
            raise RuntimeError("The sample could not be imported; expected a DICOM database.")
        loaded = map(slicer.mrmlScene.GetNodeByID, self.app.loadSeries([series]))
        node = next(each for each in loaded if each.IsA("vtkMRMLScalarVolumeNode"))
        self.app.slice_viewer_layers(background=node.GetID())
        return node


class CXRCounterfactualTest(ScriptedLoadableModuleTest):
    """The self test ("Reload and Test"): the whole module with a rehearsed runner, no model."""

    application: Any = SlicerApp

    _open: contextlib.ExitStack | None = None

    def setUp(self) -> None:
        """An empty scene, and a DICOM database that is thrown away."""
        self.tearDown()
        self._open = contextlib.ExitStack()
        self._open.enter_context(_database())
        slicer.mrmlScene.Clear()

    def tearDown(self) -> None:
        """Close what the test opened."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def runTest(self) -> None:
        """Every test, as "Reload and Test" calls it."""
        for name in ("test_the_panel_follows_the_scene", "test_a_run_ends_in_the_study",
                     "test_a_cancelled_run_leaves_nothing"):  # fmt: skip
            self.setUp()
            self.delayDisplay(name.replace("_", " "))
            try:
                getattr(self, name)()
            finally:
                self.tearDown()
        slicer.mrmlScene.Clear()
        self.delayDisplay("All tests passed")

    def test_the_panel_follows_the_scene(self) -> None:
        """A loaded radiograph and an answer of the doctor make the panel ready."""
        session, _ = self._opened()
        self.assertEqual(session.presenter.state, State.READY)
        self.assertIn("run", session.presenter.view().enabled)
        slicer.mrmlScene.Clear()
        self._wait(session, State.IDLE)
        self.assertNotIn("run", session.presenter.view().enabled)

    def test_a_run_ends_in_the_study(self) -> None:
        """Run, import, compare: changed pixels lie inside the masks, the record on the nodes."""
        session, source = self._opened()
        session.feed(RunPressed())
        self._wait(session, State.DONE)
        (run,) = history(slicer.mrmlScene)
        self.assertEqual(run.source_id, source.GetID())
        made = slicer.mrmlScene.GetNodeByID(run.volume_ids[0])
        before, after = (slicer.util.arrayFromVolume(node) for node in (source, made))
        self.assertEqual(before.shape, after.shape)
        self.assertTrue((before != after).any())
        masks = slicer.mrmlScene.GetNodeByID(run.segmentation_id)
        self.assertGreaterEqual(masks.GetSegmentation().GetNumberOfSegments(), 1)
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        studies = {tree.GetItemParent(tree.GetItemByDataNode(node)) for node in (source, made)}
        self.assertEqual(len(studies), 1)
        shown = session.compare.shown
        self.assertEqual(None if shown is None else shown.run, run.run)

    def test_a_cancelled_run_leaves_nothing(self) -> None:
        """Cancel: ready again, no new node, no file."""
        session, _ = self._opened()
        count = slicer.mrmlScene.GetNumberOfNodes()
        session.feed(RunPressed())
        out = session.runner.out
        session.feed(CancelPressed())
        self._wait(session, State.READY)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), count)
        self.assertFalse(out is None or out.parent.exists())

    def _opened(self) -> tuple[PanelSession, Any]:
        """The panel with the sample loaded, and a runner that rehearses."""
        logic = CXRCounterfactualLogic(self.application())
        source = logic.load_sample()
        ui = Path(__file__).parent / "Resources" / "UI" / "CXRCounterfactual.ui"
        self.root = slicer.util.loadUI(str(ui))
        backends = Backends(Backend(), Backend())
        session = PanelSession(self.root, logic.parameters, app=logic.app, backends=backends)
        if self._open is not None:
            self._open.callback(session.close)
        script = str(Path(__file__).parent / "CXRCounterfactualLib" / "rehearsal.py")
        own = logic.app.slicer_python()

        def rehearse(python: str, job: Path, out: Path, *, environment: Any) -> Command:
            return Command(own, (script, str(job), str(out)), environment, out)

        session.runner.local_command = rehearse
        session.widgets.pythonEdit.setText(own)
        session.restore()
        session.feed(Checked(True, device="rehearsal"))
        return session, source

    def _wait(self, session: PanelSession, state: State, seconds: float = 60.0) -> None:
        """Let the application live until the panel is there."""
        end = time.monotonic() + seconds
        over = (state, State.FAILED)
        while session.presenter.state not in over and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.005)
        self.assertEqual(session.presenter.state, state, session.presenter.view().message)


def _database() -> Any:
    """Slicer's temporary DICOM database, so that the user's own is not touched."""
    try:
        from DICOMLib import DICOMUtils
    except ImportError:  # the tests outside Slicer bring a database of their own
        return contextlib.nullcontext()
    return DICOMUtils.TemporaryDICOMDatabase()
