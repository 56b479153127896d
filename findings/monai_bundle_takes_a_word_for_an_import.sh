#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# MONAI's bundle parser takes a reference whose name holds "import" for an import statement.
#
# An expression ("$...") that holds the six letters anywhere is first handed to Python's parser as it
# stands, before "@name" is replaced. With a reference in it that is no Python, so "$@important + 1"
# ends in a SyntaxError that names neither the item nor the word, while "$@weighty + 1" is 2. Without
# a reference the same letters do no harm: "$len('imports')" is 7.
# Seen: MONAI 1.6.1 with torch 2.13.0, ConfigParser.get_parsed_content.
# Why it matters: keys such as "importance_map" or "imported_mask", and folders in an expression, are
# plausible in a bundle. Such a configuration works until one expression refers to them.
# Exit code: 0 while this is so, 1 if it has changed.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 monai==1.6.1 numpy
cd "$place"
"$place/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import monai
from monai.bundle import ConfigParser


def parsed(config: dict[str, object]) -> object:
    """What the item "x" is worth, or the name of the error."""
    try:
        return ConfigParser(config).get_parsed_content("x")
    except Exception as error:
        return type(error).__name__


found = [
    parsed({"important": 1, "x": "$@important + 1"}),
    parsed({"weighty": 1, "x": "$@weighty + 1"}),
    parsed({"x": "$len('imports')"}),
    parsed({"weights": [1], "x": "$@weights + ['import']"}),
]
print("monai", monai.__version__, found)
sys.exit(found != ["SyntaxError", 2, 7, "SyntaxError"])
PYTHON
