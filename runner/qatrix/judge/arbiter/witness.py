"""Watches a program run, and says which of its layers do not do what their specification says."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, fx

from qatrix.judge.arbiter.deviations import Deviation, Findings, Point
from qatrix.judge.arbiter.evaluation import CannotJudgeError, FloatModel, in_double
from qatrix.judge.arbiter.groups import Group, groups_of
from qatrix.judge.arbiter.outputs import misplaced_outputs
from qatrix.judge.arbiter.rounding import Rounding
from qatrix.judge.arbiter.specifications import Integers, Specified, unspecified
from qatrix.judge.arbiter.weights import Layers, Weights
from qatrix.judge.diagnosis.parameters import gauges
from qatrix.judge.diagnosis.placement import Placement
from qatrix.judge.diagnosis.quantizing import depth, past_quantizing
from qatrix.judge.graphs.layers import weighted_op
from qatrix.judge.graphs.ops import op_name
from qatrix.judge.graphs.soundness import MOVING
from qatrix.judge.wording import specifications as words

# What is off by no more than so many times the precision of its dtype, relative to the greatest value, is rounding.
_PRECISIONS: Final = 32
# More than that is compared with what float32 itself makes of the layer, in one order of its sums: another order, or
# a scale that is multiplied with and divided by, may be so many times as far from float64.
_TIMES_SINGLE: Final = 20


@dataclass
class Witness:
    """One program's run at one point: to be told of each node before and after it runs.

    `said` is what the observers of the prepared program gave; at "prepare" the program has them itself, and
    `allowed` are the integers that the quantizer has.
    """

    at: Point
    model: FloatModel
    program: fx.GraphModule
    placement: Placement
    said: Specified | None = None
    allowed: frozenset[Integers] = frozenset()

    def __post_init__(self) -> None:
        self.findings = Findings(self.at)
        made = gauges(self.program, self.placement, self.model.layout, codes=False)
        # What a converted program quantizes by does not change as it runs.
        self._gauges = {name: functools.cache(gauge) for name, gauge in made.items()} if self.at == "convert" else made
        self._weights = Weights(self.model, self.placement, self._gauges, self.findings, self.said)
        groups = groups_of(self.model.layout, self.placement, self.program)
        self._by_bearer = {group.bearer: group for group in groups}
        self._by_reader = {name: group for group in groups for name in group.reads}
        self._by_site = {key: group for group in groups for key in group.keys}
        self._read: dict[str, dict[str, object]] = {}
        self._rounding = Rounding(self.placement, self.findings)
        self._specified: Specified | None = None

    def before(self, node: fx.Node, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Take down what the node reads, before an op in place changes it."""
        group = self._by_reader.get(node.name)
        key = self.placement.owner.get(node.name)
        if group is not None or key in self._by_site:
            given = dict(_given(node, args, kwargs))
            if group is not None:
                read = self._read.setdefault(group.last, {})
                read |= {site: in_double(given.get(source)) for source, site in group.reads[node.name].items()}
            if key in self._by_site and weighted_op(node) is not None:
                self._weights.before(str(key), node, given)
        self._rounding.before(node, args)

    def after(self, node: fx.Node, args: tuple[Any, ...], value: object) -> None:
        """Judge what the node gave."""
        self._weights.after(node)
        self._rounding.after(node, args, value)
        group = self._by_bearer.get(node.name)
        if group is not None:
            self._judge(group, value)

    def specified(self, *, anew: bool = False) -> Specified:
        """What the program's observers say of its tensors once it has run, or as they are now."""
        if self._specified is None or anew:
            self._specified = self._measured()
        return self._specified

    def _measured(self) -> Specified:
        made = {tensor: gauge() for tensor, gauge in self._gauges.items()}
        known = {tensor: measured for tensor, measured in made.items() if measured is not None}
        return Specified(tensors=known, depths=self._depths(), computed=self._computed_inside())

    def deviations(self) -> list[Deviation]:
        """All that is not as specified, once the program has run: its tensors, its layers, its outputs."""
        faults = Findings(self.at)
        now = self.specified()
        told = unspecified(now.tensors, self.allowed) if self.said is None else self.said.faults(now)
        for tensor, quantity, sentence in told:
            faults.tell(tensor, quantity, sentence)
        for layer, sentence in misplaced_outputs(self.model, self.placement, self.program, self._by_site):
            self.findings.tell(layer, "output", sentence)
        return [*faults.deviations, *self.findings.deviations]

    def layers(self) -> tuple[str, ...]:
        """The float model's layers that a program has to compute."""
        sites = self.model.layout.sites.values()
        return tuple(site.name for site in sites if site.kind != "input" and not site.passing)

    def unjudged(self) -> tuple[str, ...]:
        """The layers whose values could not be held against anything."""
        judged = {self.model.layout.sites[key].name for key in self._by_site} - self.findings.unjudged.keys()
        return tuple(name for name in self.layers() if name not in judged)

    def _computed_inside(self) -> frozenset[str]:
        """The tensors that are no layer's value and are computed from one, not only moved."""
        nodes = {node.name: node for node in self.program.graph.nodes}
        return frozenset(
            item.tensor
            for item in self.placement.quantizing
            if item.site is None and op_name(past_quantizing(nodes[item.node])) not in MOVING
        )

    def _depths(self) -> dict[str, int]:
        nodes = {node.name: node for node in self.program.graph.nodes}
        found: dict[str, int] = {}
        for item in self.placement.quantizing:
            found[item.tensor] = max(found.get(item.tensor, 0), depth(nodes[item.node]))
        return found

    def _judge(self, group: Group, value: object) -> None:
        """Hold a group's value against float64 arithmetic on what it has read."""
        name = self.model.layout.sites[group.last].name
        read = self._read.pop(group.last, {})
        try:
            if not isinstance(value, Tensor) or not value.is_floating_point():
                msg = "its value is no tensor of floating point numbers"
                raise CannotJudgeError(msg)  # noqa: TRY301 - one way out for all that cannot be judged
            layers = self._layers(group)
            expected = self._computed(group, layers, read)
            self._compare(group, layers, read, value=value.detach(), expected=expected)
        except CannotJudgeError as error:
            self.findings.unjudged[name] = str(error)

    def _layers(self, group: Group) -> Layers:
        if any(self.model.draws_at_random(key) for key in group.keys):
            msg = "it draws at random"
            raise CannotJudgeError(msg)
        made = self._weights.layers(group)
        named = {key: self.model.layout.sites[key].name for key in made.layers}
        biased = {
            key: layer if layer.bias is None else replace(layer, bias=self._weights.bias(named[key], layer.bias))
            for key, layer in made.layers.items()
        }
        return replace(made, layers=biased)

    def _computed(self, group: Group, layers: Layers, read: Mapping[str, object], *, single: bool = False) -> Tensor:
        known = dict(read)
        for key in group.keys:
            if key in layers.folded:
                known[key] = known[layers.folded[key]]
            else:
                known[key] = self.model.compute(key, known, layers.layers.get(key), single=single)
        value = known[group.last]
        if not isinstance(value, Tensor):
            msg = "its value in float64 is no tensor"
            raise CannotJudgeError(msg)
        return value

    def _compare(
        self, group: Group, layers: Layers, read: Mapping[str, object], *, value: Tensor, expected: Tensor
    ) -> None:
        name = self.model.layout.sites[group.last].name
        if value.shape != expected.shape:
            told = words.SHAPE(found=tuple(value.shape), expected=tuple(expected.shape))
            self.findings.tell(name, "shape", told)
            return
        finite = expected.isfinite()
        if not bool(finite.any()):
            return
        # To pick values takes five times as long as to compare them.
        known: Any = ... if bool(finite.all()) else finite
        error = _largest((value.double() - expected)[known])
        allowed = _PRECISIONS * torch.finfo(value.dtype).eps * _largest(expected[known])
        if error <= allowed:
            return
        # Where nearly equal numbers are subtracted, float32 itself is far from float64.
        single = self._computed(group, layers, read, single=True)
        if not error <= _TIMES_SINGLE * _largest((single.double() - expected)[known]):
            quantity = "bias" if layers.layers and _is_off_by_its_bias(layers, value, expected, allowed) else "value"
            told = words.VALUE(quantity=quantity, off=error)
            self.findings.tell(name, quantity, told)


