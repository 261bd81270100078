"""Parts of a program in a runtime, one after the other: what each gives, and how far that is off the reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from qatrix.execute import isolation
from qatrix.execute.bisecting.cuts import Cut, Outline
from qatrix.execute.bisecting.parts import Part, part
from qatrix.judge.outputs import plain
from qatrix.judge.wording import differences as words
from qatrix.lowerings import Ran
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Lowered, Program
from qatrix.text import counted, told

Lower = Callable[[Program], Lowered]
Reference = Callable[[fx.GraphModule], fx.GraphModule]

# Beyond one step, with the rounding of what is dequantized: ties that a runtime rounds to the other side are none.
_ONE_STEP: Final = 1.001


@dataclass(frozen=True, kw_only=True)
class Gap:
    """How far a runtime's value is off the reference's: at most, and in steps of the value."""

    max_abs: float
    steps: float

    @property
    def departs(self) -> bool:
        """Whether that is more than a step."""
        return not self.steps <= _ONE_STEP


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A part that was lowered and run."""

    part: Part
    lowered: Tensor
    gap: Gap
    ran: Ran | None


@dataclass(kw_only=True)
class Trials:
    """Lowers parts as long as there is budget, each once. A part that cannot be tried is told in the notes."""

    lower: Lower
    program: Program
    outline: Outline
    reference: Reference
    limit: int
    count: int = 0
    notes: list[str] = field(default_factory=list)
    _known: dict[tuple[frozenset[str], str], Trial | None] = field(default_factory=dict)

    def of(self, inputs: Collection[Cut], output: Cut) -> Trial | None:
        """The part from some cuts, with the reference's values there, to another; None where it cannot be tried."""
        key = (frozenset(cut.read for cut in inputs), output.read)
        if key not in self._known:
            if self.count >= self.limit:
                self._note(words.SEARCH_ENDED(lowerings=counted(self.count, "lowering")))
                return None
            self.count += 1
            self._known[key] = self._tried(inputs, output)
        return self._known[key]

    def _tried(self, inputs: Collection[Cut], output: Cut) -> Trial | None:
        try:
            made = part(self.outline, inputs, output)
            wanted = self.outline.value(output)
            with torch.no_grad():
                own = self.reference(made.module)(*_copies(made.inputs))
            if gap(wanted, own, self.outline.step(output)).departs:
                self._note(words.PART_NOT_EQUAL(end=output.source))
                return None
            lowered = self.lower(program_of(made, self.program))
            (value,) = pytree.tree_leaves(plain(lowered.run(Inputs(made.inputs))))
        except BaseException as error:  # noqa: BLE001 - a part that a runtime refuses must not end the search
            isolation.let_ctrl_c_through(error)
            self._note(words.PART_NOT_LOWERED(end=output.source, error=told(error)))
            return None
        found = gap(wanted, value, self.outline.step(output))
        return Trial(part=made, lowered=value, gap=found, ran=_ran(lowered))

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def gap(reference: Tensor, value: object, step: float) -> Gap:
    """How far a value is off the reference's; infinitely far where it is of another shape, or not a number."""
    if not isinstance(value, Tensor) or value.shape != reference.shape:
        return Gap(max_abs=math.inf, steps=math.inf)
    one, other = (_plain(tensor).double() for tensor in (reference, value))
    same = (one == other) | (one.isnan() & other.isnan())
    difference = (one - other).abs().masked_fill(same, 0.0).nan_to_num(math.inf, math.inf)
    most = float(difference.max()) if difference.numel() else 0.0
    return Gap(max_abs=most, steps=most / step if most else 0.0)


def program_of(made: Part, whole: Program) -> Program:
    """A part as a runtime takes it, with those axes free that are free in the whole and still can be."""
    batch = whole.dynamic_batch and not made.fixed and _first_axes(made.inputs) == _first_axes(whole.inputs.values)
    free = _free_axes(made, whole) if made.from_inputs else ()
    return Program(
        module=made.module,
        inputs=Inputs(made.inputs, free=free),
        quantizer=whole.quantizer,
        dynamic_batch=batch,
    )


def _free_axes(made: Part, whole: Program) -> tuple[tuple[tuple[int, str], ...], ...]:
    """The free axes of those inputs that a part still takes, tensor by tensor."""
    if not whole.inputs.free or not isinstance(whole.module, fx.GraphModule):
        return ()
    free = {id(tensor): axes for tensor, axes in zip(whole.inputs.tensors, whole.inputs.free)}
    names = [node.name for node in whole.module.graph.nodes if node.op == "placeholder"]
    given = dict(zip(names, whole.inputs.in_order(whole.module)))
    leaves = pytree.tree_leaves([given[name] for name in made.names])
    return tuple(free.get(id(leaf), ()) for leaf in leaves if isinstance(leaf, Tensor))


def _first_axes(values: tuple[Any, ...]) -> set[int | None]:
    """The lengths of the first axes of all tensors."""
    tensors = (leaf for leaf in pytree.tree_leaves(values) if isinstance(leaf, Tensor))
    return {tensor.shape[0] if tensor.ndim else None for tensor in tensors}


def _copies(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return Inputs(values).copies().args


def _ran(lowered: Lowered) -> Ran | None:
    try:
        return lowered.ran()
    except BaseException as error:  # noqa: BLE001 - a runtime that cannot say what it ran has run all the same
        isolation.let_ctrl_c_through(error)
        return None


def _plain(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    return tensor.dequantize() if tensor.is_quantized else tensor
