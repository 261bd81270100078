"""ONNX Runtime's integer kernels add pairs of products in 16 bits without VNNI: needs onnx, onnxruntime and numpy.

On a processor with VNNI both lines are the same; `qemu-x86_64 -cpu Haswell python onnxruntime_saturation.py` shows it
there as well.
"""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

WIDTH = 64
drawn = np.random.default_rng(0)
weight = drawn.integers(-127, 128, (WIDTH, 16)).astype(np.int8)
inputs = drawn.uniform(0, 1, (8, WIDTH)).astype(np.float32)


def model(bits: int) -> bytes:
    """A matrix product of values of that many bits, between QuantizeLinear and DequantizeLinear."""
    scale = np.float32(1 / (2**bits - 1))
    constants = {
        "scale": scale,
        "zero": np.uint8(0),
        "weight": weight,
        "weight_scale": np.float32(0.01),
        "weight_zero": np.int8(0),
        "output_scale": np.float32(0.5),
        "output_zero": np.uint8(128),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["w"]),
        helper.make_node("MatMul", ["rounded", "w"], ["product"]),
        helper.make_node("QuantizeLinear", ["product", "output_scale", "output_zero"], ["output_codes"]),
        helper.make_node("DequantizeLinear", ["output_codes", "output_scale", "output_zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(inputs.shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [len(inputs), weight.shape[1]])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())


def run(content: bytes, level: onnxruntime.GraphOptimizationLevel) -> np.ndarray:
    """What ONNX Runtime gives at an optimization level."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": inputs})[0]


levels = onnxruntime.GraphOptimizationLevel
expected = inputs @ (weight * np.float32(0.01))
for bits in (8, 7):
    plain, fused = (run(model(bits), level) for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL))
    noise = [20 * np.log10(np.linalg.norm(expected) / np.linalg.norm(expected - found)) for found in (plain, fused)]
    print(f"{bits} bits: without optimizations {noise[0]:.1f} dB, with all {noise[1]:.1f} dB")
