# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: a web process without torch, one worker that keeps the models, a queue between.

``app`` puts the routes together, ``guard`` stands before them, ``desk`` is what routes may do,
``store`` is the queue on disk, ``worker`` runs one job after the other.
"""
