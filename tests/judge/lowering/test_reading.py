"""The integers of one op, read off a converted program, and what it gives in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.declare.spec import FxPreset
from qatrix.execute.recording import Store, record
from qatrix.judge.diagnosis.placement import Probe
from qatrix.judge.graphs.ops import op_name
from qatrix.judge.lowering import products
from qatrix.judge.lowering.reading import InFloat64, last_computed, output_range, product_of
from qatrix.pipelines import PIPELINES
from qatrix.pipelines.inputs import Inputs
from support import specs
from support.real_departures import program, quantizer

pytestmark = pytest.mark.torch


def converted(model: nn.Module, x: Tensor, *, pipeline: str = "pt2e") -> fx.GraphModule:
    torch.manual_seed(0)
    made = program(model, Inputs.of(x), quantizer("seven_bits"), pipeline=pipeline).module
    assert isinstance(made, fx.GraphModule)
    return made


def values(module: fx.GraphModule, x: Tensor) -> Mapping[str, object]:
    probes = [Probe(node=node.name) for node in module.graph.nodes if node.op != "output"]
    store = Store()
    try:
        _, found = record(module, Inputs.of(x), probes, store)
        return {probe.node: found.get(probe) for probe in probes}
    finally:
        store.close()


def rounded(module: fx.GraphModule, drawn: Tensor) -> Tensor:
    """What the program itself has rounded, as a part is given it, so that no value lies between two codes."""
    first = next(node for node in module.graph.nodes if op_name(node) == "dequantize_per_tensor")
    found = values(module, drawn)[first.name]
    assert isinstance(found, Tensor)
    return found


torch.manual_seed(0)
MODELS: dict[str, tuple[nn.Module, Tensor]] = {
    "a linear layer": (nn.Linear(6, 4), torch.randn(5, 6)),
    "a convolution": (nn.Conv2d(3, 4, 3, stride=2, padding=1), torch.randn(2, 3, 8, 8)),
    "a convolution and ReLU": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.randn(2, 3, 8, 8)),
    "a convolution and ReLU6": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6()), torch.randn(2, 3, 8, 8)),
    "a convolution in groups": (nn.Conv2d(4, 4, 3, groups=2, bias=False), torch.randn(2, 4, 8, 8)),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_product_gives_what_the_program_gives(name: str) -> None:
    model, drawn = MODELS[name]
    module = converted(model, drawn)
    x = rounded(module, drawn)
    known = values(module, x)
    product = product_of(module, known)
    last = last_computed(module)

    assert product is not None
    assert last is not None
    expected = known[last.name]
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(products.exact(product).float(), expected)


def test_what_is_no_product_is_none() -> None:
    module = converted(nn.MaxPool2d(2), torch.randn(1, 2, 4, 4))

    assert product_of(module, values(module, torch.randn(1, 2, 4, 4))) is None
    assert output_range(module) == (None, None)


@pytest.mark.parametrize("pipeline", ["pt2e", "fx"])
@pytest.mark.parametrize("name", MODELS)
def test_a_program_in_float64_gives_what_it_gives_in_float32(name: str, pipeline: str) -> None:
    model, drawn = MODELS[name]
    module = converted(model, drawn, pipeline=pipeline)
    x = rounded(module, drawn)
    last = last_computed(module)
    inside = InFloat64(module)
    inside.run(*Inputs.of(x).in_order(module))

    assert last is not None
    found, expected = inside.env[last], values(module, x)[last.name]
    assert isinstance(expected, Tensor)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), expected, rtol=1e-5, atol=1e-5)


def test_the_range_of_an_output_is_that_of_its_codes() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
    kind, inputs = PIPELINES["fx"], Inputs.of(torch.randn(5, 6))
    spec = specs.quantizer(fx=FxPreset(backend_config="qnnpack", qconfig_mapping="qnnpack"), mode="ptq")
    prepared = kind.prepare(kind.capture(model.eval(), inputs, dynamic_batch=False)(), inputs, spec, skip_modules=())
    inputs.call(prepared)
    made: Any = kind.convert(prepared, spec)

    assert output_range(made) == (0, 255)
