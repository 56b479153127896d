# SPDX-License-Identifier: Apache-2.0
"""The web application behind ``cxr-cf viewer``: a Slicer in the browser, in its own environment.

``start`` opens the door, ``session`` wires the page to the same presenter, jobs and results as the
Slicer extension (``CXRCounterfactualLib``, imported and never copied), ``page`` is what is seen.
"""
