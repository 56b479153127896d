# SPDX-License-Identifier: Apache-2.0
"""What the generator draws without an edit: samples and their distance from real radiographs."""
