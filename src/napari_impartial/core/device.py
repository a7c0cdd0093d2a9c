"""Which device to compute on, and in which precision."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .errors import ImPartialError


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    ImPartialError
        If this machine does not have it.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(key for key, there in available.items() if there)
    if not available.get(name, False):
        have = ", ".join(key for key, there in available.items() if there)
        raise ImPartialError(f"There is no device {name!r} on this machine; choose one of {have}.")
    return torch.device(name)


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
    """Whether bfloat16 is computed by the CPU itself; emulated, it is slower than float32."""
    # Older torch cannot say; float32 is then the safe answer.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


@contextmanager
def computing_in(precision: torch.dtype, device: torch.device) -> Iterator[None]:
    """Run convolutions in `precision` inside the block; sums and losses stay float32."""
    with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
        yield


def describe_devices() -> list[tuple[str, str]]:
    """List the devices of this machine as ``(name, what it is)``, the preferred one first."""
    found: list[tuple[str, str]] = []
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
        found.append(("cuda", f"{torch.cuda.get_device_name()}, {_gigabytes(memory)}"))
    if torch.backends.mps.is_available():
        found.append(("mps", "Apple GPU"))
    kind = "bfloat16" if _cpu_has_bfloat16() else "float32"
    n = torch.get_num_threads()
    cores = "1 core" if n == 1 else f"{n} cores"
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
