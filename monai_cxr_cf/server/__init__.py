# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: a web process without torch, one worker that keeps the models, a queue between.

``app`` joins ``routes`` and ``monailabel``, ``access`` stands before them, ``uploads`` takes
files in, ``queue`` keeps the jobs on disk, ``worker`` runs one after the other.
"""
