"""The FX graph mode pipeline: `prepare_fx` or `prepare_qat_fx`, then the decomposed reference model."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from qatrix.declare.spec import QuantizerSpec
from qatrix.outcomes import QuantizerOrigin
from qatrix.pipelines import backend, torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.switches import require_all_off, require_disabled_observers


def missing() -> str | None:
    """Why this environment lacks FX graph mode, None where it is there."""
    try:
        torchenv.fx_api()
    except torchenv.PackageMissing as error:
        return str(error)
    return None


def lacks(quantizer: QuantizerSpec) -> str | None:
    """None: whatever it takes comes with torch."""
    del quantizer
    return None


def inexpressible(quantizer: QuantizerSpec) -> str | None:
    """Why FX cannot express a quantizer, None where it can."""
    if quantizer.phases:
        reasons = (inexpressible(phase.quantizer) for phase in quantizer.phases)
        return next((reason for reason in reasons if reason is not None), None)
    if quantizer.fx is not None:
        return None
    if not quantizer.is_declared:
        return f"quantizer '{quantizer.name}' declares no fx preset"
    return backend.inexpressible(quantizer)


def integers(quantizer: QuantizerSpec) -> frozenset[tuple[Any, ...]]:
    """The integers that the observers of all its QConfigs have."""
    return backend.integers(quantizer)


def quantizers(quantizer: QuantizerSpec) -> tuple[QuantizerOrigin, ...]:
    """None: it takes QConfigs."""
    del quantizer
    return ()


def capture(model: nn.Module, inputs: Inputs, *, dynamic_batch: bool, strict: bool = True) -> Callable[[], nn.Module]:
    """Makes copies of the model: FX traces it symbolically inside prepare, for any batch size, in one way alone."""
    del inputs, dynamic_batch, strict
    return functools.partial(copy.deepcopy, model)


def prepare(
    captured: nn.Module, inputs: Inputs, quantizer: QuantizerSpec, *, skip_modules: tuple[str, ...]
) -> nn.Module:
    """The traced model with observers (PTQ) or fake quantizes and fused QAT modules (QAT)."""
    api = torchenv.fx_api()
    prepare_model = api.prepare_qat_fx if quantizer.mode == "qat" else api.prepare_fx
    mapping = backend.qconfig_mapping(quantizer)
    backend.set_parts(mapping, quantizer)
    for name in skip_modules:
        mapping.set_object_type(getattr(nn, name), None)
    config = backend.backend_config(quantizer)
    prepared: nn.Module = prepare_model(captured, mapping, inputs.values, backend_config=config)
    return prepared


def disable_observers(prepared: nn.Module) -> None:
    """Switch off torch's observers; raises NotSwitched where that does nothing."""
    prepared.apply(torch.ao.quantization.disable_observer)
    require_disabled_observers(prepared, "torch.ao.quantization.disable_observer")


def freeze_batch_norms(prepared: nn.Module) -> None:
    """Freeze the batch norms of the fused modules; raises NotSwitched where there are others, which that leaves out."""
    prepared.apply(torch.ao.nn.intrinsic.qat.freeze_bn_stats)
    norms = {name: module for name, module in prepared.named_modules() if isinstance(module, _BatchNorm)}
    left = [name for name, module in norms.items() if module.training]
    require_all_off("batch norm", len(norms), left, "torch.ao.nn.intrinsic.qat.freeze_bn_stats")


def enable_observers(prepared: nn.Module) -> None:
    """Switch torch's observers on again."""
    prepared.apply(torch.ao.quantization.enable_observer)


def to_eval(prepared: nn.Module) -> None:
    """Switch every module of a prepared model to evaluation."""
    prepared.eval()


def to_train(prepared: nn.Module) -> None:
    """Switch every module of a prepared model back to training, but for batch norms that are frozen."""
    prepared.train()


def convert(prepared: nn.Module, quantizer: QuantizerSpec) -> nn.Module:
    """The reference model in quantized_decomposed ops: what PT2E's converted program is compared with."""
    convert_model: Any = torchenv.fx_api()._convert_to_reference_decomposed_fx
    converted: nn.Module = convert_model(prepared, backend_config=backend.backend_config(quantizer))
    return converted


def evaluation() -> AbstractContextManager[object]:
    """With gradients: without them a MultiheadAttention, which stays a module here, is computed by another kernel."""
    return nullcontext()


def reexport(converted: nn.Module, inputs: Inputs) -> nn.Module:
    """The reference model, exported as a deployment would."""
    torchenv.reset_compiler()
    return torchenv.capture(converted, inputs, dynamic_batch=False)()


def saved_and_loaded(converted: nn.Module, inputs: Inputs, *, dynamic_batch: bool) -> nn.Module:
    """The reference model, exported, saved and loaded.

    FX's tutorials script what `convert_fx` returns. A reference model in decomposed ops cannot be scripted, because
    its code calls overloads (`quantize_per_tensor.default`), nor pickled, because its
    qconfigs hold a local function; exporting it is what it is made for.
    """
    return torchenv.saved_and_loaded(converted, inputs, dynamic_batch=dynamic_batch)
