# SPDX-License-Identifier: Apache-2.0
"""Every kind of classifier gives the scores of the same tiny one; what is wrong is said."""

import pickle
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from monai_cxr_cf.audit.adapters.classifier import Classifier
from monai_cxr_cf.audit.adapters.declared import Declared, read_declared
from monai_cxr_cf.audit.adapters.load import digest_of, load_classifier
from monai_cxr_cf.audit.checks import auc_of, order, same_across_files, steady
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.errors import BadRequest, CxrError, RemoteFailure, UnreadableInput
from tests.audit import models

KINDS = ("onnx", "torch.export", "function", "monai bundle", "http")
DECLARED = Declared(models.LABELS, (16, 16))


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    """The tiny classifier in every form: kind -> --model."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("models")
    models.onnx(folder / "m.onnx")
    models.exported(folder / "m.pt2")
    models.bundle(folder / "bundle")
    with models.served() as url:
        files = (str(folder / n) for n in ("m.onnx", "m.pt2"))
        where = (*files, "tests.audit.models:expected", str(folder / "bundle"), url + "/rows")
        yield dict(zip(KINDS, where, strict=True))


@pytest.fixture(scope="module")
def radiograph(root):
    """The example."""
    return read_source(root / "docs" / "example.dcm")


@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_scores_dicom_and_png_alike_in_every_form(specs, radiograph, tmp_path, kind):
    classifier = load_classifier(specs[kind], DECLARED)
    assert (classifier.kind, classifier.labels) == (kind, models.LABELS)
    assert (len(classifier.sha256) == 64) == (kind != "http")
    assert len(digest_of(classifier)) == 64
    images = [radiograph.pixels, radiograph.pixels[::-1], np.ones((40, 30), np.float32)] * 4
    wanted = models.expected(DECLARED.prepare(images))
    assert np.abs(classifier.scores(images) - wanted).max() < 1e-6
    assert wanted.std() > 0.05
    check = same_across_files(classifier, radiograph)
    assert (check.passed, check.value < 0.005) == (True, True)
    grey = np.rint(radiograph.pixels * 255).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    png = read_source(tmp_path / "a.png", ReadOptions(allow_raster=True))
    assert np.abs(classifier.scores([png.pixels]) - wanted[:1]).max() < 0.005


def test_preprocessing_is_as_declared():
    image = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    plain = {"labels": ("a",), "size": (8, 8)}
    assert np.array_equal(Declared(**plain).prepare([image])[0, 0], image)
    dark = Declared(**plain, polarity="dark_dense", range=(-1024, 1024)).prepare([image])[0, 0]
    assert np.allclose(dark, 1024 - 2048 * image)
    rgb = {"channels": 3, "mean": (0.1, 0.2, 0.3), "std": (1, 2, 4)}
    three = Declared(**plain, **rgb).prepare([image, image])
    assert three.shape == (2, 3, 8, 8)
    assert np.allclose(three[1, 2], (image - 0.3) / 4)
    wide = np.repeat(image, 2, axis=1)
    for fit, corner in (("pad", 0), ("stretch", image[0, 0]), ("crop", image[0, 2])):
        found = Declared(**plain, fit=fit).prepare([wide])[0, 0]
        assert found.shape == (8, 8)
        assert abs(found[0, 0] - corner) < 0.02
    assert Declared(("a",), None).prepare([wide]).shape == (1, 1, 8, 16)


def test_a_declaration_is_read_from_a_file(tmp_path):
    path = tmp_path / "audit.yaml"
    path.write_text(models.YAML)
    told = read_declared(path)
    assert told == Declared(models.LABELS, (16, 16), thresholds=dict.fromkeys(models.LABELS, 0.6))
    assert (told.threshold("Edema"), Declared(("a",)).threshold("a")) == (0.6, 0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [("[", "no readable YAML"), ("size: 3", "names no labels"),
     ("labels: [a]\npolarty: x", "'polarty' is no field"),
     ("labels: [a]\npolarity: mono", "expected bright_dense or dark_dense"),
     ("labels: [a, a]", "each once"), ("labels: [a]\nsize: 2", "expected .rows, columns."),
     ("labels: [a]\nsize: big", "wrong type"), ("labels: [a]\nmean: [1, 2]", "expected 1 numbers"),
     ("labels: [a]\nstd: 0", "above 0"), ("labels: [a]\nrange: [1, 1]", "range is"),
     ("labels: [a]\nthresholds: {b: 0.5}", "thresholds is b")],
)  # fmt: skip
def test_a_wrong_declaration_is_told(tmp_path, text, words):
    (tmp_path / "audit.yaml").write_text(text)
    with pytest.raises(CxrError, match=words):
        read_declared(tmp_path / "audit.yaml")


def test_what_is_no_classifier_is_told(specs, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"onnx")
    (tmp_path / "bad.pt2").write_bytes(b"zip")
    (tmp_path / "boom.py").write_text("1 / 0")
    (tmp_path / "empty").mkdir()
    base = specs["http"].removesuffix("/rows")
    for spec, error, words in (
        ("weights.h5", BadRequest, "no classifier that is known"),
        ("gone.onnx", UnreadableInput, "does not exist"),
        (str(tmp_path / "bad.onnx"), UnreadableInput, "onnxruntime"),
        (str(tmp_path / "bad.pt2"), UnreadableInput, "no archive"),
        (f"{tmp_path / 'boom.py'}:f", BadRequest, "does not load: ZeroDivisionError"),
        ("tests.audit.models:nothing", BadRequest, "no function 'nothing'"),
        (str(tmp_path / "empty"), UnreadableInput, "The bundle lacks"),
        (base + "/down", RemoteFailure, "status 500"),
        (base + "/none", RemoteFailure, "no JSON with scores"),
        ("http://127.0.0.1:1/", RemoteFailure, "cannot be reached"),
    ):
        with pytest.raises(error, match=words):
            load_classifier(spec, DECLARED).scores([np.ones((16, 16), np.float32)])
    with pytest.raises(BadRequest, match="Nothing says what"):
        load_classifier(specs["onnx"], None)


@pytest.mark.parametrize("kind", ["onnx", "torch.export", "monai bundle", "function"])
def test_another_shape_than_the_model_wants_is_told(specs, kind):
    classifier = load_classifier(specs[kind], Declared(models.LABELS, (20, 20)))
    with pytest.raises(BadRequest, match="of shape"):
        classifier.scores([np.ones((20, 20), np.float32)])


def test_answers_are_held_against_the_declaration(specs):
    image = [np.ones((16, 16), np.float32)]
    with pytest.raises(BadRequest, match="expected 1 each"):
        load_classifier(specs["onnx"], Declared(("a",), (16, 16))).scores(image)
    grey = load_classifier(
        "tests.audit.models:grey", Declared(models.LABELS, (16, 16), layout="hw")
    )
    assert np.allclose(grey.scores(image * 3), models.expected(np.ones((3, 1, 16, 16))))
    logit = load_classifier(specs["onnx"], Declared(models.LABELS, (16, 16), scores="logit"))
    inside = models.expected(np.ones((1, 1, 16, 16)))
    assert np.allclose(logit.scores(image), 1 / (1 + np.exp(-inside)))
    with pytest.raises(BadRequest, match="no score 'Nodule'"):
        load_classifier("tests.audit.models:grey", Declared(("Nodule",), (16, 16), layout="hw")
                        ).scores(image)  # fmt: skip
    with pytest.raises(BadRequest, match="expected 0 to 1"):
        load_classifier("numpy:sum", Declared(("a",), (16, 16))).scores(image)


def test_an_archive_with_pickled_code_is_refused_unread(specs, tmp_path):
    path = tmp_path / "evil.pt2"
    shutil.copy(specs["torch.export"], path)
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].split("/")[0]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{root}/data/constants/opaque_obj_0", pickle.dumps({}))
    with pytest.raises(BadRequest, match="holds a pickled object"):
        load_classifier(str(path), DECLARED)
    shutil.copy(specs["torch.export"], path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{root}/data/sample_inputs/other.pt", pickle.dumps(print, 2))
    with pytest.raises(BadRequest, match="holds a pickled object"):
        load_classifier(str(path), DECLARED)


def test_what_lies_in_no_file_is_known_by_its_answers():
    def endpoint(value):
        def answers(images):
            return np.full((len(images), 3), value)

        return Classifier("endpoint", "http", "", Declared(("a", "b", "c"), None), answers)

    assert digest_of(endpoint(0.2)) == digest_of(endpoint(0.2)) != digest_of(endpoint(0.9))


def test_order_polarity_and_steadiness():
    truths = [True] * 3 + [False] * 3 + [None]
    right = [0.9, 0.8, 0.4, 0.3, 0.2, 0.5, 0.1]
    wrong = [1 - value for value in right]
    assert order("Edema", truths, wrong, right).passed is True  # so few may lie so by chance
    few = (truths, right, wrong)
    truths, right, wrong = ([*each[:6] * 3, each[6]] for each in few)
    good = order("Edema", truths, right, wrong)
    assert (good.passed, good.value) == (True, 0.8889)
    bad = order("Edema", truths, wrong, right)
    assert bad.passed is False
    assert "polarity looks wrong" in bad.words
    assert order("Edema", truths[6:], right[6:], wrong[6:]).passed is True
    assert order("Edema", truths[14:], right[14:], wrong[14:]).passed is None
    assert auc_of([1, 1], [1, 0]) == 0.75
    same = np.zeros((2, 2))
    assert steady(same, same).passed is True
    assert "not steady" in steady(same, same + 0.2).words
