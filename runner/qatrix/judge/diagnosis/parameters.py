"""How each tensor of a program is quantized, and how two programs differ in that."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.conv import _ConvNd

from qatrix.diagnoses import ParameterRow, Parameters
from qatrix.judge.diagnosis.layout import Layout
from qatrix.judge.diagnosis.placement import Placement, Quantizing
from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import argument, called_module, constant_value, is_observing, module_name, op_name

# Layers whose weights FX graph mode quantizes, fused ones by what they hold.
_WITH_WEIGHTS: Final = (_ConvNd, nn.Linear, nn.Embedding, nn.EmbeddingBag)
_SPECIFICATION: Final = ("type", "observer", "dtype", "qscheme", "quant_min", "quant_max", "ch_axis", "eps", "channels")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One tensor's quantization in one program.

    `scale` and `zero_point` are float64 and int64 tensors of one element per channel, None
    where they are not known before the program runs. `codes` are a constant's integers.
    `shared` is a number that two tensors have in common where one observer serves both; `low` and
    `high` are the range that an observer has seen, per channel, None where it does not say, and
    `averaging` is the part of the way that it goes to each new range. `group` is how many values along the
    last axis have a scale of their own, None where that is not how scales go.
    """

    parameters: Parameters
    scale: Tensor | None
    zero_point: Tensor | None
    site: str | None
    codes: Tensor | None = None
    shared: int | None = None
    faked: bool = False
    deferred: bool = False
    low: Tensor | None = None
    high: Tensor | None = None
    averaging: float | None = None
    group: int | None = None


# Measures a tensor as its program is now; None where that says nothing.
Gauge = Callable[[], Measured | None]


def measure(program: fx.GraphModule, placement: Placement, layout: Layout) -> dict[str, Measured]:
    """Every quantized tensor of a program by its name, in the order of the graph."""
    made = {tensor: gauge() for tensor, gauge in gauges(program, placement, layout).items()}
    return {tensor: measured for tensor, measured in made.items() if measured is not None}


def gauges(program: fx.GraphModule, placement: Placement, layout: Layout, *, codes: bool = True) -> dict[str, Gauge]:
    """What measures each quantized tensor of a program when it is called: what observers say changes as it runs.

    A reference module rounds its weight whenever it is asked for the `codes`.
    """
    found: dict[str, Gauge] = {}
    nodes = {node.name: node for node in program.graph.nodes}
    for item in placement.quantizing:
        found.setdefault(item.tensor, functools.partial(_of_node, item, nodes[item.node]))
    for node in program.graph.nodes:
        key = placement.owner.get(node.name)
        module = called_module(node) if node.op == "call_module" else None
        if key is not None and module is not None and not is_observing(module):
            found.setdefault(
                f"{layout.sites[key].name}.weight", functools.partial(_of_weight, module, node, codes=codes)
            )
    return found


def _of_node(item: Quantizing, node: fx.Node) -> Measured | None:
    if item.kind in {"fake_quantize", "observer"}:
        module = called_module(node)
        if module is None or not _makes_integers(module):
            return None
        return of_observer(module, f"{module_name(module)} ({node.name})", item.site)
    if op_name(node).endswith("quantize_affine"):
        return _of_blocks(item, node)
    scale, zero_point = (
        _tensor(_constant(argument(node, _scale_name(node)))),
        _tensor(_constant(argument(node, _zero_name(node)))),
    )
    per_channel = "per_channel" in str(node.target)
    parameters = Parameters(
        node=f"{str(node.target).rpartition('.')[0] or node.target} ({node.name})".replace("quantized_decomposed.", ""),
        dtype=plain(argument(node, "dtype")),
        qscheme="per_channel" if per_channel else "per_tensor",
        quant_min=int(argument(node, "quant_min")),
        quant_max=int(argument(node, "quant_max")),
        ch_axis=int(argument(node, "axis")) if per_channel else None,
        **_summary(scale, zero_point),
    )
    source = operand(node, 0)
    codes = constant_value(source) if item.kind == "dequantize" and isinstance(source, fx.Node) else None
    return Measured(
        parameters=parameters,
        scale=scale,
        zero_point=zero_point,
        site=item.site,
        codes=codes if isinstance(codes, Tensor) else None,
    )


