# SPDX-License-Identifier: Apache-2.0
"""The folder of a run: what is planned, who works on it, what is finished."""
