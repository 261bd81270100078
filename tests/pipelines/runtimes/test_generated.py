"""Generated C++ is read: the kernels that it calls, and the loops that it has."""

from __future__ import annotations

from qatrix.lowerings import Kernel
from qatrix.pipelines.runtimes.generated import ran_where

DECLARED = 'extern "C" void cpp_fused_quantize_per_tensor_0(const float* in_ptr0, uint8_t* out_ptr0);\n'
CALLED = "    cpp_fused_quantize_per_tensor_0((const float*)(a), (uint8_t*)(b));\n"


def test_calls_are_counted_and_declarations_are_not() -> None:
    call = "    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_cpu__qlinear_pointwise_tensor(buf0, scale));\n"

    ran = ran_where({"model.wrapper.cpp": DECLARED + CALLED + call + call}, size_bytes=9)

    assert ran.kernels == (
        Kernel(name="aoti_torch_cpu__qlinear_pointwise_tensor", arithmetic="integers", count=2),
        Kernel(name="cpp_fused_quantize_per_tensor_0", arithmetic="none"),
    )
    assert (ran.size_bytes, ran.notes) == (9, ())


def test_a_program_without_integer_kernels_says_so() -> None:
    call = "aoti_torch_cpu_addmm_out(buf, bias);\ncpp_fused_dequantize_per_tensor_quantize_per_tensor_relu_1(x);"

    ran = ran_where({"model.wrapper.cpp": call, "model.kernel.cpp": "aoti_torch_cpu__qconv_pointwise_tensor("})

    assert [(kernel.name, kernel.arithmetic) for kernel in ran.kernels] == [
        ("aoti_torch_cpu_addmm_out", "float"),
        ("cpp_fused_dequantize_per_tensor_quantize_per_tensor_relu_1", "float"),
    ]
    assert ran.notes[0].startswith("AOTInductor found no convolution or linear layer that it computes in integers")
