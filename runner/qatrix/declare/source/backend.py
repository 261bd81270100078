"""A declared quantizer for FX graph mode as source: a qconfig, and a backend config of what is to be quantized."""

from __future__ import annotations

from typing import Final

from qatrix.declare.source.presets import skipping
from qatrix.declare.source.qconfigs import DTYPES, qconfig_text
from qatrix.declare.source.text import call_text
from qatrix.declare.spec import QConfigSpec, QuantizerSpec
from qatrix.scripts import QuantizerSource, literal

# The counterpart of the table in pipelines.backend.
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
    if quantizer.ops:
        return "FX graph mode quantizes the patterns of a backend config, not single ops of aten"
    if quantizer.bias is not None:
        return "FX graph mode leaves biases in float: it has no derived quantization spec"
    if quantizer.weight is not None and quantizer.weight.group_size is not None:
        return "FX graph mode has no scales by group"
    for spec in (quantizer.activation, quantizer.weight):
        if spec is not None and spec.dtype not in DTYPES:
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
        qconfig_text(QConfigSpec(activation=spec.activation, weight=spec.weight), spec, prefix="qconfig = "),
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
    activation = DTYPES[spec.activation.dtype] if spec.activation else "float"
    weight = DTYPES[spec.weight.dtype] if spec.weight else "float"
    return [
        f"input_dtype=torch.{activation}",
        f"output_dtype=torch.{'float' if spec.is_dynamic else activation}",
        f"weight_dtype=torch.{weight}",
        "bias_dtype=torch.float",
        *(["is_dynamic=True"] if spec.is_dynamic else []),
    ]


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
