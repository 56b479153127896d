# SPDX-License-Identifier: Apache-2.0
"""A ``Radiograph`` and what was made of it in, DICOM files out."""