def _makes_integers(module: nn.Module) -> bool:
    """Whether quantize and dequantize ops will stand for an observer.

    Not where it only says that a tensor stays in float, nor where it puts ops of its own into the program; those of
    torchao's observers by token and by group are known.
    """
    inner = getattr(module, "activation_post_process", None)
    dtype = _either(module, module if inner is None else inner, "dtype")
    stays = isinstance(dtype, torch.dtype) and dtype.is_floating_point and dtype.itemsize > 1
    known = any(kind.__name__ == "AffineQuantizedObserverBase" for kind in type(module).__mro__)
    return not stays and (known or not hasattr(module, "convert"))


def _of_blocks(item: Quantizing, node: fx.Node) -> Measured:
    """A tensor whose blocks have scales of their own: (input, block sizes, scale, zero point, dtype, least, greatest).

    torchao/quantization/pt2e/_affine_quantization.py.
    """
    block = operand(node, 1)
    scale, zero_point = (_tensor(_constant(operand(node, place))) for place in (2, 3))
    parameters = Parameters(
        node=f"{node.target} ({node.name})",
        dtype=plain(operand(node, 4)),
        qscheme="per_channel",
        quant_min=_integer(operand(node, 5)),
        quant_max=_integer(operand(node, 6)),
        ch_axis=0,
        **_summary(scale, zero_point),
    )
    source = operand(node, 0)
    codes = constant_value(source) if item.kind == "dequantize" and isinstance(source, fx.Node) else None
    return Measured(
        parameters=parameters,
        scale=scale,
        zero_point=zero_point,
        site=item.site,
        codes=codes if isinstance(codes, Tensor) else None,
        group=_integer(block[-1]),
    )


def _scale_name(node: fx.Node) -> str:
    return "scales" if "per_channel" in str(node.target) else "scale"


def _zero_name(node: fx.Node) -> str:
    return "zero_points" if "per_channel" in str(node.target) else "zero_point"


def _constant(value: object) -> object:
    """A literal or a constant of the graph; None for what is only known when the program runs."""
    if not isinstance(value, fx.Node):
        return value
    return constant_value(value) if value.op == "get_attr" else None


def of_observer(module: nn.Module, node: str = "", site: str | None = None) -> Measured:
    """What a fake quantize or an observer says of the tensor that it has seen."""
    scale, zero_point = _observed(module)
    inner = getattr(module, "activation_post_process", None)
    settings = inner if inner is not None else module
    qscheme = _scheme_of_blocks(settings) or plain(_either(module, settings, "qscheme"))
    per_channel = qscheme is not None and qscheme.startswith("per_channel")
    parameters = Parameters(
        node=node,
        type=type(module).__name__,
        observer=type(settings).__name__,
        dtype=plain(_either(module, settings, "dtype") or getattr(settings, "target_dtype", None)),
        qscheme=qscheme,
        quant_min=_integer(_either(module, settings, "quant_min")),
        quant_max=_integer(_either(module, settings, "quant_max")),
        # Blocks are counted along the first axis once each stands in a row of its own.
        ch_axis=(_integer(_either(module, settings, "ch_axis")) or 0) if per_channel else None,
        eps=_float(_either(module, settings, "eps")),
        **_summary(scale, zero_point),
    )
    return Measured(
        parameters=parameters,
        scale=scale,
        zero_point=zero_point,
        site=site,
        shared=id(module),
        faked=module_name(module) == "fake_quantize",
        low=_tensor(getattr(settings, "min_val", None)),
        high=_tensor(getattr(settings, "max_val", None)),
        averaging=_float(getattr(settings, "averaging_constant", None)),
        group=_integer(getattr(getattr(settings, "granularity", None), "group_size", None)),
    )


