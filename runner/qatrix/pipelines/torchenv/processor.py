"""What this processor has that decides which kernels compute in integers, and how."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import torch

# What each feature is called by torch.cpu.get_capabilities, and by Linux in /proc/cpuinfo. Any one of them is it.
_TORCH: Final[Mapping[str, tuple[str, ...]]] = {
    "vnni": ("avx512_vnni", "avx_vnni"),
    "avx512": ("avx512_f",),
    "amx": ("amx_int8",),
    "asimddp": ("dot",),
}
_LINUX: Final[Mapping[str, tuple[str, ...]]] = {
    "vnni": ("avx512_vnni", "avx_vnni"),
    "avx512": ("avx512f",),
    "amx": ("amx_int8",),
    "asimddp": ("asimddp",),
}
_CPUINFO: Final = Path("/proc/cpuinfo")
# What oneDNN reads, the first that is set, and the instruction sets that it can be held to.
_LIMITS: Final = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITHOUT_VNNI: Final = frozenset({"sse41", "avx", "avx2", "avx512_core"})
_AVX2_VNNI: Final = frozenset({"avx2_vnni", "avx2_vnni_2"})


def cpu_features() -> dict[str, bool]:
    """Whether this processor has each feature, and whether oneDNN may use VNNI; empty where nobody can be asked.

    torch.cpu.get_capabilities is asked; on a release without it, /proc/cpuinfo. Without VNNI, kernels that multiply
    bytes add pairs of products in 16 bits, which saturates.
    """
    found = _words()
    if not found:
        return {}
    names, words = found
    has = {feature: any(name in words for name in spellings) for feature, spellings in names.items()}
    return has | {"onednn_vnni": has["vnni"] and not _forbidden(words)}


def _forbidden(words: Iterable[str]) -> bool:
    """Whether the environment holds oneDNN to instructions without VNNI, or to those that this processor lacks."""
    limit = next((os.environ[name].lower() for name in _LIMITS if os.environ.get(name)), "")
    return limit in _WITHOUT_VNNI or (limit in _AVX2_VNNI and "avx_vnni" not in words)


@functools.cache
def _words() -> tuple[Mapping[str, tuple[str, ...]], frozenset[str]] | None:
    """The spellings of who was asked, and what it says that the processor has."""
    asked: Any = getattr(torch.cpu, "get_capabilities", None)
    if asked is not None:
        return _TORCH, frozenset(name for name, value in asked().items() if value is True)
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = (line.partition(":") for line in text.splitlines())
    flags = (told for name, _, told in lines if name.strip() in {"flags", "Features"})
    return _LINUX, frozenset(next(flags, "").split())
