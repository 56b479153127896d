# SPDX-License-Identifier: Apache-2.0
"""From words to findings: the vocabulary, the parser, token positions and report cleaning."""