def _scheme_of_blocks(observer: Any) -> str | None:
    """The scheme of an observer of blocks, None for any other."""
    kind = getattr(getattr(observer, "mapping_type", None), "name", None)
    if kind is None or not hasattr(getattr(observer, "granularity", None), "group_size"):
        return None
    return "per_channel_symmetric" if kind == "SYMMETRIC" else "per_channel_affine"


def _of_weight(module: nn.Module, node: fx.Node, *, codes: bool) -> Measured | None:
    """The weight that a module quantizes by itself: in training, in its reference form, or once it is converted."""
    for part in module.modules():
        inner = getattr(part, "weight_fake_quant", None)
        if isinstance(inner, nn.Module):
            return of_observer(inner, f"{type(inner).__name__} of {node.target}", None)
        if hasattr(part, "weight_scale") and hasattr(part, "weight_zero_point"):
            return _of_reference(part, node, codes=codes)
        qconfig = getattr(part, "qconfig", None)
        # The weight of a norm is never quantized. Every module has a QConfig, even one that the backend
        # config leaves out: those that will be converted have an observer at their input.
        if qconfig is not None and isinstance(part, _WITH_WEIGHTS) and _input_observed(node):
            observer = qconfig.weight()
            if isinstance(observer, nn.Module) and module_name(observer) in {"fake_quantize", "observer"}:
                return _unobserved(of_observer(observer, f"{type(observer).__name__} of {node.target}", None))
    return None


def _input_observed(node: fx.Node) -> bool:
    sources = (called_module(source) for source in node.all_input_nodes if source.op == "call_module")
    return any(module is not None and is_observing(module) for module in sources)


def _unobserved(measured: Measured) -> Measured:
    """The same without scales: this observer sees the weight only when the program is converted."""
    known = {name: getattr(measured.parameters, name) for name in _SPECIFICATION}
    return Measured(
        parameters=Parameters(node=measured.parameters.node, **known),
        scale=None,
        zero_point=None,
        site=None,
        deferred=True,
    )


def _of_reference(part: nn.Module, node: fx.Node, *, codes: bool) -> Measured:
    scale, zero_point = _tensor(part.weight_scale), _tensor(part.weight_zero_point)
    qscheme = plain(getattr(part, "weight_qscheme", None)) or ""
    per_channel = qscheme.startswith("per_channel")
    parameters = Parameters(
        node=f"{type(part).__name__} ({node.name})",
        dtype=plain(getattr(part, "weight_dtype", None)),
        qscheme="per_channel" if per_channel else "per_tensor",
        quant_min=_integer(getattr(part, "weight_quant_min", None)),
        quant_max=_integer(getattr(part, "weight_quant_max", None)),
        ch_axis=_integer(getattr(part, "weight_axis_int", None)) if per_channel else None,
        **_summary(scale, zero_point),
    )
    return Measured(
        parameters=parameters, scale=scale, zero_point=zero_point, site=None, codes=_codes(part) if codes else None
    )


def _codes(part: Any) -> Tensor | None:
    try:
        codes = part.get_quantized_weight()
    except Exception:  # noqa: BLE001 - a module of another kind that only looks alike
        return None
    return codes.int_repr() if codes.is_quantized else codes if not codes.is_floating_point() else None


def _observed(module: Any) -> tuple[Tensor | None, Tensor | None]:
    if isinstance(getattr(module, "scale", None), Tensor) and isinstance(getattr(module, "zero_point", None), Tensor):
        return _tensor(module.scale), _tensor(module.zero_point)
    try:
        scale, zero_point = module.calculate_qparams()
    except Exception:  # noqa: BLE001 - an observer that has seen nothing, or gives no parameters
        return None, None
    return _tensor(scale), _tensor(zero_point)


