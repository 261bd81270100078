"""The switches of torch: determinism, threads, engines and backends, precision, how tensors are printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

import torch
from torch import _tensor_str

from qatrix.execute.traces.kinds import Kind, members_changed

# By the parts' names, because a release may lack some of them.
_C: Any = torch._C
_PRINTED: Any = getattr(_tensor_str, "PRINT_OPTS", None)

# What torch tells and sets by a pair of functions: not by torch.backends, where a case may have forbidden it.
_FLAGS: Final = {
    "torch.backends.cudnn.enabled": ("_get_cudnn_enabled", "_set_cudnn_enabled"),
    "torch.backends.cudnn.benchmark": ("_get_cudnn_benchmark", "_set_cudnn_benchmark"),
    "torch.backends.cudnn.deterministic": ("_get_cudnn_deterministic", "_set_cudnn_deterministic"),
    "torch.backends.mkldnn.enabled": ("_get_mkldnn_enabled", "_set_mkldnn_enabled"),
    "torch.backends.mkldnn.deterministic": ("_get_mkldnn_deterministic", "_set_mkldnn_deterministic"),
    "torch.backends.nnpack.enabled": ("_get_nnpack_enabled", "_set_nnpack_enabled"),
    "torch.backends.quantized.engine": ("_get_qengine", "_set_qengine"),
    "torch's flash attention": ("_get_flash_sdp_enabled", "_set_sdp_use_flash"),
    "torch's memory-efficient attention": ("_get_mem_efficient_sdp_enabled", "_set_sdp_use_mem_efficient"),
    "torch's plain attention": ("_get_math_sdp_enabled", "_set_sdp_use_math"),
    "torch's cuDNN attention": ("_get_cudnn_sdp_enabled", "_set_sdp_use_cudnn"),
    "torch.is_warn_always_enabled()": ("_get_warnAlways", "_set_warnAlways"),
    "torch.jit's optimization": ("_get_graph_executor_optimize", "_set_graph_executor_optimize"),
}
# The older way to say how exactly float32 is computed, and the newer one; each sets parts of the other.
_OLDER_PRECISIONS: Final = {
    "float32_matmul_precision": ("_get_float32_matmul_precision", "_set_float32_matmul_precision"),
    "cudnn.allow_tf32": ("_get_cudnn_allow_tf32", "_set_cudnn_allow_tf32"),
    "cuda.matmul.allow_tf32": ("_get_cublas_allow_tf32", "_set_cublas_allow_tf32"),
}
_PRECISIONS: Final = (
    ("generic", "all"),
    *((name, op) for name in ("cuda", "mkldnn") for op in ("all", "conv", "rnn", "matmul")),
)
# Plain attributes of modules.
_ATTRIBUTES: Final = (
    ("torch.utils.deterministic", "fill_uninitialized_memory"),
    ("torch.backends.mha", "_is_fastpath_enabled"),
    ("torch.backends.opt_einsum", "enabled"),
    ("torch.backends.opt_einsum", "strategy"),
)


def _switches() -> Iterator[Kind]:
    yield Kind(
        name="torch's number of threads",
        read=torch.get_num_threads,
        restore=torch.set_num_threads,
    )
    yield Kind(name="torch's number of threads between ops", read=torch.get_num_interop_threads)
    yield Kind(
        name="torch's deterministic algorithms",
        read=lambda: (_C._get_deterministic_algorithms(), _C._get_deterministic_algorithms_warn_only()),
        restore=lambda was: _C._set_deterministic_algorithms(was[0], warn_only=was[1]),
        tell=lambda name, *states: "{} were {} and are {}".format(name, *map(_determinism, states)),
    )
    yield Kind(name="torch's flushing of denormal numbers", read=_flushes, restore=torch.set_flush_denormal)
    yield from (kind for name, pair in _FLAGS.items() for kind in _flag(name, *pair))
    yield Kind(
        name="torch's precision of float32",
        read=_precisions,
        restore=_set_precisions,
        tell=members_changed,
    )
    yield Kind(name="torch.backends.flags_frozen()", read=torch.backends.flags_frozen, restore=_set_frozen)
    yield from (_attribute(*place) for place in _ATTRIBUTES)
    yield Kind(
        name="torch's sharing strategy",
        read=torch.multiprocessing.get_sharing_strategy,
        restore=torch.multiprocessing.set_sharing_strategy,
    )
    if _PRINTED is not None:
        yield Kind(
            name="torch's way to print tensors",
            read=lambda: dict(vars(_PRINTED)),
            restore=vars(_PRINTED).update,
            tell=members_changed,
        )


def _determinism(state: tuple[bool, bool]) -> str:
    return ("on, with warnings alone" if state[1] else "on") if state[0] else "off"


def _flushes() -> bool:
    """Whether this processor thread takes the smallest numbers for zero, which holds for those of Python, too."""
    return _half(sys.float_info.min) == 0.0


def _half(number: float) -> float:
    return number / 2


def _flag(name: str, get: str, put: str) -> Iterator[Kind]:
    if hasattr(_C, get) and hasattr(_C, put):
        yield Kind(name=name, read=getattr(_C, get), restore=getattr(_C, put))


def _precisions() -> dict[str, Any]:
    older = {name: Kind(name=name, read=getattr(_C, get)).now() for name, (get, _) in _OLDER_PRECISIONS.items()}
    return older | {"/".join(place): _C._get_fp32_precision_getter(*place) for place in _places()}


def _set_precisions(was: dict[str, Any]) -> None:
    for name, (_, put) in _OLDER_PRECISIONS.items():
        getattr(_C, put)(was[name])
    # Then what they have set besides, from the general to the particular.
    for place in _places():
        _C._set_fp32_precision_setter(*place, was["/".join(place)])


def _places() -> tuple[tuple[str, str], ...]:
    return _PRECISIONS if hasattr(_C, "_get_fp32_precision_getter") else ()


def _set_frozen(was: bool) -> None:  # noqa: FBT001 - the state as it was read
    # What stands in sys.modules is not the module that has the flag.
    kept = torch.backends.disable_global_flags.__globals__
    kept["__allow_nonbracketed_mutation_flag"] = not was


def _attribute(module: str, name: str) -> Kind:
    owner = _loaded(module)
    return Kind(
        name=f"{module}.{name}",
        read=lambda: getattr(owner(), name, None),
        restore=lambda was: setattr(owner(), name, was),
    )


def _loaded(module: str) -> Callable[[], ModuleType | None]:
    return lambda: sys.modules.get(module)


SWITCHES: Final[tuple[Kind, ...]] = tuple(_switches())
