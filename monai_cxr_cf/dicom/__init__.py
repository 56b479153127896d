# SPDX-License-Identifier: Apache-2.0
"""DICOM in (``reading``), DICOM out (``writing``), PACS (``store``); never loads torch.

``reading.read.read_source`` gives a ``radiograph.Radiograph``, whose ``to_stored`` is the way back.
"""
