"""Which part of the software a finding is about, as readers look for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from qatrix.outcomes import Record
from qatrix.report.causes import Cause
from qatrix.report.lowered import lowered_models

_PIPELINES: Final = {"pt2e": "PT2E", "fx": "FX graph mode", "pt2e_torch_ao": "PT2E"}
# Runtimes by their own names.
_RUNTIMES: Final = {
    "executorch": "ExecuTorch",
    "inductor": "Inductor",
    "onnxruntime": "ONNX Runtime",
    "native": "FX's own kernels",
    "aoti": "AOTInductor",
}
# A title names what it blames.
_NAMED: Final = {
    "PT2E": re.compile(r"\bPT2E|\b(?:neither|both) pipelines?\b", re.IGNORECASE),
    "FX graph mode": re.compile(r"\bFX\b(?!'s own kernels)|\b(?:neither|both) pipelines?\b", re.IGNORECASE),
    "XNNPACKQuantizer": re.compile(r"\bXNNPACKQuantizer\b"),
    "X86InductorQuantizer": re.compile(r"\bX86InductorQuantizer\b"),
    "torch.ao": re.compile(r"\btorch\.ao\b"),
    "torchao": re.compile(r"\btorchao\b"),
    "ExecuTorch": re.compile(r"\bExecuTorch\b"),
    "Inductor": re.compile(r"\bInductor\b"),
    "ONNX Runtime": re.compile(r"\bONNX Runtime\b"),
    "FX's own kernels": re.compile(r"\bFX's own kernels\b|\bQNNPACK\b"),
}


def components(cause: Cause) -> tuple[str, ...]:
    """What the title names; else the pipelines that fail, the runtimes if each case has one, or the pipelines."""
    return tuple(dict.fromkeys(_named(cause) or _failing(cause) or _deployed(cause) or _taken(cause)))


def _named(cause: Cause) -> list[str]:
    return [name for name, pattern in _NAMED.items() if pattern.search(cause.title)]


def _failing(cause: Cause) -> list[str]:
    failing = {record.expected.pipeline for record in cause.records if record.expected is not None}
    return _in_words(name for name in failing if name is not None)


def _deployed(cause: Cause) -> list[str]:
    runtimes = list(map(_runtimes, cause.records))
    return [_RUNTIMES.get(name, name) for name in sorted(set().union(*runtimes))] if all(runtimes) else []


def _taken(cause: Cause) -> list[str]:
    return _in_words(name for record in cause.records for name in record.pipelines)


def _in_words(pipelines: Iterable[str]) -> list[str]:
    """The pipelines as readers call them, PT2E first."""
    return [_PIPELINES.get(name, name) for name in sorted(set(pipelines), reverse=True)]


def _runtimes(record: Record) -> set[str]:
    """The runtimes that leave their references, and those of all models where none does."""
    models = tuple(lowered_models(record))
    leaving = {model.lowering.runtime for model in models if model.off is not None and model.off.status == "diverged"}
    return leaving or {model.lowering.runtime for model in models}
