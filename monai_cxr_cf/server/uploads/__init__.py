# SPDX-License-Identifier: Apache-2.0
"""Files from outside: isolated, examined, taken in."""
