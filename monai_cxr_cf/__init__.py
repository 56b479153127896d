# SPDX-License-Identifier: Apache-2.0
"""Counterfactual chest radiographs by regulated attention: "what if this patient had ...?"

The flow, in the order of the folders that hold it:

    dicom.reading -> anatomy -> prompts -> diffusion -> composite -> dicom.writing

``pipeline`` joins them; ``cli`` (``cxr-cf``), the MONAI bundle and the server only call it.
For research, never for diagnosis.
"""

__version__ = "0.1.0"
