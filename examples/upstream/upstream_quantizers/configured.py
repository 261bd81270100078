"""Built-in classes, configured by methods that no key of a declaration stands for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

import torch
from torchao.quantization.pt2e.quantizer import Quantizer

from upstream_quantizers.specs import XNNPACK, overload

_INDUCTOR: Final = "torchao.quantization.pt2e.quantizer.{backend}_inductor_quantizer"


def xnnpack(**how: Any) -> Quantizer:
    """XNNPACKQuantizer of torchao, configured in one of the ways that it has."""
    return xnnpack_of(importlib.import_module(XNNPACK), **how)


def xnnpack_of(
    module: ModuleType,
    *,
    is_per_channel: bool = True,
    is_dynamic: bool = False,
    is_qat: bool = False,
    weight_qmin: int = -127,
    weight_qmax: int = 127,
    configured: str = "globally",
    what: str = "",
) -> Quantizer:
    """The XNNPACKQuantizer of a module, configured in one of the ways that it has.

    `configured` is "globally", "by_op" with overloads of aten, "by_type" with the dotted path of a class of
    modules, "but_for" with the name of a node that its filter leaves out, or "not_at_all".
    """
    config = module.get_symmetric_quantization_config(
        is_per_channel=is_per_channel,
        is_dynamic=is_dynamic,
        is_qat=is_qat,
        weight_qmin=weight_qmin,
        weight_qmax=weight_qmax,
    )
    quantizer: Quantizer = module.XNNPACKQuantizer()
    _CONFIGURE[configured](quantizer, config, what)
    return quantizer


def _by_op(quantizer: Any, config: object, ops: str) -> None:
    for op in ops.split():
        quantizer.set_operator_type(overload(op), config)


def _by_type(quantizer: Any, config: object, path: str) -> None:
    module, _, name = path.rpartition(".")
    quantizer.set_module_type(getattr(importlib.import_module(module), name), config)


def _but_for(quantizer: Any, config: object, name: str) -> None:
    quantizer.set_global(config)
    quantizer.set_filter_function(lambda node: node.name != name)


_CONFIGURE: Final[Mapping[str, Callable[[Any, object, str], object]]] = {
    "globally": lambda quantizer, config, _: quantizer.set_global(config),
    "by_op": _by_op,
    "by_type": _by_type,
    "but_for": _but_for,
    "not_at_all": lambda *_: None,
}


def embeddings() -> Quantizer:
    """EmbeddingQuantizer, for whatever a program is prepared for."""
    module = importlib.import_module("torchao.quantization.pt2e.quantizer.embedding_quantizer")
    found: Quantizer = module.EmbeddingQuantizer()
    return found


def inductor(backend: str, *, function: str, quantized: bool = True) -> Quantizer:
    """Inductor's quantizer of a backend, in which a function such as torch.matmul is quantized or stays in float."""
    module = _inductor(backend)
    config = getattr(module, f"get_default_{backend}_inductor_quantization_config")()
    quantizer = getattr(module, f"{backend.capitalize()}InductorQuantizer")().set_global(config)
    home, _, name = function.rpartition(".")
    found: Quantizer = quantizer.set_function_type_qconfig(
        getattr(importlib.import_module(home), name), config if quantized else None
    )
    return found


def inductor_of_names(
    backend: str, *, q_is_dynamic: bool, v_is_dynamic: bool, q_is_qat: bool, v_is_qat: bool
) -> Quantizer:
    """Inductor's quantizer with a configuration for the module `q_proj` and another one for `v_proj`."""
    module = _inductor(backend)
    configure = getattr(module, f"get_default_{backend}_inductor_quantization_config")
    quantizer = getattr(module, f"{backend.capitalize()}InductorQuantizer")()
    found: Quantizer = quantizer.set_module_name_qconfig(
        "q_proj", configure(is_qat=q_is_qat, is_dynamic=q_is_dynamic)
    ).set_module_name_qconfig("v_proj", configure(is_qat=v_is_qat, is_dynamic=v_is_dynamic))
    return found


def inductor_of_types(backend: str, *, sub: str, linear: str) -> Quantizer:
    """Inductor's quantizer with one configuration for the module `sub` and another for linear layers."""
    module = _inductor(backend)
    configure = getattr(module, f"get_default_{backend}_inductor_quantization_config")
    quantizer = getattr(module, f"{backend.capitalize()}InductorQuantizer")()
    found: Quantizer = quantizer.set_module_name_qconfig(
        "sub", configure(is_dynamic=sub == "dynamic")
    ).set_module_type_qconfig(torch.nn.Linear, configure(is_dynamic=linear == "dynamic"))
    return found


def x86_linears_in_half_precision() -> Quantizer:
    """X86InductorQuantizer with linear layers whose activations and weights are rounded to float16."""
    module = _inductor("x86")
    quantizer = module.X86InductorQuantizer().set_global(module.get_default_x86_inductor_quantization_config())
    found: Quantizer = quantizer.set_module_type_qconfig(
        torch.nn.Linear, module.get_x86_inductor_linear_dynamic_fp16_config()
    )
    return found


def _inductor(backend: str) -> ModuleType:
    return importlib.import_module(_INDUCTOR.format(backend=backend))
