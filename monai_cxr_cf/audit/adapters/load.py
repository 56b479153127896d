# SPDX-License-Identifier: Apache-2.0
"""What --model names in, a ``Classifier`` out."""

from hashlib import sha256
from pathlib import Path

import numpy as np

from monai_cxr_cf.audit.adapters.bundle import load_bundle
from monai_cxr_cf.audit.adapters.classifier import Classifier
from monai_cxr_cf.audit.adapters.declared import Declared
from monai_cxr_cf.audit.adapters.endpoint import endpoint
from monai_cxr_cf.audit.adapters.function import load_function
from monai_cxr_cf.audit.adapters.onnx_file import load_onnx
from monai_cxr_cf.batch.rows.manifest import file_sha256
from monai_cxr_cf.errors import BadRequest, UnreadableInput

KINDS = (
    "an .onnx file, a .pt2 file of torch.export, module:function or file.py:function, the folder "
    "of a MONAI bundle, http(s)://..., j1, j2 or a judge's folder"
)
ANSWERED, PROBE = ("function", "http"), 256  # known by what they answer to so large a picture


def load_classifier(spec: str, declared: Declared | None) -> Classifier:
    """Load a classifier.

    Args:
        spec: one of KINDS.
        declared: its preprocessing; None for a judge, which knows its own.

    Raises:
        BadRequest: another kind, or no declaration.
        CxrError: it cannot be loaded.
    """
    path = Path(spec)
    if spec in ("j1", "j2") or (path / "model.safetensors").is_file():
        return _judge(spec)
    if declared is None:
        raise BadRequest(
            "Nothing says what the classifier wants to see.",
            hint="Write size, range, polarity, channels and labels into audit.yaml and pass it "
            "with --preprocessing; docs/audit.md 2.",
        )
    if spec.startswith(("http://", "https://")):
        return Classifier("endpoint", "http", "", declared, endpoint(spec))
    if path.is_dir():
        run, network, weights = load_bundle(path)
        digest = file_sha256(weights)
        return Classifier(path.name, "monai bundle", digest, declared, run, network=network)
    return _file(spec, path, declared)


def _file(spec: str, path: Path, declared: Declared) -> Classifier:
    name = path.name
    if path.suffix in (".onnx", ".pt2") and not path.is_file():
        raise UnreadableInput("The file of --model does not exist.", code="no_file",
                              hint="Check the path.")  # fmt: skip
    if path.suffix == ".onnx":
        run = load_onnx(path, declared.output)
        return Classifier(name, "onnx", file_sha256(path), declared, run)
    if path.suffix == ".pt2":
        from monai_cxr_cf.audit.adapters.torch_export import load_exported

        return Classifier(name, "torch.export", file_sha256(path), declared, load_exported(path))
    if ":" in spec:
        run, source = load_function(spec)
        digest = "" if source is None else file_sha256(source)
        return Classifier(name, "function", digest, declared, run)
    raise BadRequest(f"'{name[:60]}' is no classifier that is known here.",
                     hint=f"Expected {KINDS}.")  # fmt: skip


def _judge(spec: str) -> Classifier:
    from monai_cxr_cf.judges.classifier import load_judge

    judge = load_judge(spec)
    declared = Declared(judge.findings, size=None)
    return Classifier(judge.name, "judge", judge.sha256, declared, judge.predict, own=True)


def digest_of(classifier: Classifier) -> str:
    """sha256 over the classifier and its declaration; what a score depends on.

    A function may load anything, and an address may answer otherwise tomorrow: their answers to
    two fixed pictures count as well.
    """
    told = repr((classifier.kind, classifier.name, classifier.sha256, classifier.declared))
    if classifier.kind in ANSWERED:
        ramp = np.linspace(0, 1, PROBE, dtype=np.float32)
        told += repr(classifier.scores([np.outer(ramp, ramp), np.outer(1 - ramp, ramp)]).tolist())
    return sha256(told.encode()).hexdigest()
