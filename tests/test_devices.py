# SPDX-License-Identifier: Apache-2.0
"""Words for device and precision: what they mean here, which are refused, and in which sentence."""

import logging
from pathlib import Path

import pytest
import torch

from monai_cxr_cf import devices
from monai_cxr_cf.cli import main
from monai_cxr_cf.devices import LARGE, check_place, check_words, device_of, dtype_of
from monai_cxr_cf.errors import BadRequest

SD15 = 859_520_964  # parameters of its UNet


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that multiplies bfloat16, whatever this one does."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that does not."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": False})


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two CUDA GPUs that multiply bfloat16, as far as torch tells."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize("name", ["amx_bf16", "avx512_bf16", "bf16"])
@pytest.mark.usefixtures("emulated")
def test_native_bfloat16_is_told_from_the_processor_s_flags(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not devices.multiplies_bf16()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True})
    assert devices.multiplies_bf16()
    assert not devices.multiplies_bf16("mps")


@pytest.mark.usefixtures("native")
def test_auto_is_bfloat16_for_large_networks_only() -> None:
    def auto(parameters: int) -> torch.dtype:
        return dtype_of("auto", device="cpu", parameters=parameters)

    assert auto(SD15) == auto(LARGE) == torch.bfloat16
    assert auto(LARGE - 1) == auto(15_121_924) == torch.float32  # that of cxr-mini


@pytest.mark.usefixtures("emulated")
def test_auto_is_float32_where_bfloat16_is_emulated(caplog: pytest.LogCaptureFixture) -> None:
    assert dtype_of("auto", device="cpu", parameters=SD15) == torch.float32
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert dtype_of("bf16", device="cpu", parameters=1) == torch.bfloat16
    assert "does not multiply bfloat16" in caplog.text


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_is_taken_and_counted() -> None:
    assert [device_of(n) for n in ("auto", "cpu", "cuda", "cuda:0", "cuda:1")] == [
        "cuda", "cpu", "cuda", "cuda:0", "cuda:1",
    ]  # fmt: skip
    assert dtype_of("auto", device="cuda:1", parameters=SD15) == torch.bfloat16
    assert dtype_of("fp16", device="cuda", parameters=1) == torch.float16
    check_place("auto", "fp16")
    with pytest.raises(BadRequest, match=r"'cuda:2' is not there: the last of 2 is cuda:1"):
        device_of("cuda:2")


@pytest.mark.usefixtures("no_gpu")
def test_what_is_not_there_is_refused_and_auto_is_the_cpu() -> None:
    assert device_of("auto") == "cpu"
    for name, words in (("cuda", "no CUDA GPU"), ("cuda:3", "no CUDA GPU"), ("mps", "no Apple")):
        with pytest.raises(BadRequest, match=f"'{name}' is not there: this PyTorch sees {words}"):
            check_place(name, "auto")
    for device in ("cpu", "auto"):
        with pytest.raises(BadRequest, match="A CPU does not run in fp16") as refused:
            check_place(device, "fp16")
        assert refused.value.exit_code == 2


@pytest.mark.parametrize("word", ["", "gpu", "cuda:", "cuda:-1", "cuda:1 ", "CPU", "cuda:0,1"])
def test_other_words_name_no_device(word: str) -> None:
    with pytest.raises(BadRequest, match="no device") as refused:
        device_of(word)
    assert refused.value.hint == "Devices: auto, cpu, cuda, cuda:N or mps."


@pytest.mark.parametrize("word", ["", "half", "float32", "BF16"])
def test_other_words_name_no_precision(word: str) -> None:
    with pytest.raises(BadRequest, match="no precision") as refused:
        check_words("cpu", word)
    assert refused.value.hint == "Precisions: auto, fp32, bf16, fp16."


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--device", "gpu"], "There is no device 'gpu'."),
        (["--device", "cuda:9"], "The device 'cuda:9' is not there: this PyTorch sees no CUDA GPU"),
        (["--precision", "half"], "invalid choice: 'half'"),
        (["--precision", "fp16", "--device", "cpu"], "A CPU does not run in fp16"),
    ],
)
@pytest.mark.parametrize("verb", ["edit", "serve"])
@pytest.mark.usefixtures("no_gpu")
def test_the_doors_refuse_in_one_sentence(
    verb: str, flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit = ["docs/example.dcm", "--prompt", "left pleural effusion", "--out", str(tmp_path / "out")]
    own = edit if verb == "edit" else ["--data", str(tmp_path / "data")]
    assert main([verb, *own, *flags]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert len(told.splitlines()) <= 2
    assert not list(tmp_path.iterdir())
