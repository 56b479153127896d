# SPDX-License-Identifier: Apache-2.0
"""Good headers made bad, one seed each: read, then write all that an edit writes, or refuse.

``python tests/fuzz.py headers --count 20000``. A case fails by any exception but a typed refusal at
reading, by a refusal that comes only at writing, by half a file, by more than ten seconds of the
processor, or by a minute of the clock.
"""

import faulthandler
import random
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydicom.datadict import DicomDictionary, dictionary_VR
from pydicom.dataset import Dataset

from monai_cxr_cf.commands.read import describe
from monai_cxr_cf.dicom.privacy import install_privacy_filter
from monai_cxr_cf.dicom.record import OutputOptions
from monai_cxr_cf.errors import CxrError
from tests.dicom.factory import Spec, build, code, save_dataset
from tests.dicom.written import case_of, plan_of, write_everything

PATIENCE_S = 10.0
SMALL = {"rows": 64, "columns": 64}
BASES = (
    Spec(sop="CR", **SMALL), Spec(sop="DX", **SMALL), Spec(sop="SC", bits=8, **SMALL),
    Spec(sop="DX", voi="lut", **SMALL), Spec(sop="CR", padding=True, slope=1.0, **SMALL),
    Spec(sop="CR", photometric="MONOCHROME1", voi="two", spacing="calibrated", **SMALL),
)  # fmt: skip
JUNK = (
    b"", b" ", b"\\", b"\\\\", b"x", b"a\\b", b"1,5", b"nan", b"-inf", b"1e999", b"1_0", b"-1",
    b"99999999999", b"1.5", b"LATERAL", b"LL", b"YES", b"no", b"lower case", b"A" * 17, b"B" * 65,
    b"C" * 1025, b"20261301", b"2026-01-31", b"00000000", b"25:61:61", b"1011", b"62", b"062Y",
    b"^^^^^^^", b"a=b=c=d", b"D\xfcrer^A", "山田".encode(), b"\x1b$B;3ED\x1b(B", b"\xff\xfe\xfd",
    b"a\r\nb\tc", b"\0\0\0", b"\x01\x02\x03\x04\x05\x06\x07\x08", b"1.2.03", b"1.2..3", b"../../x",
    b"ISO_IR 192", b"ISO_IR 999", b"GB18030", b"ISO 2022 IR 87", b"L\\F", b"A\\F", b"0\\0",
    b"MONOCHROME1", b"SIGMOID", b"CHEST", b"\x7f" * 6, b"\xc3\x28", b"+0100", b"0.2\\0.2", b"1:1",
    b"0", b"1\\2\\3",
)  # fmt: skip
VRS = (
    "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OW", "PN", "SH",
    "SL", "SQ", "SS", "ST", "TM", "UI", "UL", "UN", "UR", "US", "UT", "UC", "XX", "\0\0",
)  # fmt: skip
_LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UN", "UR", "UT")
_KNOWN = sorted(tag for tag in DicomDictionary if 8 <= tag >> 16 < 0x6000)


@dataclass
class Token:
    """One element header with its value; a sequence, an item or a delimiter is its header."""

    tag: int
    vr: str  # empty: an item or a delimiter
    value: bytes
    depth: int

    def packed(self) -> bytes:
        """As explicit little endian; sequences and items have no length of their own."""
        head = struct.pack("<HH", self.tag >> 16, self.tag & 0xFFFF)
        if not self.vr:
            return head + (b"\0" * 4 if self.tag != 0xFFFEE000 else b"\xff" * 4)
        coded = self.vr.encode("latin_1")
        if self.vr == "SQ" and not self.value:
            return head + coded + b"\0\0" + b"\xff" * 4
        if self.vr in _LONG:
            return head + coded + b"\0\0" + struct.pack("<L", len(self.value)) + self.value
        return head + coded + struct.pack("<H", len(self.value) & 0xFFFF) + self.value


@cache
def base(number: int) -> tuple[bytes, tuple[Token, ...], bytes]:
    """What comes before the header, the header's tokens, PixelData."""
    ds = build(BASES[number])
    ds.ProcedureCodeSequence = code("1", "99OURS", "chest")
    ds.OtherPatientIDsSequence = code("1", "99OURS", "chest")
    ds.RequestAttributesSequence = code("1", "99OURS", "chest")
    _without_lengths(ds)
    with tempfile.TemporaryDirectory() as folder:
        data = save_dataset(Path(folder) / "a.dcm", ds).read_bytes()
    start = data.index(b"\x08\x00\x05\x00CS")
    end = data.index(b"\xe0\x7f\x10\x00OW")
    return data[:start], tuple(_tokens(data[start:end])), data[end:]


def mutated(seed: int) -> bytes:
    """One bad file; mostly one to four changes of the header."""
    draw = random.Random(seed)
    before, good, after = base(draw.randrange(len(BASES)))
    tokens = [Token(t.tag, t.vr, t.value, t.depth) for t in good]
    for _ in range(draw.choice((1, 1, 2, 3, 4))):
        draw.choice((_value, _value, _value, _added, _added, _vr, _removed, _moved, _doubled))(
            tokens, draw
        )
    data = bytearray(before + b"".join(token.packed() for token in tokens) + after)
    header = len(data) - len(after)
    if draw.random() < 0.25:
        for _ in range(draw.randrange(1, 5)):
            data[draw.randrange(132, header)] = draw.randrange(256)
    if draw.random() < 0.03:
        del data[draw.randrange(132, len(data)) :]
    return bytes(data)


