# SPDX-License-Identifier: Apache-2.0
"""Every SEG through dcmqi, with the very arguments of Slicer's DICOM segmentation reader."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from CXRCounterfactualLib.scene import codes, results

from tests.slicer.helpers.runs import Case
from tests.slicer.helpers.scene import Desk

KINDS = ("plain", "mono1", "calibrated", "same", "sweep", "example")


def converted(seg: Path, out: Path) -> list[list[dict[str, Any]]]:
    """What Slicer would read: groups of segments, one label map file each."""
    program = Path(sys.executable).with_name("segimage2itkimage")
    words = ["--inputDICOM", str(seg), "--outputDirectory", str(out), "--mergeSegments"]
    done = subprocess.run(
        [str(program), *words], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    groups: list[list[dict[str, Any]]] = json.loads((out / "meta.json").read_text())[
        "segmentAttributes"
    ]
    # Slicer gives up where these two differ.
    assert len(list(out.glob("*.nrrd"))) == len(groups)
    return groups


def code(item: dict[str, Any], name: str) -> tuple[str, ...]:
    """(value, scheme, meaning) of a coded entry; empty if it has none."""
    found = item.get(name, {})
    return tuple(found.values()) and tuple(
        found[key] for key in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_dcmqi_opens_it_with_all_segments(kind: str, runs: dict[str, Case], tmp_path: Path) -> None:
    seg = runs[kind].out / "seg.dcm"
    found = [item["SegmentLabel"] for group in converted(seg, tmp_path) for item in group]
    ds = pydicom.dcmread(seg, stop_before_pixels=True)
    assert sorted(found) == sorted(str(item.SegmentLabel) for item in ds.SegmentSequence)


def test_our_table_says_what_the_seg_says(runs: dict[str, Case], tmp_path: Path) -> None:
    ours = {coded.label: coded for coded in codes.SEGMENTS.values()}
    kinds = ("Category", "Type", "TypeModifier")
    for number, kind in enumerate(KINDS):
        out = tmp_path / str(number)
        out.mkdir()
        for group in converted(runs[kind].out / "seg.dcm", out):
            for item in group:
                coded = ours[item["SegmentLabel"]]
                told = [code(item, f"SegmentedProperty{each}CodeSequence") for each in kinds]
                assert told == [coded.category, coded.type, coded.modifier or ()]
                off = np.subtract(item["recommendedDisplayRGBValue"], coded.rgb)
                assert np.abs(off).max() <= 2, "CIELab of 16 bits and back"


def test_by_arrays_and_by_reader_the_segments_bear_the_same_terms(
    desk: Desk, runs: dict[str, Case]
) -> None:
    case, found = runs["plain"], []
    for reader in (True, False):
        desk.app.database.seg_reader = reader
        source = desk.load(case.source)
        added = results.add_results(desk.scene, desk.app, source, case.result, case.out)
        found.append(terms(desk.scene.GetNodeByID(added.segmentation_id)))
    by_reader, by_arrays = found
    assert by_reader == by_arrays
    assert "~SCT^80891009^Heart~" in by_reader["Heart"]
    assert "~DCM^111030^Image Region~" in by_reader["Edit region"]


def terms(node: Any) -> dict[str, str]:
    """Segment name -> terminology as Slicer keeps it."""
    import slicer
    import vtk

    segmentation, tag, kept = node.GetSegmentation(), vtk.reference(""), {}
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        assert segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag)
        kept[segment.GetName()] = str(tag)
    return kept
