"""What a script writes in a torch release: where the names of quantization come from, and what exports a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qatrix.quantizers import homes

_COMMON: Final = "torch.ao.quantization.backend_config._common_operator_config_utils"
# `pipelines.torchenv` knows the same of the release that is installed; a test compares the two.
_FX: Final = {
    "torch.ao.nn.intrinsic.qat": "freeze_bn_stats",
    "torch.ao.quantization": """
        QConfig QConfigMapping get_default_qat_qconfig_mapping get_default_qconfig_mapping
    """,
    "torch.ao.quantization.backend_config": """
        BackendConfig DTypeConfig get_executorch_backend_config get_fbgemm_backend_config get_native_backend_config
        get_onednn_backend_config get_qnnpack_backend_config get_tensorrt_backend_config
    """,
    "torch.ao.quantization.backend_config.x86": "get_x86_backend_config",
    _COMMON: "_get_binary_op_configs _get_cat_config _get_conv_configs _get_linear_configs",
    "torch.ao.quantization.quantize_fx": "_convert_to_reference_decomposed_fx prepare_fx prepare_qat_fx",
    "torch.nn.modules.batchnorm": "_BatchNorm",
    "torch.optim.swa_utils": "AveragedModel",
}
_OBSERVERS: Final = """
    FakeQuantize FixedQParamsFakeQuantize FixedQParamsObserver FusedMovingAvgObsFakeQuantize HistogramObserver
    MinMaxObserver MovingAverageMinMaxObserver MovingAveragePerChannelMinMaxObserver PerChannelMinMaxObserver
    PlaceholderObserver default_fake_quant disable_observer enable_observer move_exported_model_to_eval
    move_exported_model_to_train
"""
_QUANTIZE: Final = "convert_pt2e prepare_pt2e prepare_qat_pt2e"
_SPECS: Final = """
    ComposableQuantizer DerivedQuantizationSpec FixedQParamsQuantizationSpec QuantizationAnnotation QuantizationSpec
    Quantizer SharedQuantizationSpec
"""
_TORCHAO: Final = {
    "torchao.quantization.pt2e": _OBSERVERS,
    "torchao.quantization.pt2e.quantize_pt2e": _QUANTIZE,
    "torchao.quantization.pt2e.quantizer": _SPECS,
    "torchao.quantization.pt2e.observer": "MappingType PerGroup",
    "torchao.quantization.pt2e._affine_quantization": "AffineQuantizedMinMaxObserver",
}
_TORCH_AO: Final = {
    "torch.ao.quantization": _OBSERVERS,
    "torch.ao.quantization.quantize_pt2e": _QUANTIZE,
    "torch.ao.quantization.quantizer": _SPECS,
    "torch._export": "capture_pre_autograd_graph",
}
_EXPORTED_PROGRAMS: Final = (2, 6)
_TORCHAO_SINCE: Final = (2, 8)


@dataclass(frozen=True, kw_only=True)
class Release:
    """A torch release, as far as scripts differ by it.

    `homes` is the module of each name; `second_homes` that of the second PT2E, where there are
    two. `export` is the function of `torch.export` that captures a model, None where
    `torch._export.capture_pre_autograd_graph` does.
    """

    homes: Mapping[str, str]
    second_homes: Mapping[str, str]
    export: str | None

    @classmethod
    def of(cls, torch: str | None) -> Release:
        """The release of a version of torch, the newest that is known where it is not told."""
        numbers = re.match(r"(\d+)\.(\d+)", torch or "")
        version = (int(numbers[1]), int(numbers[2])) if numbers else _TORCHAO_SINCE
        second = _by_name(_TORCH_AO) | homes("torch.ao")
        first = _by_name(_TORCHAO) | homes("torchao") if version >= _TORCHAO_SINCE else second
        return cls(
            homes=_by_name(_FX) | first,
            second_homes=_by_name(_FX) | second,
            export=_export(version),
        )

    @property
    def captures_modules(self) -> bool:
        """Whether a model is captured as a module, not as an exported program."""
        return self.export is None


def importable_names() -> frozenset[str]:
    """The names of quantization that scripts import in one release or another."""
    return frozenset(
        name
        for known in (*map(_by_name, (_FX, _TORCHAO, _TORCH_AO)), homes("torchao"), homes("torch.ao"))
        for name in known
    )


def _export(version: tuple[int, int]) -> str | None:
    if version < _EXPORTED_PROGRAMS:
        return None
    return "export_for_training" if version < _TORCHAO_SINCE else "export"


def _by_name(homes: Mapping[str, str]) -> dict[str, str]:
    return {name: home for home, names in homes.items() for name in names.split()}
