# SPDX-License-Identifier: Apache-2.0
"""Stacks in words, seconds by stage, and boxes as wide as their seconds."""

from collections import Counter

from benchmarks.where import folded, shares, svg

SITE = "/x/lib/python3/site-packages"


def test_a_stack_becomes_stages_imports_and_functions() -> None:
    stack = [
        ["/x/monai_cxr_cf/cli.py", "main"],
        ["/x/monai_cxr_cf/pipeline.py", "locate"],
        ["<frozen importlib._bootstrap>", "_find_and_load"],
        [f"{SITE}/diffusers/__init__.py", "<module>"],
        [f"{SITE}/diffusers/utils.py", "<module>"],
        [f"{SITE}/torch/nn.py", "forward"],
    ]
    assert folded(stack) == ("main", "region, backbone", "import diffusers", "torch.forward")


def test_seconds_go_to_the_import_or_to_the_innermost_stage() -> None:
    stacks = Counter({
        ("main", "records", "pictures", "matplotlib.draw"): 2.0,
        ("main", "sample", "import scipy"): 1.0,
        ("main", "sample", "torch.forward"): 3.0,
        ("main",): 0.5,
    })  # fmt: skip
    assert shares(stacks) == {"sample": 3.0, "pictures": 2.0, "import scipy": 1.0, "other": 0.5}


def test_boxes_are_as_wide_as_their_seconds() -> None:
    found = svg(Counter({("main", "sample"): 3.0, ("main", "import <x>"): 1.0}), width=400)
    assert '<rect x="0.0" y="0" width="400.0"' in found
    assert '<rect x="100.0" y="17" width="300.0"' in found
    assert "import &lt;x&gt;: 1.00 s" in found
