# SPDX-License-Identifier: Apache-2.0
"""A word of the command line in, a number in range out; a wrong one is refused by name."""

import argparse


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1")
    return int(text)
