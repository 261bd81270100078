"""Cases that differ for a known reason, and faults that are planted in one pipeline's program."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import fx, nn

from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import Case, QuantizerSpec
from qatrix.pipelines import PIPELINES, Capture, Pipeline
from qatrix.pipelines.inputs import Inputs
from qatrix.resources import folder

PATTERNS: Final = """
quantizers:
  conv_relu_alone_ptq:
    mode: ptq
    annotate: [conv_relu]
    activation: {dtype: uint8, qscheme: per_tensor_affine, quant_min: 0, quant_max: 255}
    weight: {dtype: int8, qscheme: per_tensor_symmetric, quant_min: -127, quant_max: 127}
patterns:
  linear_twice:
    layers: {lin: "Linear(8, 8)"}
    forward: ["return lin(F.relu(lin(x)))"]
    inputs: {x: {shape: [4, 8]}}
  conv_read_elsewhere:
    layers: {conv: "Conv2d(3, 4, 3)", bn: "BatchNorm2d(4, eps=1.0)"}
    forward: ["y = conv(x)", "return bn(y) + y"]
    inputs: {x: {shape: [2, 3, 8, 8]}}
  pooled_norm:
    layers: {pool: MaxPool2d(2), bn: BatchNorm2d(3), conv: "Conv2d(3, 4, 3)"}
    forward: ["return conv(F.relu(bn(pool(x))))"]
    inputs: {x: {shape: [2, 3, 8, 8]}}
  two_convs:
    layers: {conv1: "Conv2d(3, 4, 3)", conv2: "Conv2d(4, 4, 3)"}
    forward: ["return conv2(conv1(x))"]
    inputs: {x: {shape: [2, 3, 8, 8]}}
  attention:
    model: support.models.self_attention
    inputs: {x: {shape: [2, 5, 8]}}
  frozen_stem:
    model: support.models.frozen_stem
    inputs: {x: {shape: [2, 3, 8, 8]}}
  dropped_channels:
    layers: {conv: "Conv2d(3, 4, 3)", drop: Dropout2d()}
    forward: ["return drop(conv(x))"]
    inputs: {x: {shape: [2, 3, 8, 8]}}
  dropped_alpha:
    layers: {conv: "Conv2d(3, 4, 3)", drop: AlphaDropout()}
    forward: ["return drop(conv(x))"]
    inputs: {x: {shape: [2, 3, 8, 8]}}
  conv_norm:
    params: {padding_mode: zeros, eps: 1.0e-5, momentum: 0.1}
    layers:
      conv: "Conv2d(3, 4, 3, padding=1, padding_mode=padding_mode)"
      bn: "BatchNorm2d(4, eps=eps, momentum=momentum)"
    forward: ["return bn(conv(x))"]
    inputs: {x: {shape: [2, 3, 8, 8]}}
  conv3d_norm_relu:
    layers: {conv: "Conv3d(3, 4, 3)", bn: BatchNorm3d(4), relu: ReLU()}
    forward: ["return relu(bn(conv(x)))"]
    inputs: {x: {shape: [2, 3, 5, 5, 5]}}
  relu_as_method:
    layers: {conv: "Conv2d(3, 4, 3)", bn: BatchNorm2d(4)}
    forward: ["y = bn(conv(x))", "return y.relu()"]
    inputs: {x: {shape: [2, 3, 8, 8]}}
  relu_as_module:
    layers: {conv: "Conv2d(3, 4, 3)", bn: BatchNorm2d(4), relu: ReLU()}
    forward: ["return relu(bn(conv(x)))"]
    inputs: {x: {shape: [2, 3, 8, 8]}}
  functional:
    model: support.models.functional_conv_bn
    inputs: {x: {shape: [2, 3, 8, 8]}}
  five_pairs:
    layers:
      c1: "Conv2d(3, 4, 3)"
      b1: BatchNorm2d(4)
      c2: "Conv2d(4, 4, 3)"
      b2: BatchNorm2d(4)
      c3: "Conv2d(4, 4, 3)"
      b3: "BatchNorm2d(4, eps=0.1)"
      c4: "Conv2d(4, 4, 3)"
      b4: BatchNorm2d(4)
      c5: "Conv2d(4, 4, 3)"
      b5: BatchNorm2d(4)
    forward: ["y = b1(c1(x))", "y = b2(c2(y))", "y = b3(c3(y))", "y = b4(c4(y))", "return b5(c5(y))"]
    inputs: {x: {shape: [2, 3, 16, 16]}}
  one_conv_twice:
    layers: {conv: "Conv2d(3, 3, 3)", b1: BatchNorm2d(3), b2: BatchNorm2d(3)}
    forward: ["y = b1(conv(x))", "return b2(conv(y))"]
    inputs: {x: {shape: [2, 3, 8, 8]}}
  plus_three:
    layers: {conv: "Conv2d(3, 4, 3)"}
    forward: ["y = x + 3.0", "return conv(y)"]
    inputs: {x: {shape: [2, 3, 8, 8]}}
  pooled:
    layers: {pool: AvgPool2d(2), conv: "Conv2d(3, 4, 3)"}
    forward: ["return conv(pool(x))"]
    inputs: {x: {shape: [2, 3, 8, 8]}}
  twelve_layers:
    layers:
      c1: "Conv2d(3, 8, 3, padding=1)"
      b1: BatchNorm2d(8)
      r1: ReLU()
      c2: "Conv2d(8, 8, 3, padding=1)"
      c3: "Conv2d(8, 8, 3, padding=1, bias=False)"
      b3: BatchNorm2d(8)
      c4: "Conv2d(8, 4, 3, stride=2)"
      b4: BatchNorm2d(4)
      r4: ReLU()
      f1: "Linear(196, 16)"
      f2: "Linear(16, 4)"
    forward:
      - "y = r1(b1(c1(x)))"
      - "z = c2(y)"
      - "y = b3(c3(z))"
      - "y = y + z"
      - "y = r4(b4(c4(y)))"
      - "return f2(f1(y.flatten(1)))"
    inputs: {x: {shape: [2, 3, 16, 16]}}
