# SPDX-License-Identifier: Apache-2.0
"""DICOM in (``read``) and DICOM out (``write``, ``seg``, ``report``); never loads torch.

``read.read_source`` gives a ``radiograph.Radiograph``, whose ``to_stored`` is the way back.
"""
