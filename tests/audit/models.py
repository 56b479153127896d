# SPDX-License-Identifier: Apache-2.0
"""One tiny classifier in every form that the audit reads: 256 weights a label, then a sigmoid."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

import numpy as np

LABELS = ("Effusion", "Edema")
SIDE = 16
YAML = f"labels: [{', '.join(LABELS)}]\nsize: {SIDE}\nthresholds: 0.6\n"


def weights():
    """Effusion: the lower left of the picture; Edema: its middle."""
    found = np.zeros((2, SIDE, SIDE), np.float32)
    found[0, 10:, :6] = 8 / 36
    found[1, 5:11, 5:11] = -6 / 36
    return found.reshape(2, -1), np.array([-4, 2], np.float32)


def expected(batch):
    """Its scores in NumPy."""
    weight, bias = weights()
    return 1 / (1 + np.exp(-(batch.reshape(len(batch), -1) @ weight.T + bias)))


def grey(image):
    """As a function of one H x W array."""
    return dict(zip(LABELS, expected(image[None])[0], strict=True))


def network():
    """As a torch module."""
    import torch

    linear = torch.nn.Linear(SIDE * SIDE, 2)
    weight, bias = weights()
    linear.weight.data, linear.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
    return torch.nn.Sequential(torch.nn.Flatten(), linear, torch.nn.Sigmoid()).eval()


def exported(path):
    """As a torch.export archive."""
    import torch

    shape = {"input": {0: torch.export.Dim("n", min=1, max=64)}}
    example = (torch.zeros(2, 1, SIDE, SIDE),)
    torch.export.save(torch.export.export(network(), example, dynamic_shapes=shape), path)


def bundle(folder):
    """As a MONAI bundle."""
    import torch

    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    definition = {"_target_": "tests.audit.models.network"}
    (folder / "configs" / "inference.json").write_text(json.dumps({"network_def": definition}))
    torch.save(network().state_dict(), folder / "models" / "model.pt")


def _field(number, value):
    """One field of a protocol buffer: an integer, bytes or text."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _tensor(name, array):
    dims = b"".join(_field(1, size) for size in array.shape)
    return _field(5, dims + _field(2, 1) + _field(8, name) + _field(9, array.tobytes()))


def _node(kind, inputs, output):
    names = b"".join(_field(1, name) for name in inputs)
    return _field(1, names + _field(2, output) + _field(4, kind))


def _value(number, name, *dims):
    each = [_field(1, _field(1, d) if isinstance(d, int) else _field(2, d)) for d in dims]
    kind = _field(1, _field(1, 1) + _field(2, b"".join(each)))
    return _field(number, _field(1, name) + _field(2, kind))


def onnx(path):
    """As an ONNX file: Flatten, Gemm, Sigmoid; written field by field."""
    weight, bias = weights()
    graph = _node("Flatten", ["x"], "f") + _node("Gemm", ["f", "w", "b"], "g")
    graph += _node("Sigmoid", ["g"], "scores") + _field(2, "tiny")
    graph += _tensor("w", np.ascontiguousarray(weight.T)) + _tensor("b", bias)
    graph += _value(11, "x", "n", 1, SIDE, SIDE) + _value(12, "scores", "n", 2)
    opset = _field(8, _field(1, "") + _field(2, 13))
    path.write_bytes(_field(1, 8) + opset + _field(7, graph))


class _Answer(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = expected(np.load(BytesIO(body), allow_pickle=False)).tolist()
        said = {"/rows": {"scores": found}, "/none": {}}.get(self.path)
        self.send_response(500 if said is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *words):
        """Silent."""


@contextmanager
def served():
    """Behind HTTP; its address."""
    server = HTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