def attempt(data: bytes, folder: Path) -> str:
    """Read and write one file; the code of its refusal, or nothing. Anything else raises."""
    path = folder / "source.dcm"
    path.write_bytes(data)
    try:
        case = case_of(path)
    except CxrError as refused:
        if refused.exit_code != 2:
            raise
        return refused.code
    describe(case.radiograph)
    for iod in ("sc", "same"):
        out = folder / iod
        files = write_everything(plan_of(case, OutputOptions(iod=iod)), case, out)
        assert sorted(f.path for f in files) == sorted(p for p in out.rglob("*") if p.is_file())
    return ""


def run(count: int, seed: int) -> int:
    """Try ``count`` seeds and print what came of them; 1 if a case failed."""
    install_privacy_filter()
    outcomes: Counter[str] = Counter()
    failed, slowest = [], 0.0
    for number in range(seed, seed + count):
        began = time.process_time()
        faulthandler.dump_traceback_later(6 * PATIENCE_S, exit=True, file=sys.__stderr__)
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcomes[attempt(mutated(number), Path(folder)) or "accepted"] += 1
            except Exception:
                failed.append(number)
                _say(f"seed {number}: {traceback.format_exc(limit=-3)}")
        took = time.process_time() - began
        slowest = max(slowest, took)
        if took > PATIENCE_S:
            failed.append(number)
            _say(f"seed {number}: {took:.1f} s")
    faulthandler.cancel_dump_traceback_later()
    _say(f"{count} headers from seed {seed}: {len(failed)} failed, slowest {slowest:.2f} s")
    _say(", ".join(f"{name} {many}" for name, many in outcomes.most_common()))
    return 1 if failed else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _without_lengths(ds: Dataset) -> None:
    for element in ds:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                _without_lengths(item)


def _tokens(data: bytes) -> list[Token]:
    found, at, depth = [], 0, 0
    while at < len(data):
        group, element = struct.unpack("<HH", data[at : at + 4])
        tag, vr = group << 16 | element, data[at + 4 : at + 6].decode("latin_1")
        if group == 0xFFFE:
            depth += {0xE000: 1, 0xE00D: -1}.get(element, 0)
            found.append(Token(tag, "", b"", depth))
            at += 8
        elif vr == "SQ":
            found.append(Token(tag, vr, b"", depth))
            at += 12
        else:
            long = vr in _LONG
            head, form = (12, "<L") if long else (8, "<H")
            (length,) = struct.unpack(form, data[at + head - struct.calcsize(form) : at + head])
            found.append(Token(tag, vr, data[at + head : at + head + length], depth))
            at += head + length
    return found


def _leaf(tokens: list[Token], draw: random.Random) -> Token:
    return draw.choice([token for token in tokens if token.vr and token.vr != "SQ"])


def _value(tokens: list[Token], draw: random.Random) -> None:
    junk = draw.choice(JUNK)
    _leaf(tokens, draw).value = junk + b" " * (len(junk) % 2 if draw.random() < 0.95 else 0)


def _added(tokens: list[Token], draw: random.Random) -> None:
    """An attribute of the dictionary with a junk value, where its tag belongs or anywhere."""
    tag, junk = draw.choice(_KNOWN), draw.choice(JUNK)
    vr = dictionary_VR(tag).split(" or ")[0]
    junk = b"" if vr == "SQ" else junk + b" " * (len(junk) % 2)
    new = [Token(tag, vr, junk, 0)]
    if vr == "SQ":
        inner = draw.choice(_KNOWN)
        new += [Token(0xFFFEE000, "", b"", 1),
                Token(inner, "LO", draw.choice(JUNK).ljust(2), 1),
                Token(0xFFFEE00D, "", b"", 0), Token(0xFFFEE0DD, "", b"", 0)]  # fmt: skip
    later = (i for i, t in enumerate(tokens) if t.depth == 0 and t.vr and t.tag > tag)
    place = next(later, len(tokens))
    if draw.random() < 0.05:
        place = draw.randrange(len(tokens))
    tokens[place:place] = new


def _vr(tokens: list[Token], draw: random.Random) -> None:
    _leaf(tokens, draw).vr = draw.choice(VRS)


def _removed(tokens: list[Token], draw: random.Random) -> None:
    tokens.remove(_leaf(tokens, draw))


def _moved(tokens: list[Token], draw: random.Random) -> None:
    token = _leaf(tokens, draw)
    tokens.remove(token)
    tokens.insert(draw.randrange(len(tokens)), token)


def _doubled(tokens: list[Token], draw: random.Random) -> None:
    token = _leaf(tokens, draw)
    tokens.insert(draw.randrange(len(tokens)), Token(token.tag, token.vr, b"1", token.depth))
