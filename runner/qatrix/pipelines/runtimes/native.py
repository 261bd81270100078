"""FX graph mode's own kernels: the prepared program becomes modules of quantized tensors, on one quantized engine."""

from __future__ import annotations

import copy
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from qatrix.declare.spec import Settings
from qatrix.lowerings import Arithmetic, FloatOp, Kernel, Ran
from qatrix.pipelines import backend, torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program
from qatrix.pipelines.runtimes.islands import is_move, left_in_float

# Classes whose forward runs a kernel of the engine's; those of reference modules compute in floating point.
_QUANTIZED: Final = (".nn.quantized.", ".nn.intrinsic.quantized.")
_REFERENCE: Final = ".quantized.reference."
_CALLS: Final = frozenset({"call_function", "call_method", "call_module"})


@dataclass(frozen=True)
class Converted:
    """What `convert_fx` gives, and the engine that it is for."""

    module: fx.GraphModule
    engine: str
    example: Inputs

    def run(self, inputs: Inputs) -> object:
        """Its outputs as real numbers."""
        with torch.no_grad(), on_engine(self.engine):
            return _real(inputs.call(self.module))

    def ran(self) -> Ran:
        """What takes quantized tensors, and what is left in floating point, as one forward pass shows; and the size.

        The size is that of the file of its parameters.
        """
        with torch.no_grad(), on_engine(self.engine):
            witness = _Witness(self.module)
            witness.run(*self.example.copies().in_order(self.module))
        float_ops = [*_left(self.module, witness), *_references(self.module)]
        return Ran(kernels=_kernels(self.module, witness), float_ops=tuple(float_ops), size_bytes=_size(self.module))


@dataclass(frozen=True)
class Native:
    """Converts a prepared program for an engine."""

    engine: str

    def missing(self) -> str | None:
        """Why this build of torch cannot run the engine, with those that it has."""
        engines = torchenv.engines()
        if self.engine in engines:
            return None
        there = ", ".join(name for name in engines if name != "none") or "none"
        return (
            f"this build of torch has no quantized engine {self.engine}, because torch.backends.quantized."
            f"supported_engines has {there}; name one of those, or install a build of torch that has {self.engine}"
        )

    def version(self) -> str | None:
        """None: it is torch itself."""
        return None

    def lower(self, program: Program) -> Converted:
        """The prepared program, converted with the backend config that the fx pipeline takes."""
        convert: Any = torchenv.fx_api().convert_fx
        with on_engine(self.engine):
            prepared = copy.deepcopy(program.module)
            module = convert(prepared, backend_config=backend.backend_config(program.quantizer))
        return Converted(module=module, engine=self.engine, example=program.inputs)


def runtime(options: Settings) -> Native:
    """The runtime on the engine that the options name."""
    return Native(engine=str(options["engine"]))


@contextmanager
def on_engine(engine: str) -> Iterator[None]:
    """Within it, torch's quantized kernels are those of the engine."""
    quantized: Any = torch.backends.quantized
    before = quantized.engine
    quantized.engine = engine
    try:
        yield
    finally:
        quantized.engine = before


def _real(value: object) -> object:
    return pytree.tree_map_only(Tensor, lambda tensor: tensor.dequantize() if tensor.is_quantized else tensor, value)


class _Witness(fx.Interpreter):
    """Runs a program and takes down which of its values are quantized tensors."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.quantized: set[fx.Node] = set()

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        leaves = pytree.tree_leaves(value)
        if any(isinstance(leaf, Tensor) and leaf.is_quantized for leaf in leaves):
            self.quantized.add(n)
        return value


@dataclass(frozen=True)
class _Reader:
    """How `convert_fx`'s graphs are read, by what the values were when they ran."""

    module: fx.GraphModule
    quantized: frozenset[fx.Node] = field(default_factory=frozenset)

    def quantizes(self, node: fx.Node) -> bool:
        """Whether it gives quantized tensors, or takes real numbers and quantizes them inside, as dynamic ops do."""
        return node in self.quantized or _is_kernel(self.module, node)

    def dequantizes(self, node: fx.Node) -> bool:
        """Whether it is the method that gives real numbers."""
        return node.op == "call_method" and node.target == "dequantize"

    def name(self, node: fx.Node) -> str:
        """The name of the function, the method, or the class in small letters."""
        if node.op == "call_module":
            return type(self.module.get_submodule(str(node.target))).__name__.lower()
        return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", node.target))


