# SPDX-License-Identifier: Apache-2.0
"""What does a classifier look at? Its scores on edits, shams and shifts in, one report out.

``adapters`` bring any classifier to one signature, ``measuring`` scores pictures, ``figures`` turns
scores into effects with a null, ``report`` says it in words a reader trusts.
"""
