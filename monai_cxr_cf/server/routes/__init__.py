# SPDX-License-Identifier: Apache-2.0
"""The native routes and the web page."""
