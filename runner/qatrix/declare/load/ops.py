"""Single ops of aten that a declared quantizer annotates; whether a torch has them shows when it is there."""

from __future__ import annotations

from collections.abc import Iterator

from qatrix.declare.language import nearest
from qatrix.declare.language.text import listed
from qatrix.declare.load.registry import Registry
from qatrix.declare.load.specs import read_tensor
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import Mode, OpSpec, OpTensor, SharedSpec

_Declared = str | models.SharedSpec | models.TensorSpec


def read_ops(registry: Registry, cursor: Cursor, model: models.Quantizer, mode: Mode) -> tuple[OpSpec, ...]:
    """The ops of a quantizer; what is wrong with them is noted."""
    seen: set[str] = set()
    found = []
    for at, op in zip(cursor.items_of("ops"), model.ops):
        if op.op in seen:
            expected = "each op once: all its calls are annotated alike"
            registry.note(at.down("op").problem(f"{op.op} is annotated twice", expected=expected))
        seen.add(op.op)
        found.append(_op(registry, at, op, model, mode))
    return tuple(found)


def _op(registry: Registry, cursor: Cursor, op: models.OpAnnotation, model: models.Quantizer, mode: Mode) -> OpSpec:
    for at, tensor in _tensors(cursor, op):
        if tensor in {"activation", "weight"} and getattr(model, str(tensor)) is None:
            registry.note(at.problem(f"{tensor} is not declared", expected=f"{tensor}: a tensor spec of the quantizer"))
        if isinstance(tensor, models.SharedSpec):
            _check_lender(registry, at, tensor.shared_with, op)
    as_it_comes = mode == "dynamic" or (model.activation is not None and model.activation.dynamic)
    if as_it_comes and op.output not in {None, "float"}:
        at = cursor.down("output")
        message = "an output is quantized where activations are quantized as they come"
        registry.note(at.problem(message, expected="output: float, or no output"))
    inputs = cursor.down("inputs")
    return OpSpec(
        op=op.op,
        inputs=None
        if op.inputs is None
        else {name: _tensor(registry, inputs.down(name), tensor, mode) for name, tensor in op.inputs.items()},
        output=None if op.output is None else _tensor(registry, cursor.down("output"), op.output, mode),
        implicit_sharing=op.implicit_sharing,
        source=cursor.source,
    )


def _tensors(cursor: Cursor, op: models.OpAnnotation) -> Iterator[tuple[Cursor, _Declared]]:
    for name, tensor in (op.inputs or {}).items():
        yield cursor.down("inputs", name), tensor
    if op.output is not None:
        yield cursor.down("output"), op.output


def _check_lender(registry: Registry, at: Cursor, name: str, op: models.OpAnnotation) -> None:
    """What shares with an input shares with one that has parameters of its own."""
    if op.inputs is None:
        return
    lenders = [key for key, tensor in op.inputs.items() if isinstance(tensor, models.TensorSpec) or tensor in _OWN]
    if name not in lenders:
        found = op.inputs.get(name)
        why = "is no input that is declared" if found is None else "has no parameters of its own"
        expected = listed(lenders) if lenders else "an input that is quantized by activation, weight or a spec"
        hint = nearest(name, lenders) if found is None else None
        registry.note(at.down("shared_with").problem(f"'{name}' {why}", expected=expected, hint=hint))


_OWN = ("activation", "weight")


def _tensor(registry: Registry, at: Cursor, tensor: _Declared, mode: Mode) -> OpTensor:
    if isinstance(tensor, models.SharedSpec):
        return SharedSpec(shared_with=tensor.shared_with)
    if isinstance(tensor, models.TensorSpec):
        return read_tensor(registry, at, tensor, mode, of_activations=False)
    return tensor  # type: ignore[return-value]  # one of the three names
