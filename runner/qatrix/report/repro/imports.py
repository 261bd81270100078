"""The imports of a script: exactly those that it needs, in the usual order."""

from __future__ import annotations

import ast
import builtins
from collections import defaultdict
from typing import Final

_FX_COMMON: Final = "torch.ao.quantization.backend_config._common_operator_config_utils"
# Where names come from; pipelines.torchenv knows the same of PT2E's, and a test compares the two.
# The quantizer of XNNPACK moved to ExecuTorch; torchao keeps this copy for its own tests.
_HOMES: Final = {
    "torch.ao.nn.intrinsic.qat": "freeze_bn_stats",
    "torch.ao.quantization": "QConfig QConfigMapping",
    "torch.ao.quantization.backend_config": """
        BackendConfig DTypeConfig get_executorch_backend_config get_fbgemm_backend_config get_native_backend_config
        get_onednn_backend_config get_qnnpack_backend_config get_tensorrt_backend_config
    """,
    _FX_COMMON: "_get_binary_op_configs _get_cat_config _get_conv_configs _get_linear_configs",
    "torch.ao.quantization.quantize_fx": "_convert_to_reference_decomposed_fx prepare_fx prepare_qat_fx",
    "torch.nn.modules.batchnorm": "_BatchNorm",
    "torchao.quantization.pt2e": """
        FakeQuantize FusedMovingAvgObsFakeQuantize HistogramObserver MinMaxObserver MovingAverageMinMaxObserver
        MovingAveragePerChannelMinMaxObserver PerChannelMinMaxObserver PlaceholderObserver default_fake_quant
        disable_observer move_exported_model_to_eval
    """,
    "torchao.quantization.pt2e.quantize_pt2e": "convert_pt2e prepare_pt2e prepare_qat_pt2e",
    "torchao.quantization.pt2e.quantizer": """
        DerivedQuantizationSpec QuantizationAnnotation QuantizationSpec Quantizer SharedQuantizationSpec
    """,
    "torchao.testing.pt2e._xnnpack_quantizer": "XNNPACKQuantizer get_symmetric_quantization_config",
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names.split()}
_MODULES: Final = {name: f"import {name}" for name in "copy math textwrap torch torchvision traceback warnings".split()}
_ALIASES: Final = {"F": "import torch.nn.functional as F", "nn": "from torch import nn"}
_QCONFIGS: Final = "torch.ao.quantization.qconfig"
_STANDARD: Final = ("copy", "math", "textwrap", "traceback", "warnings")
_LINE_LENGTH: Final = 120


def import_lines(body: str, *, dotted: tuple[str, ...] = ()) -> str:
    """The import statements for every name that a script's body uses and does not define.

    `dotted` are paths that are called by their whole names, such as "torchvision.models.resnet18".
    Raises KeyError for a name that comes from nowhere.
    """
    wanted = sorted(_free_names(body) - {path.partition(".")[0] for path in dotted})
    standard = [_MODULES[name] for name in wanted if name in _STANDARD]
    modules = {_MODULES[name] for name in wanted if name in _MODULES and name not in _STANDARD}
    modules |= {f"import {path.rpartition('.')[0]}" for path in dotted}
    others = sorted(modules) + [_ALIASES[name] for name in wanted if name in _ALIASES]
    named: defaultdict[str, list[str]] = defaultdict(list)
    for name in wanted:
        if name not in _MODULES and name not in _ALIASES:
            named[_home(name)].append(name)
    others += [_from(home, names) for home, names in named.items()]
    return "\n\n".join("\n".join(block) for block in (standard, _ordered(others)) if block)


def _home(name: str) -> str:
    return _QCONFIGS if name.endswith("_qconfig") and name not in _HOME_OF else _HOME_OF[name]


def _ordered(lines: list[str]) -> list[str]:
    """Plain imports first, then those of names, each by module."""
    return sorted(lines, key=lambda line: (line.startswith("from"), line.split()[1], line))


def _from(home: str, names: list[str]) -> str:
    line = f"from {home} import {', '.join(names)}"
    if len(line) <= _LINE_LENGTH:
        return line
    return f"from {home} import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def _free_names(body: str) -> set[str]:
    """The names that a script reads and nowhere writes; each name means one thing in a whole script."""
    read, written = set(), set(dir(builtins))
    for node in ast.walk(ast.parse(body)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else written).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            written.add(node.name)
        elif isinstance(node, ast.arg):
            written.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            written.add(node.name)
    return read - written
