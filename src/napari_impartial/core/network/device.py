"""Choice of device and precision."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
import torch.nn.functional as F

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.words import count


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    ImPartialError
        If this machine does not have it, or torch cannot compute on it.
    """
    available = _available()
    if name == "auto":
        name = next(key for key in available if not why_unusable(key))
    if name in available and not why_unusable(name):
        return torch.device(name)
    why = f"There is no device {name!r} on this machine"
    if name in available:
        why = f"Torch cannot compute on this machine's device {name!r} ({why_unusable(name)})"
    usable = ", ".join(key for key in available if not why_unusable(key))
    raise ImPartialError(f"{why}; choose one of {usable}.")


def _available() -> list[str]:
    """Return the names of the devices that torch finds, the preferred one first."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [*(name for name, there in found.items() if there), "cpu"]


@cache
def why_unusable(name: str) -> str:
    """Return why torch cannot compute on a device of this machine, in a line; empty if it can.

    A card may be too old for what torch was built for, or its driver in disorder. To try it also
    loads the device's libraries, before anybody waits for them.
    """
    return "" if name == "cpu" else complaint(name)


def complaint(name: str) -> str:
    """Try a small step of training on a device, and return what torch complains of, in a line."""
    try:
        with torch.inference_mode(False), torch.enable_grad():
            weight = torch.ones(1, 1, 3, 3, device=name, requires_grad=True)
            total = F.conv2d(torch.ones(1, 1, 8, 8, device=name), weight).sum()
            torch.autograd.grad(total, weight)[0].cpu()  # errors come when results are asked for
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        words = str(error).strip().partition("\n")[0] or type(error).__name__
        # A card that is full now may do later, and is no reason to take another one unasked.
        return "" if "out of memory" in words else words
    return ""


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype convolutions run in: the fastest the hardware has, or float32.

    On a CPU that is bfloat16 where there are instructions for it (AMX or AVX-512 BF16);
    on CUDA bfloat16, or float16 on GPUs older than Ampere; float32 elsewhere.
    """
    if name == "float32":
        return torch.float32
    if name == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        modern = torch.cuda.get_device_capability(device)[0] >= 8
        return torch.bfloat16 if modern else torch.float16
    if device.type == "cpu" and _cpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def _cpu_has_bfloat16() -> bool:
    """Return whether bfloat16 is computed by the CPU itself.

    Emulated, it is slower than float32.
    """
    # Older torch cannot say; float32 is then the safe answer.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


@contextmanager
def computing_in(precision: torch.dtype, device: torch.device) -> Iterator[None]:
    """Run convolutions in `precision` inside the block; sums and losses stay float32."""
    if device.type == "mps" and precision == torch.float32:
        yield  # not every torch that we take knows autocast there, be it off
        return
    with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
        yield


def memory_format(device: torch.device) -> torch.memory_format:
    """Return how feature maps lie in memory: by pixel, where that is quicker and right.

    On MPS, gradients of batch normalization are wrong for maps that lie so.
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def describe_devices() -> list[tuple[str, str]]:
    """List the devices of this machine as ``(name, what it is)``, the preferred one first."""
    found: list[tuple[str, str]] = []
    if torch.cuda.is_available() and not why_unusable("cuda"):
        memory = torch.cuda.get_device_properties(0).total_memory
        found.append(("cuda", f"{torch.cuda.get_device_name()}, {_gigabytes(memory)}"))
    if torch.backends.mps.is_available() and not why_unusable("mps"):
        found.append(("mps", "Apple GPU"))
    kind = "bfloat16" if _cpu_has_bfloat16() else "float32"
    cores = count(torch.get_num_threads(), "core")
    found.append(("cpu", ", ".join([cores, kind, *_memory()])))
    return found


def _memory() -> list[str]:
    """Return the machine's memory, where the system says how much it is."""
    try:
        return [_gigabytes(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]
    except (AttributeError, ValueError, OSError):
        return []


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / 2**30:.0f} GB"
