"""qnnpack's clamp of a channels-last tensor: the values are right, and most are in the wrong places.

It needs torch alone, built with qnnpack. A quantized convolution gives channels-last tensors, so that ReLU6 and
Hardtanh behind one are affected.
"""

import torch

torch.backends.quantized.engine = "qnnpack"
values = torch.arange(24.0).reshape(1, 2, 3, 4)

for memory_format in (torch.contiguous_format, torch.channels_last):
    quantized = torch.quantize_per_tensor(values.contiguous(memory_format=memory_format), 1.0, 0, torch.quint8)
    clamped = torch.nn.functional.hardtanh(quantized, 0.0, 100.0).dequantize()
    print(f"{memory_format}: {int((clamped != values).sum())} of {values.numel()} values are wrong")
