"""Optimized models are read: which op computes in integers, and which layer it is of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from qatrix.lowerings import Arithmetic, FloatOp, Kernel
from qatrix.pipelines.runtimes.onnx_graphs import ran_where
from qatrix.pipelines.runtimes.programs import QuantizedOp

QUANTIZED = {"conv2d": QuantizedOp(op="conv2d", layer="net.conv")}


def node(kind: str, inputs: str, output: str, *, name: str = "", domain: str = "", **notes: str) -> Any:
    properties = [SimpleNamespace(key=f"pkg.torch.onnx.{key}", value=value) for key, value in notes.items()]
    return SimpleNamespace(
        op_type=kind, input=inputs.split(), output=[output], name=name, domain=domain, metadata_props=properties
    )


def graph(*nodes: Any, constants: str = "w scale zero") -> Any:
    return SimpleNamespace(node=nodes, initializer=[SimpleNamespace(name=name) for name in constants.split()])


GIVEN = graph(
    node(
        "Conv",
        "x w",
        "y",
        name="node_conv2d",
        name_scopes="['', 'net', 'net.conv', 'conv2d']",
        class_hierarchy="['M', 'Net', 'torch.nn.modules.conv.Conv2d', 'aten.conv2d.default']",
    )
)


def between(kind: str, *, name: str = "node_conv2d") -> Any:
    """An op between dequantize and quantize ops, with a weight that is dequantized, too."""
    return graph(
        node("QuantizeLinear", "x scale zero", "xq"),
        node("DequantizeLinear", "xq scale zero", "xd"),
        node("DequantizeLinear", "w scale zero", "wd"),
        node(kind, "xd wd", "y", name=name),
        node("QuantizeLinear", "y scale zero", "yq"),
    )


@pytest.mark.parametrize("name", ["node_conv2d", "node_conv2d_token_7", "node_conv2d/duplicated", "node_conv2d_nchwc"])
def test_a_quantized_op_that_is_left_between_quantize_and_dequantize_ops_runs_in_float(name: str) -> None:
    ran = ran_where(between("Conv", name=name), GIVEN, QUANTIZED)

    because = "its optimizer left it as Conv between quantize and dequantize ops"
    assert ran.float_ops == (FloatOp(op="conv2d", layer="net.conv", because=because),)
    assert Kernel(name="Conv", arithmetic="float", layers=("net.conv",)) in ran.kernels


def test_below_the_extended_level_nothing_is_expected_in_integers() -> None:
    assert ran_where(between("Conv"), GIVEN, None).float_ops == ()


def test_what_the_quantizer_left_in_float_is_no_fault() -> None:
    assert ran_where(between("Conv"), GIVEN, {}).float_ops == ()


@pytest.mark.parametrize(
    ("kind", "arithmetic"),
    [
        ("QLinearConv", "integers"),
        ("QLinearMatMul", "integers"),
        ("QLinearAdd", "integers"),
        ("QGemm", "integers"),
        ("MatMulInteger", "integers"),
        ("MatMulIntegerToFloat", "integers"),
        ("ConvInteger", "integers"),
        ("DynamicQuantizeMatMul", "integers"),
        ("DynamicQuantizeLinear", "none"),
        ("Transpose", "none"),
        ("Conv", "float"),
        ("FusedConv", "float"),
        ("Gemm", "float"),
        ("MaxPool", "float"),
    ],
)
def test_a_kernel_computes_in_what_its_name_says(kind: str, arithmetic: Arithmetic) -> None:
    (kernel,) = ran_where(graph(node(kind, "x w", "y")), GIVEN, {}).kernels

    assert kernel.arithmetic == arithmetic


def test_a_pool_of_quantized_values_computes_in_integers() -> None:
    pooled = graph(
        node("QuantizeLinear", "x scale zero", "xq"),
        node("Transpose", "xq", "xt"),
        node("MaxPool", "xt", "y"),
        node("DequantizeLinear", "y scale zero", "yd"),
    )

    kernels = {kernel.name: kernel.arithmetic for kernel in ran_where(pooled, GIVEN, {}).kernels}

    assert kernels["MaxPool"] == "integers"


def test_a_kernel_of_another_domain_has_its_name() -> None:
    (kernel,) = ran_where(graph(node("QGemm", "x w", "y", domain="com.microsoft")), GIVEN, {}).kernels

    assert kernel.name == "com.microsoft.QGemm"