def _is_off_by_its_bias(layers: Layers, value: Tensor, expected: Tensor, allowed: float) -> bool:
    weight = next(iter(layers.layers.values())).weight
    # Behind the channels there are as many axes as the weight has behind its two first.
    return is_constant_per_channel(value, expected, allowed, axis=value.ndim - weight.ndim + 1)


def is_constant_per_channel(value: Tensor, expected: Tensor, allowed: float, *, axis: int) -> bool:
    """Whether a layer's value is off by a number for each channel, and by that alone: then its bias is.

    Where a ReLU has cut either off, nothing can be told.
    """
    if value.ndim < 2:  # noqa: PLR2004 - a batch, and channels
        return False
    rows = [item.movedim(axis, 0).flatten(1) for item in (value.double(), expected)]
    difference, uncut = rows[0] - rows[1], (rows[0] != 0) & (rows[1] != 0)
    high = difference.masked_fill(~uncut, -torch.inf).amax(1)
    low = difference.masked_fill(~uncut, torch.inf).amin(1)
    several = uncut.sum(1) > 1
    told = bool((difference.abs()[uncut] > allowed).any())
    return told and bool(several.any()) and bool(((high - low)[several] <= 4 * allowed).all())


def _largest(difference: Tensor) -> float:
    return float(difference.abs().max())


def _given(node: fx.Node, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Each node that a node reads, by name, with its value."""
    yield from _pairs(node.args, args)
    yield from _pairs(dict(node.kwargs), dict(kwargs))


def _pairs(source: object, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(source, fx.Node):
        yield source.name, value
    elif isinstance(source, (tuple, list)) and isinstance(value, (tuple, list)):
        for one, other in zip(source, value, strict=True):
            yield from _pairs(one, other)
    elif isinstance(source, dict) and isinstance(value, dict):
        for name, one in source.items():
            yield from _pairs(one, value[name])
