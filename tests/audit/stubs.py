# SPDX-License-Identifier: Apache-2.0
"""Stub edits on drawn chests, and classifiers whose answers are known because they were planted.

A stub edit is a soft bright patch in a zone; its sham is a faint pattern there. Nothing is sampled.
"""

from hashlib import sha256

import numpy as np
from scipy import ndimage

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.zones import zone_mask
from monai_cxr_cf.audit.adapters.classifier import Classifier
from monai_cxr_cf.audit.adapters.declared import Declared
from monai_cxr_cf.audit.figures.facts import Facts
from monai_cxr_cf.audit.measuring.score import measure_picture, measure_trial
from monai_cxr_cf.audit.measuring.trial import Asked, Picture, Trial
from monai_cxr_cf.shifts.table import shifted

SIDE = 64
EFFUSIONS = tuple(Asked("pleural effusion", side) for side in ("left", "right"))
LEVELS = (0.5, 1.0)


def organs():
    """Two lungs and a heart; the patient's left is on the right of the picture."""
    y, x = np.mgrid[0 : 1 : SIDE * 1j, 0 : 1 : SIDE * 1j]
    right = ((y - 0.48) / 0.3) ** 2 + ((x - 0.3) / 0.15) ** 2 < 1
    left = ((y - 0.48) / 0.3) ** 2 + ((x - 0.7) / 0.15) ** 2 < 1
    heart = ((y - 0.62) / 0.16) ** 2 + ((x - 0.54) / 0.13) ** 2 < 1
    return Organs(right & ~heart, left & ~heart, heart)


ORGANS = organs()
CORNER = {s: zone_mask(ORGANS, "costophrenic", s) for s in ("left", "right")}


def picture(number, rng):
    """A chest of its own; every second patient has the finding."""
    grey = 0.55 - 0.3 * ndimage.gaussian_filter(ORGANS.lungs.astype(float), 1.5)
    grey += 0.1 * ORGANS.heart + 0.03 * ndimage.gaussian_filter(rng.standard_normal(grey.shape), 2)
    grey += rng.normal(0, 0.02)
    truth, group = {"Effusion": bool(number % 2)}, {"view": ("PA", "AP")[number % 2]}
    if number % 2:
        grey += 0.12 * ndimage.gaussian_filter(CORNER["left"].astype(float), 1)
    return Picture(f"r{number}", f"p{number}", np.clip(grey, 0, 1).astype(np.float32), group, truth)


def trial(shown, asked, rng, verdict="passed"):
    """A patch over the whole lung of the side, strongest in its angle, and a sham."""
    lung = ORGANS.left_lung if asked.side == "left" else ORGANS.right_lung
    soft = 0.25 * CORNER[asked.side] + 0.05 * lung
    faint = np.where(lung, rng.normal(0, 0.01, lung.shape), 0).astype(np.float32)
    grain = np.where(lung, rng.normal(0, 0.01, lung.shape), 0)
    source = shown.pixels
    edited = [np.clip(source + v * (soft + grain), 0, 1).astype(np.float32) for v in LEVELS]
    sham = [np.clip(source + v * faint, 0, 1).astype(np.float32) for v in LEVELS]
    why = () if verdict == "passed" else ("texture",)
    return Trial(shown, asked, LEVELS, edited, sham, ORGANS, verdict, verdict == "passed", why)


def classifier(function, name="planted"):
    """A function of one H x W picture in 0..1 as a classifier with one score, Effusion."""
    declared = Declared(("Effusion",), None, layout="hw")
    return Classifier(name, "function", "", declared, lambda plane: [function(plane)])


def squash(value):
    """A number as a probability."""
    return 1 / (1 + np.exp(-value))


def in_corner(image):
    """Reads the left costophrenic pixels only."""
    return squash(25 * (image[CORNER["left"]].mean() - 0.45))


LETTER = shifted(np.zeros((SIDE, SIDE), np.float32), "letter_left") > 0
BESIDE = ndimage.binary_dilation(LETTER, iterations=2) & ~LETTER


def in_letter(image):
    """Reads a side letter L: its strokes against what is beside them."""
    return squash(12 * (image[LETTER].mean() - image[BESIDE].mean() - 0.2))


def in_border(image):
    """Reads the outermost pixels of the upper edge."""
    return squash(12 * (image[0].mean() - 0.75))


def blind(image):
    """Reads nothing."""
    return 0.3


def noise(image):
    """A hash of the picture."""
    return int.from_bytes(sha256(image.tobytes()).digest()[:4], "big") / 2**32


def inverted(image):
    """Learnt on pictures whose black and white were exchanged."""
    return in_corner(1 - image + (2 * 0.45 - 1))


PLANTED = {"corner": in_corner, "letter": in_letter, "border": in_border, "blind": blind,
           "noise": noise, "inverted": inverted}  # fmt: skip


def audited(model, patients=16, asked=EFFUSIONS, seed=0):
    """The facts of a stub audit."""
    rng = np.random.default_rng(seed)
    shown = [picture(number, rng) for number in range(patients)]
    trials = [trial(each, what, rng) for each in shown for what in asked]
    trials.append(trial(shown[0], asked[0], rng, verdict="failed"))
    return Facts(
        model.labels,
        [measure_picture(model, each) for each in shown],
        [measure_trial(model, each) for each in trials],
    )
