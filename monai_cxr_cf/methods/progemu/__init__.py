# SPDX-License-Identifier: Apache-2.0
"""ProgEmu: a language model that writes the next radiograph as tokens; the user's weights."""
