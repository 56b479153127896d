# SPDX-License-Identifier: Apache-2.0
"""To and from a PACS: DICOMweb and DIMSE."""
