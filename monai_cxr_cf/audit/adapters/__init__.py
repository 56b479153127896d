# SPDX-License-Identifier: Apache-2.0
"""Classifiers of others, one kind a file, all with the signature of ``classifier.Classifier``."""
