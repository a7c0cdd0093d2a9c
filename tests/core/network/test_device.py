"""Devices and precision: the best there is, and a sentence where there is none."""

from __future__ import annotations

import pytest
import torch

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.device import (
    complaint,
    computing_in,
    describe_devices,
    memory_format,
    resolve_device,
    resolve_precision,
    why_unusable,
)

CPU = torch.device("cpu")


def test_auto_takes_a_gpu_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    if torch.backends.mps.is_available():
        expected = "mps"
    assert resolve_device("auto").type == expected
    assert resolve_device("cpu") == CPU
    assert describe_devices()[0][0] == expected
    assert describe_devices()[-1][0] == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ImPartialError, match=r"no device 'cuda'.*cpu"):
        resolve_device("cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_there_but_cannot_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a card that is too old for this torch: here, torch has no code for any."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    why_unusable.cache_clear()
    try:
        assert resolve_device("auto") == CPU
        assert [name for name, _ in describe_devices()] == ["cpu"]
        said = r"cannot compute on .* 'cuda' \(.+\); choose .* cpu"
        with pytest.raises(ImPartialError, match=said):
            resolve_device("cuda")
    finally:
        why_unusable.cache_clear()


def test_a_full_card_is_no_reason_to_take_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(torch, "ones", full)
    assert complaint("cuda") == ""


def test_trying_a_device_draws_nothing_and_finds_nothing_wrong_with_the_processor() -> None:
    state = torch.random.get_rng_state()
    assert complaint("cpu") == ""
    with torch.inference_mode():
        assert complaint("cpu") == "", "as in the middle of a prediction"
    assert complaint("meta") != "", "it holds no values that could be read"
    assert torch.equal(state, torch.random.get_rng_state())


def test_maps_lie_by_pixel_except_where_gradients_would_be_wrong() -> None:
    assert memory_format(CPU) is memory_format(torch.device("cuda")) is torch.channels_last
    assert memory_format(torch.device("mps")) is torch.contiguous_format


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx512_f": True, "amx_bf16": False}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_bfloat16_only_where_the_cpu_has_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert resolve_precision("auto", CPU) is expected
    assert resolve_precision("float32", CPU) is torch.float32
    assert resolve_precision("bfloat16", CPU) is torch.bfloat16


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16)]
)
def test_precision_on_cuda_follows_the_generation(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert resolve_precision("auto", torch.device("cuda")) is expected


def test_convolutions_run_in_the_precision_asked_for() -> None:
    layer, x = torch.nn.Conv2d(1, 1, 3), torch.zeros(1, 1, 8, 8)
    for precision in (torch.float32, torch.bfloat16):
        with computing_in(precision, CPU):
            assert layer(x).dtype is precision
