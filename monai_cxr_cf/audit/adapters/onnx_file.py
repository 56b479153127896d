# SPDX-License-Identifier: Apache-2.0
"""An ONNX file as a classifier, by onnxruntime on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np

from monai_cxr_cf.errors import INSTALL_EXTRA, BadRequest, ComponentMissing, UnreadableInput


def load_onnx(path: Path, output: str) -> Any:
    """A function from (N, C, H, W) float32 arrays to scores.

    Args:
        path: the file.
        output: name of the output with the scores; "": the first one.

    Raises:
        ComponentMissing: onnxruntime is not installed.
        UnreadableInput: no ONNX model.
        BadRequest: it has no such output or several inputs; or, when run, another shape.
    """
    session = _session(path)
    inputs, names = session.get_inputs(), [found.name for found in session.get_outputs()]
    if len(inputs) != 1 or (output and output not in names):
        raise BadRequest(
            f"The model has {len(inputs)} inputs and the outputs {', '.join(names)[:120]}.",
            hint="Expected one input; name the output with the scores in audit.yaml.",
        )
    name, one = inputs[0].name, inputs[0].shape and inputs[0].shape[0] == 1

    def run(batch: Any) -> Any:
        parts = [batch[n : n + 1] for n in range(len(batch))] if one else [batch]
        try:
            return np.concatenate([session.run([output or names[0]], {name: p})[0] for p in parts])
        except Exception as error:
            raise BadRequest(
                f"The model refused a batch of shape {batch.shape}; it wants {inputs[0].shape}.",
                hint="Mend size and channels in audit.yaml.",
            ) from error

    return run


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ComponentMissing(
            "ONNX files need the package onnxruntime.", hint=INSTALL_EXTRA.format("audit")
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base
        raise UnreadableInput("The .onnx file is no model that onnxruntime reads.") from error