def _called(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return module.get_submodule(str(node.target)) if node.op == "call_module" else None


def _is_kernel(module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node calls a quantized module or an op of torch.ops.quantized."""
    called = _called(module, node)
    if called is not None:
        home = f"{type(called).__module__}."
        return any(part in home for part in _QUANTIZED) and _REFERENCE not in home
    return node.op == "call_function" and str(getattr(node.target, "__module__", "")).endswith("_ops.quantized")


def _arithmetic(module: fx.GraphModule, node: fx.Node, witness: _Witness) -> Arithmetic:
    reader = _Reader(module, frozenset(witness.quantized))
    reads_integers = any(source in witness.quantized for source in node.all_input_nodes)
    if reader.dequantizes(node) or (node in witness.quantized and not reads_integers):
        return "none"
    if is_move(reader.name(node)) and not _is_kernel(module, node):
        return "none"
    return "integers" if reads_integers or _is_kernel(module, node) else "float"


def _kernel_name(module: fx.GraphModule, node: fx.Node) -> str:
    """The class of a module without torch's folders, or the function: "nn.quantized.Conv2d", "quantized.add"."""
    called = _called(module, node)
    if called is not None:
        home = type(called).__module__.partition(".modules")[0].removeprefix("torch.").removeprefix("ao.")
        return f"{home}.{type(called).__name__}"
    target: Any = node.target
    if isinstance(target, str):
        return f"Tensor.{target}"
    home = str(getattr(target, "__module__", None) or "").removeprefix("torch.").removeprefix("_ops.")
    return f"{home}.{target.__name__}" if home else str(target.__name__)


def _layer(node: fx.Node) -> str | None:
    """The float model's name for what a node computes, where it is a module of the float model's."""
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    path = next((str(path) for path, *_ in reversed([_entry(item) for item in stack.values()])), "")
    name = node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", ""))
    return f"{path}.{name}" if path else name or None


def _entry(item: Any) -> tuple[Any, ...]:
    return tuple(item) if isinstance(item, tuple | list) else (item,)


def _kernels(module: fx.GraphModule, witness: _Witness) -> tuple[Kernel, ...]:
    counts: Counter[tuple[str, Arithmetic]] = Counter()
    layers: dict[tuple[str, Arithmetic], list[str]] = {}
    for node in module.graph.nodes:
        if node.op not in _CALLS or node.target is getattr:
            continue
        key = (_kernel_name(module, node), _arithmetic(module, node, witness))
        counts[key] += 1
        layer = _layer(node) if key[1] != "none" else None
        layers.setdefault(key, []).extend([layer] if layer is not None else [])
    return tuple(
        Kernel(name=name, arithmetic=arithmetic, count=count, layers=tuple(dict.fromkeys(layers[name, arithmetic])))
        for (name, arithmetic), count in counts.items()
    )


def _left(module: fx.GraphModule, witness: _Witness) -> Iterator[FloatOp]:
    reader = _Reader(module, frozenset(witness.quantized))
    for node in left_in_float(module.graph, reader):
        if _is_reference(module, node):
            continue
        because = "convert_fx left it between a dequantize and a quantize op, because it has no quantized kernel for it"
        yield FloatOp(op=_kernel_name(module, node), layer=_layer(node), because=because)


def _references(module: fx.GraphModule) -> Iterator[FloatOp]:
    """Modules of the reference that convert_fx did not replace: they dequantize their weights and compute in float."""
    for node in module.graph.nodes:
        if _is_reference(module, node):
            because = "convert_fx left the reference's module, which dequantizes its weight and computes in float"
            yield FloatOp(op=_kernel_name(module, node), layer=_layer(node), because=because)


def _is_reference(module: fx.GraphModule, node: fx.Node) -> bool:
    called = _called(module, node)
    return called is not None and _REFERENCE in f"{type(called).__module__}."


def _size(module: nn.Module) -> int:
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    return file.tell()
