# SPDX-License-Identifier: Apache-2.0
"""Every way to fail has a sentence and a next step; what is shared names nobody."""

import pytest
from CXRCounterfactualLib.contract.events import Failed
from CXRCounterfactualLib.contract.failures import CATALOGUE, describe_failure, ended, failure

ENDS = [
    (None, False, "not_started"),
    (0, False, "no_result"),
    (1, False, "bug"),
    (2, False, "refused"),
    (3, False, "component_missing"),
    (4, False, "resource_exhausted"),
    (5, False, "remote_failure"),
    (130, False, "stopped"),
    (143, False, "stopped"),
    (137, False, "killed"),
    (139, False, "crashed"),
    (134, False, "crashed"),
    (9, True, "killed"),
    (11, True, "crashed"),
    (15, True, "stopped"),
    (-9, False, "killed"),
    (-11, False, "crashed"),
    (77, False, "unexpected_exit"),
    (255, False, "unexpected_exit"),
    (0xC0000005, True, "crashed"),  # Windows: access violation
]


@pytest.mark.parametrize(("code", "crashed", "expected"), ENDS)
def test_every_end_is_known(code: int | None, crashed: bool, expected: str) -> None:
    found = ended(code, "", False, False, crashed)
    assert found == failure(expected, code)


@pytest.mark.parametrize("code", [None, 0, 1, 143, -9])
def test_a_result_or_a_cancel_is_no_failure(code: int | None) -> None:
    assert ended(code, "noise", saw_result=True) is None
    assert ended(code, "noise", cancelled=True) is None


@pytest.mark.parametrize(
    ("code", "log"),
    [
        (1, "/usr/bin/python3: No module named monai_cxr_cf"),
        (1, "ModuleNotFoundError: No module named 'monai_cxr_cf'"),
        (3, "The Python package 'monai_cxr_cf' is missing."),
    ],
)
def test_a_python_without_the_product_says_what_to_do(code: int, log: str) -> None:
    found = ended(code, log)
    assert found is not None
    assert found.code == "not_installed"
    assert "create an environment" in found.hint


@pytest.mark.parametrize("code", CATALOGUE)
def test_each_entry_is_a_sentence_and_a_next_step(code: str) -> None:
    message, hint = CATALOGUE[code]
    assert message.endswith(".")
    assert message[0].isupper()
    assert len(hint) > 10
    assert not set(message) & set("{}<>")


def test_each_entry_can_be_reached() -> None:
    by_end = {code for _, _, code in ENDS}
    by_hand = {"not_installed", "not_prepared", "server_lost", "import_failed"}
    assert set(CATALOGUE) - by_end == by_hand


@pytest.mark.parametrize(
    "secret",
    [
        "/home/radiology/Doe_John/chest.dcm",
        "/data/John Doe/chest one.dcm",
        "~/doe/scan",
        r"C:\Users\doe\My Files\chest.dcm",
        r"\\server\share\doe",
        "doe/john/0001.dcm",
        "doe-john.dcm",
        "1.2.826.0.1.3680043.8.498.123",
        "https://cxr.hospital.example:8443/v1/jobs",
        "john@hospital.example",
        "'left effusion of John Doe'",
        '"left effusion of John Doe"',
    ],
)
@pytest.mark.parametrize("words", ["The file {} is no DICOM.", "{}", "At {}: 4 were found."])
def test_the_report_names_no_file_person_or_word(secret: str, words: str) -> None:
    text = describe_failure(Failed("x", words.format(secret), words.format(secret)))
    for part in ("doe", "john", "hospital", "server\\share", "3680043", "effusion", "chest"):
        assert part not in text.casefold(), text


def test_the_report_keeps_what_a_developer_needs() -> None:
    failed = Failed("unsupported_image", "The runner's image isn't a frontal view.", "Take 1.", 2)
    versions = {"version": "0.1.0", "device": "cpu", "lock": "abcdef123456"}
    text = describe_failure(failed, stage="read", versions=versions, where="local")
    for part in ("unsupported_image", failed.message, "Take 1.", "exit code: 2", "stage: read",
                 "version: 0.1.0", "device: cpu", "abcdef123456", "where: local"):  # fmt: skip
        assert part in text
