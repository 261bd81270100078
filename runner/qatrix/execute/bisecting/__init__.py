"""The first difference inside a runtime.

A runtime gives outputs and nothing else. So parts of a program are lowered by themselves, with the reference's values
as their inputs, until the op is found that computes something else than the reference.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from torch import fx
from torch.utils import _pytree as pytree

from qatrix.declare.spec import QuantizerSpec
from qatrix.execute import isolation
from qatrix.execute.bisecting.cuts import Cut, Outline, outline, uncuttable
from qatrix.execute.bisecting.search import Found, Search
from qatrix.execute.bisecting.trials import Lower, Reference, Trials, gap
from qatrix.execute.bisecting.wording import kernel_of, op_of, sentence
from qatrix.execute.recording import Store
from qatrix.judge.graphs.places import layer_of
from qatrix.judge.outputs import plain
from qatrix.judge.shown import Shown
from qatrix.judge.wording import differences as words
from qatrix.lowerings import Departure
from qatrix.pipelines import fx as fx_pipeline
from qatrix.pipelines.runtimes import Program
from qatrix.text import told

# Beside twice the binary logarithm of the number of cuts: the whole, single ops, branches.
_MORE_LOWERINGS: Final = 8


@dataclass(frozen=True, kw_only=True)
class Bisected:
    """The first departure and what shows it; none where none was found, and the notes say why.

    `lowerings` counts the programs and parts that were lowered.
    """

    first: Departure | None = None
    shown: Shown | None = None
    notes: tuple[str, ...] = ()
    lowerings: int = 0


def unchanged(module: fx.GraphModule) -> fx.GraphModule:
    """The reference of a converted program: the program itself."""
    return module


def converted_by_fx(quantizer: QuantizerSpec) -> Reference:
    """What makes the reference of a program that FX graph mode prepared, and of its parts."""

    def reference(module: fx.GraphModule) -> fx.GraphModule:
        made = fx_pipeline.convert(copy.deepcopy(module), quantizer)
        assert isinstance(made, fx.GraphModule)
        return made

    return reference


def departure(
    lower: Lower, program: Program, *, reference: Reference = unchanged, outputs: object | None = None
) -> Bisected:
    """The first op of a program that departs from its reference in a runtime by more than a quantization step.

    `lower` is that of the runtime, `reference` makes what the runtime has to agree with, of the program and of each
    of its parts. `outputs` are the runtime's for the whole program, which is lowered here where they are not given.
    Raises nothing but Ctrl-C.
    """
    store = Store()
    try:
        return _departure(lower, program, reference, outputs, store)
    except BaseException as error:  # noqa: BLE001 - a search that fails must not end the case that it is about
        isolation.let_ctrl_c_through(error)
        return Bisected(notes=(words.SEARCH_FAILED(error=told(error)),))
    finally:
        store.close()


def _departure(lower: Lower, program: Program, reference: Reference, outputs: object | None, store: Store) -> Bisected:
    if not isinstance(program.module, fx.GraphModule):
        return Bisected(notes=(words.NO_GRAPH(),))
    if (why := uncuttable(program.module)) is not None:
        return Bisected(notes=(words.NOT_SEARCHED(reason=why),))
    own = reference(program.module)
    # A runtime that is asked for the whole program counts too.
    spent = int(outputs is None)
    given = lower(program).run(program.inputs) if outputs is None else outputs
    found = outline(program.module, own, program.inputs, store)
    limit = 2 * math.ceil(math.log2(len(found.cuts) + 1)) + _MORE_LOWERINGS
    trials = Trials(lower=lower, program=program, outline=found, reference=reference, limit=limit, count=spent)
    departing = list(_departing(found, given))
    if not departing:
        return Bisected(notes=(words.NOTHING_TO_CUT(),), lowerings=trials.count)
    search = Search(outline=found, trials=trials)
    first = next((item for cut in departing if (item := search.first(cut)) is not None), None)
    if first is None:
        return Bisected(notes=(words.ONLY_AS_A_WHOLE(), *trials.notes), lowerings=trials.count)
    return Bisected(
        first=_told(found, first), shown=_shown(first, found), notes=tuple(trials.notes), lowerings=trials.count
    )


def _departing(found: Outline, given: object) -> Iterator[Cut]:
    """The cuts of the outputs that are more than a step off, in the order of the outputs."""
    wanted, values = (pytree.tree_leaves(plain(item)) for item in (found.outputs, given))
    for place, cut in enumerate(found.returned()):
        if cut is None or place >= len(wanted):
            continue
        value = values[place] if place < len(values) else None
        if gap(wanted[place], value, found.step(cut)).departs:
            yield cut


def _told(found: Outline, first: Found) -> Departure:
    ops = found.ops(first.cut)
    layer, op = layer_of(ops[0]), op_of(ops)
    kernel = kernel_of(first.trial.ran, layer, alone=first.alone)
    steps = first.trial.gap.steps if first.cut.scale is not None else None
    begin = layer_of(found.ops(first.first)[0])
    return Departure(
        layer=layer,
        op=op,
        kernel=kernel,
        max_abs=first.trial.gap.max_abs,
        max_steps=steps,
        alone=first.alone,
        sentence=sentence(
            layer,
            kernel or op,
            first.trial.gap.max_abs,
            steps,
            begin=None if first.alone else begin,
            each_agrees=first.each_agrees,
        ),
    )


def _shown(first: Found, found: Outline) -> Shown:
    made, cut = first.trial.part, first.cut
    return Shown(
        module=made.module,
        inputs=made.inputs,
        reference=found.value(cut),
        lowered=first.trial.lowered,
        scale=cut.scale,
        zero_point=cut.zero_point,
        quant_min=cut.quant_min,
        quant_max=cut.quant_max,
        each_agrees=first.each_agrees,
    )
