# SPDX-License-Identifier: Apache-2.0
"""Small classes of our own that stand for those of the Slicer application, so that tests run
without it; each names the class it stands for and what of it was compared. Nothing is copied."""
