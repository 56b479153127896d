# SPDX-License-Identifier: Apache-2.0
"""``quarantine.csv``: the rows that are not tried again, and why; no value of a header is in it."""

import csv
import io
from collections.abc import Iterator

from monai_cxr_cf.batch.store.files import save_text
from monai_cxr_cf.batch.store.results import DONE, Line, histories, read_lines
from monai_cxr_cf.batch.store.run_folder import QUARANTINE, RunFolder

COLUMNS = ("id", "state", "code", "sentence", "attempts")


def write_quarantine(folder: RunFolder) -> None:
    """Write it anew from the lines of all shards; no file where no row was put aside."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    found = 0
    for line in _given_up(folder):
        found += 1
        code, sentence = line.get("code", ""), line.get("message", "")
        writer.writerow((line["id"], line["state"], code, sentence, line.get("attempt", 1)))
    path = folder.path / QUARANTINE
    if found:
        save_text(path, stream.getvalue())
    else:
        path.unlink(missing_ok=True)


def _given_up(folder: RunFolder) -> Iterator[Line]:
    """The last line of every row that is over and not done."""
    for number in range(folder.read().shards):
        for history in histories(read_lines(folder.results(number))).values():
            if history.over and history.last["state"] != DONE:
                yield history.last