def _tensor(value: object) -> Tensor | None:
    if value is None:
        return None
    dtype = (
        torch.float64
        if isinstance(value, float) or (isinstance(value, Tensor) and value.is_floating_point())
        else torch.int64
    )
    made = value.detach().cpu() if isinstance(value, Tensor) else torch.tensor(value)
    return made.to(dtype).flatten().clone()


def _summary(scale: Tensor | None, zero_point: Tensor | None) -> dict[str, Any]:
    if scale is None or zero_point is None or not scale.numel() or not zero_point.numel():
        return {}
    return {
        "channels": scale.numel(),
        "scale_min": float(scale.min()),
        "scale_max": float(scale.max()),
        "zero_point_min": int(zero_point.min()),
        "zero_point_max": int(zero_point.max()),
    }


def _either(module: object, inner: object, name: str) -> Any:
    return getattr(module, name, getattr(inner, name, None))


def plain(value: object) -> str | None:
    """torch's dtypes and schemes as text: int8 for torch.int8 and for torch.qint8."""
    if value is None:
        return None
    name = str(value).removeprefix("torch.")
    return name[1:] if name.startswith(("qint", "quint")) else name


def _integer(value: object) -> int | None:
    return int(value) if isinstance(value, (int, Tensor)) else None


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, (float, Tensor)) else None


def parameter_rows(left: Mapping[str, Measured], right: Mapping[str, Measured]) -> tuple[ParameterRow, ...]:
    """The quantized tensors of two programs side by side, those that differ first."""
    names = list(left) + [name for name in right if name not in left]
    rows = [_row(name, left.get(name), right.get(name)) for name in names]
    return tuple(sorted(rows, key=lambda row: row.status == "same"))


def _row(name: str, left: Measured | None, right: Measured | None) -> ParameterRow:
    if left is None or right is None:
        return ParameterRow(
            tensor=name,
            status="left_only" if right is None else "right_only",
            left=left.parameters if left else None,
            right=right.parameters if right else None,
        )
    worst = _worst(left, right)
    differing = (*_specification(left.parameters, right.parameters), *worst.pop("differing"))
    return ParameterRow(
        tensor=name,
        status="differs" if differing else "same",
        left=left.parameters,
        right=right.parameters,
        differing=differing,
        **worst,
    )


def _specification(left: Parameters, right: Parameters) -> Iterator[str]:
    """The settings that both programs know and that differ."""
    for name in _SPECIFICATION:
        one, other = getattr(left, name), getattr(right, name)
        if name == "channels" and None in (left.scale_min, right.scale_min):
            # An observer that has seen nothing yet does not know how many channels there are.
            continue
        if name == "qscheme" and one and other and None in (left.type, right.type):
            # An op tells only whether it is per tensor or per channel.
            one, other = one[: len("per_tensor")], other[: len("per_tensor")]
        if one is not None and other is not None and one != other:
            yield name


def _worst(left: Measured, right: Measured) -> dict[str, Any]:
    """What differs in scale and zero point, and the channel where it does most."""
    nothing: dict[str, Any] = {"differing": ()}
    if left.scale is None or right.scale is None or left.zero_point is None or right.zero_point is None:
        return nothing
    if (
        left.scale.shape != right.scale.shape
        or left.zero_point.shape != right.zero_point.shape
        or not left.scale.numel()
    ):
        return nothing
    scales, zeros = left.scale != right.scale, left.zero_point != right.zero_point
    differing = tuple(name for name, apart in (("scale", scales), ("zero_point", zeros)) if apart.any())
    if not differing:
        return nothing
    ratio = (left.scale / right.scale).log().abs().nan_to_num(nan=torch.inf)
    shift = (left.zero_point - right.zero_point).abs()
    channel = int((ratio if scales.any() else shift).argmax())
    return {
        "differing": differing,
        "worst_channel": channel if left.scale.numel() > 1 else None,
        "left_scale": float(left.scale[channel]),
        "right_scale": float(right.scale[channel]),
        "left_zero_point": int(left.zero_point[channel]),
        "right_zero_point": int(right.zero_point[channel]),
    }