"""
QUANTIZER: Final = "xnnpack_int8_per_channel_qat"


def case_of(tmp_path: Path, pattern: str, params: Mapping[str, object] | None = None) -> Case:
    """The case of one of the patterns above, with these values of its parameters."""
    values = {"pattern": pattern, "quantizer": QUANTIZER, **(params or {})}
    axes = ", ".join(f"{axis}: {value}" for axis, value in values.items())
    path = tmp_path / "written.yaml"
    path.write_text(f"{PATTERNS}\nsuites: {{written: {{axes: {{{axes}}}}}}}\n")
    paths = [folder("matrix") / "quantizers.yaml", folder("matrix") / "devices.yaml", path]
    loaded = load(paths, allowed_modules=("torch", "support"))
    assert loaded.matrix is not None, loaded.problems
    (case,) = select(loaded.matrix, Selection(cases=())).cases
    return case


# The layers of `twelve_layers` whose output is quantized, and the layer that they are fused with.
ROOTS: Final[Mapping[str, str]] = {
    "r1": "c1",
    "c2": "c2",
    "b3": "c3",
    "add": "add",
    "r4": "c4",
    "f1": "f1",
    "f2": "f2",
}
KINDS: Final = ("weight", "observer", "scale", "zero_point")
# Batch norm takes out a change of a whole filter, so one element is moved, and far enough to be seen.
_NUDGE: Final = 0.5


@dataclass(frozen=True)
class Plant:
    """A fault in one pipeline's program at one layer."""

    kind: str
    pipeline: str
    layer: str
    seed: int

    @property
    def root(self) -> str:
        """The layer that holds the weight."""
        return ROOTS[self.layer]

    @property
    def at(self) -> str:
        """The point at which it is first there."""
        return "prepare" if self.kind in {"weight", "observer"} else "convert"


def random_plants(count: int, seed: int) -> list[Plant]:
    """Faults of every kind in either pipeline at random layers, the same for the same seed."""
    source = random.Random(seed)
    made = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        layers = [layer for layer in ROOTS if kind != "weight" or layer != "add"]
        made.append(Plant(kind, source.choice(["pt2e", "fx"]), source.choice(layers), source.randrange(1000)))
    return made


