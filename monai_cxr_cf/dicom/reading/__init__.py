# SPDX-License-Identifier: Apache-2.0
"""Files in, a ``Radiograph`` out: what is strict about reading."""
