# SPDX-License-Identifier: Apache-2.0
"""No patient data in logs, warnings, errors or on stderr, whatever the file holds."""

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from monai_cxr_cf.dicom.privacy import WithholdText, install_privacy_filter, withheld
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.errors import CxrError
from tests.dicom.factory import Spec, build, save_dataset

PLANTED = "ZZPLANTED"


def planted(folder: Path, **extra: object) -> Path:
    """A file full of planted values, in a folder and under a name that hold them, too."""
    inner = folder / f"{PLANTED}_folder"
    inner.mkdir(exist_ok=True)
    ds = build(Spec().with_(**extra))
    ds.PatientName = f"{PLANTED}^Jane"
    ds.PatientID = f"{PLANTED}-123"
    ds.AccessionNumber = f"{PLANTED} accession far too long for a short string"
    ds.StudyDescription = PLANTED * 20
    ds.add_new(0x00101030, "LO", f"{PLANTED} kilograms")  # PatientWeight, wrong VR
    ds["PatientWeight"].VR = "LO"
    return save_dataset(inner / f"{PLANTED}.dcm", ds)


REFUSED = {"body part", "body part with marks", "photometric", "function", "class", "cut"}
CASES: dict[str, dict[str, object]] = {
    "good": {},
    "body part": {"BodyPartExamined": f"{PLANTED} LEG"},
    "body part with marks": {"BodyPartExamined": f"{PLANTED}^LEG"},
    "photometric": {"PhotometricInterpretation": PLANTED},
    "function": {"VOILUTFunction": PLANTED},
    "class": {"SOPClassUID": "1.2.3.4.5.6"},
    "cut": {"PixelData": b"\0\0"},
    "view": {"ViewPosition": PLANTED},
    "charset": {"SpecificCharacterSet": PLANTED},
}


def test_no_planted_value_reaches_a_log_a_warning_or_stderr(tmp_path: Path) -> None:
    sources: list[str] = []
    for number, extra in enumerate(CASES.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = planted(folder, **extra)
        sources += [str(path), str(path.parent)]
    script = (
        "import logging, sys, warnings\n"
        "warnings.simplefilter('always')\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        "from monai_cxr_cf.dicom.reading.read import read_source\n"
        "from monai_cxr_cf.errors import CxrError\n"
        "for source in sys.argv[1:]:\n"
        "    try:\n"
        "        for line in read_source(source).warnings: print(*line)\n"
        "    except CxrError as error: print(error, error.as_dict())\n"
        "    except Exception as error: print('LEAK', type(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *sources],
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout + done.stderr
    assert "LEAK" not in said
    assert PLANTED not in said
    assert said.count("'code'") == 2 * sum(name in REFUSED for name in CASES)


def test_a_rubbish_file_s_path_and_content_stay_unsaid(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = tmp_path / f"{PLANTED}.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + f"{PLANTED} is no data set ".encode() * 9)
    with pytest.raises(CxrError) as caught:
        read_source(path)
    assert PLANTED not in str(caught.value)
    assert PLANTED not in caplog.text


def test_withheld_replaces_library_text_and_restores_the_loggers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    library = logging.getLogger("pydicom")
    monkeypatch.setattr(library, "filters", [])  # a command of another test may have left its own
    before = list(library.filters)

    def fail() -> None:
        library.warning("value %s", PLANTED)
        warnings.warn(PLANTED, UserWarning, stacklevel=1)
        raise RuntimeError

    with withheld(), pytest.raises(RuntimeError):
        fail()
    assert library.filters == before
    assert "message withheld" in caplog.text
    assert PLANTED not in caplog.text
    library.warning("after")
    assert "after" in caplog.text


def test_the_process_wide_filter_covers_logs_children_and_warnings() -> None:
    script = (
        "import logging, warnings\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        "child = logging.getLogger('highdicom.seg')\n"
        "from monai_cxr_cf.dicom.privacy import install_privacy_filter\n"
        "install_privacy_filter(); install_privacy_filter()\n"
        "import pydicom\n"
        "logging.getLogger('pydicom').error('ZZPLANTED')\n"
        "child.error('ZZPLANTED')\n"
        "warnings.warn('ZZPLANTED', UserWarning)\n"
        "pydicom.Dataset().PatientWeight = 'ZZPLANTED' * 9\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr.split("Traceback")[0]
    assert "ZZPLANTED" not in said
    assert said.count("message withheld") >= 2
    assert "UserWarning withheld" in said


def test_installing_twice_adds_one_filter() -> None:
    library = logging.getLogger("pydicom")
    shown = warnings.showwarning
    try:
        install_privacy_filter()
        install_privacy_filter()
        assert sum(isinstance(each, WithholdText) for each in library.filters) == 1
    finally:
        warnings.showwarning = shown
        for each in [each for each in library.filters if isinstance(each, WithholdText)]:
            library.removeFilter(each)
