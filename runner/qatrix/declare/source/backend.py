"""A declared quantizer for FX graph mode as source: a qconfig, and a backend config of what is to be quantized."""

from __future__ import annotations

from typing import Final

from qatrix.declare.source.observers import constructor_call, range_arguments
from qatrix.declare.source.presets import skipping
from qatrix.declare.source.text import call_text
from qatrix.declare.spec import QuantizerSpec, TensorSpec
from qatrix.scripts import QuantizerSource, literal

_SPACE: Final = "torch.ao.quantization."
# The counterparts of the tables in pipelines.backend.
_DTYPES: Final = {"uint8": "quint8", "int8": "qint8", "int32": "qint32"}
_FAMILIES: Final = {
    "conv": "*_get_conv_configs([dtypes])",
    "linear": "*_get_linear_configs([dtypes])",
    "add": "*_get_binary_op_configs([dtypes])",
    "mul": "*_get_binary_op_configs([dtypes])",
    "cat": "_get_cat_config([dtypes])",
}
_SHAPE: Final = '''
def shape_of(config):
    """Whether a backend pattern has a batch norm and a ReLU in it; fused modules tell by their names."""
    text = str(config.pattern).lower()
    return "bn" in text or "batchnorm" in text, "relu" in text
'''.strip("\n")


def inexpressible(quantizer: QuantizerSpec) -> str | None:
    """Why FX graph mode cannot express a declared quantizer, None where it can."""
    if quantizer.bias is not None:
        return "FX graph mode leaves biases in float: it has no derived quantization spec"
    for spec in (quantizer.activation, quantizer.weight):
        if spec is not None and spec.dtype not in _DTYPES:
            return f"FX graph mode has no quantized tensor of dtype {spec.dtype}"
    return None


def declared_fx(spec: QuantizerSpec, skip_modules: tuple[str, ...]) -> QuantizerSource:
    """The definitions of a backend config and a qconfig, and the lines that take them."""
    families = sorted({name.partition("_")[0] for name in spec.annotate})
    shapes = ", ".join(map(literal, sorted(_shapes(spec.annotate))))
    definitions = (
        f"{_SHAPE}\n\n",
        call_text("DTypeConfig", _dtypes(spec), prefix="dtypes = "),
        f"patterns = [{', '.join(_FAMILIES[family] for family in families)}]",
        call_text("QConfig", _qconfig(spec), prefix="qconfig = "),
    )
    kept = f"[config for config in patterns if shape_of(config) in {{{shapes}}}]"
    made = f"BackendConfig({literal(spec.name)}).set_backend_pattern_configs"
    return QuantizerSource(
        definitions="\n".join(definitions),
        lines=(
            f"qconfigs = QConfigMapping().set_global(qconfig){skipping(skip_modules)}",
            *call_text(made, [kept], prefix="backend_config = ").split("\n"),
        ),
    )


def _dtypes(spec: QuantizerSpec) -> list[str]:
    activation = _DTYPES[spec.activation.dtype] if spec.activation else "float"
    weight = _DTYPES[spec.weight.dtype] if spec.weight else "float"
    return [
        f"input_dtype=torch.{activation}",
        f"output_dtype=torch.{'float' if spec.mode == 'dynamic' else activation}",
        f"weight_dtype=torch.{weight}",
        "bias_dtype=torch.float",
        *(["is_dynamic=True"] if spec.mode == "dynamic" else []),
    ]


def _qconfig(spec: QuantizerSpec) -> list[str]:
    tensors = (("activation", spec.activation), ("weight", spec.weight))
    return [f"{name}={_made(tensor, spec)}" for name, tensor in tensors]


def _made(tensor: TensorSpec | None, spec: QuantizerSpec) -> str:
    if tensor is None:
        return f"{_SPACE}NoopObserver"
    mode = spec.mode_of(tensor)
    ranges = (*range_arguments(tensor, _DTYPES[tensor.dtype]), *(["is_dynamic=True"] if mode == "dynamic" else []))
    function, arguments = constructor_call(tensor, mode, space=_SPACE, ranges=ranges)
    return call_text(function, arguments, indent=4)


def _shapes(names: tuple[str, ...]) -> set[tuple[bool, bool]]:
    """The shapes (has batch norm, has ReLU) to keep: those that are declared, and what folding leaves of them.

    FX looks a trained conv-bn up as the convolution that it becomes.
    """
    shapes = set()
    for name in names:
        parts = name.split("_")
        relu = "relu" in parts
        shapes |= {("bn" in parts, relu), (False, relu), (False, False)}
    return shapes