class Prepared:
    """A real pipeline that prepares and converts a model once and gives out copies, in which faults are planted.

    The model always runs on the same inputs, so that without a fault its prepared program is always converted alike.
    """

    def __init__(self, name: str) -> None:
        self._pipeline = PIPELINES[name]
        self._name = name
        self._captured: Capture | None = None
        self._prepared: nn.Module | None = None
        self._converted: nn.Module | None = None
        self.plant: Plant | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def capture(self, model: nn.Module, inputs: Inputs, *, dynamic_batch: bool, strict: bool = True) -> Capture:
        """The same program each time."""
        if self._captured is None:
            self._captured = self._pipeline.capture(model, inputs, dynamic_batch=dynamic_batch, strict=strict)
        return self._captured

    def prepare(
        self,
        captured: nn.Module,
        inputs: Inputs,
        quantizer: QuantizerSpec,
        *,
        skip_modules: tuple[str, ...],
    ) -> nn.Module:
        """A copy of the prepared program, with the fault in it."""
        if self._prepared is None:
            self._prepared = self._pipeline.prepare(captured, inputs, quantizer, skip_modules=skip_modules)
        return self._planted(copy.deepcopy(self._prepared), "prepare")

    def convert(self, prepared: nn.Module, quantizer: QuantizerSpec) -> nn.Module:
        """The converted program, with the fault in it."""
        if self._has_fault("prepare"):
            return self._pipeline.convert(prepared, quantizer)
        if self._converted is None:
            self._converted = self._pipeline.convert(prepared, quantizer)
        return self._planted(copy.deepcopy(self._converted), "convert")

    def _has_fault(self, at: str) -> bool:
        return self.plant is not None and self.plant.at == at and self.plant.pipeline == self._name

    def _planted(self, program: nn.Module, at: str) -> nn.Module:
        assert isinstance(program, fx.GraphModule)
        if self.plant is not None and self._has_fault(at):
            _PLANTERS[self.plant.kind](program, self.plant)
        return program


def prepared_pipelines() -> dict[str, Pipeline]:
    """Both pipelines, each of which prepares the same model once."""
    return {name: Prepared(name) for name in PIPELINES}


def _nudge_weight(program: fx.GraphModule, plant: Plant) -> None:
    weight = dict(program.named_parameters())[f"{plant.root}.weight"]
    with torch.no_grad():
        weight.view(-1)[plant.seed % weight.numel()] += _NUDGE


def _swap_observer(program: fx.GraphModule, plant: Plant) -> None:
    node = _quantizing_node(program, plant)
    old = program.get_submodule(str(node.target))
    observer = type(old.activation_post_process)
    swapped = type(old)(
        observer=observer, quant_min=-16, quant_max=15, dtype=old.dtype, qscheme=torch.per_tensor_symmetric
    )
    setattr(program, str(node.target), swapped.train(old.training))


def _change_scale(program: fx.GraphModule, plant: Plant) -> None:
    node = _quantizing_node(program, plant)
    scale = node.args[1]
    assert isinstance(scale, float)
    for part in (node, *node.users):
        part.update_arg(1, scale * 1.1)
    program.recompile()


def _change_zero_point(program: fx.GraphModule, plant: Plant) -> None:
    """Where codes are made only: changed in both places, the values stay as they are but for those at the ends."""
    node = _quantizing_node(program, plant)
    zero_point = node.args[2]
    assert isinstance(zero_point, int)
    node.update_arg(2, zero_point + 3)
    program.recompile()


def _quantizing_node(program: fx.GraphModule, plant: Plant) -> fx.Node:
    """The node that quantizes a layer's output, found without any of the code under test.

    A weight that batch norm scales has the path of its convolution too; the output comes last.
    """
    found: list[fx.Node] = [
        node
        for node in program.graph.nodes
        if node.args
        and isinstance(source := node.args[0], fx.Node)
        and _quantizes(node)
        and not _quantizes(source)
        and _layer(source) in {plant.layer, plant.root}
    ]
    return found[-1]


def _quantizes(node: fx.Node) -> bool:
    return "activation_post_process" in str(node.target) or "quantize_per_tensor" in str(node.target)


def _layer(node: fx.Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = stack[-1][0] if stack else ""
    if node.op in {"placeholder", "call_module"}:
        return str(node.target)
    return path or node.name


_PLANTERS: Final[Mapping[str, Callable[[fx.GraphModule, Plant], None]]] = {
    "weight": _nudge_weight,
    "observer": _swap_observer,
    "scale": _change_scale,
    "zero_point": _change_zero_point,
}
