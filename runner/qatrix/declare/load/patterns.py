"""Patterns: layers and forward passes in the language, or factories; patterns may be layers of others."""

from __future__ import annotations

from typing import Final, NamedTuple

from qatrix.declare.inputs import DataFile, InputSpec, tensors_of
from qatrix.declare.language import ForwardScope, parse_forward, parse_layer
from qatrix.declare.load.bounds import check_bounds
from qatrix.declare.load.datafiles import WEIGHTS, read_file
from qatrix.declare.load.dynamic import with_free_axes
from qatrix.declare.load.factories import read_factory
from qatrix.declare.load.init import read_init
from qatrix.declare.load.inputs import read_inputs
from qatrix.declare.load.names import names_in
from qatrix.declare.load.own_tensors import OwnTensors, read_own
from qatrix.declare.load.registry import Declared, Registry, text_at, unusable_name
from qatrix.declare.schema import models
from qatrix.declare.schema.cursor import Cursor
from qatrix.declare.spec import RESERVED_AXES, InitSpec, LayerSpec, PatternSpec
from qatrix.declare.trust import Trust
from qatrix.declare.vocabulary import LAYERS, MODULE_ATTRIBUTES
from qatrix.expressions import Call, Statement

# What may have a name in a pattern, by its key.
_NAMED: Final = {
    "params": "a parameter",
    "inputs": "an input",
    "layers": "a layer",
    "parameters": "a parameter of the model",
    "buffers": "a buffer",
}
_OF_THE_MODULE: Final = ("a layer", "a parameter of the model", "a buffer")
# Far above what a model needs, far below where Python's stack ends.
_MAX_NESTING: Final = 30
# Each level of patterns can double them.
_MAX_LAYERS: Final = 10_000


class _Built(NamedTuple):
    """A pattern, whether its body, its inputs left aside, depends on the case's dim, and how many layers it has.

    Layers of layers count wherever they stand.
    """

    spec: PatternSpec
    body_takes_dim: bool
    size: int


def read_patterns(registry: Registry, *, trust: Trust) -> dict[str, PatternSpec]:
    """Patterns by name; those with a problem are left out."""
    builder = _Builder(registry, trust)
    for name in builder.models:
        if not registry.crowded:
            builder.build(name, ())
    return {name: built.spec for name, built in builder.built.items() if built is not None}


class _Builder:
    def __init__(self, registry: Registry, trust: Trust) -> None:
        self.models = {
            declared.name: (declared, model) for declared, model in registry.read("patterns", models.Pattern)
        }
        self.built: dict[str, _Built | None] = {}
        self._registry = registry
        self._trust = trust
        # The parameters also of patterns that are wrong elsewhere, so that calls of them can be checked.
        self._params = {
            declared.name: tuple(name for name, _ in declared.cursor.members_of("params"))
            for declared in registry.declared("patterns")
        }

    def build(self, name: str, above: tuple[str, ...]) -> _Built | None:
        """The pattern of that name; `above` are the patterns it is being built for."""
        if name not in self.built and name in self.models:
            declared, model = self.models[name]
            before = len(self._registry.problems)
            built = self._pattern(declared, model, (*above, name))
            new = self._registry.problems[before:]
            self.built[name] = None if any(problem.severity == "error" for problem in new) else built
        return self.built.get(name)

    def _pattern(self, declared: Declared, model: models.Pattern, stack: tuple[str, ...]) -> _Built:
        cursor = declared.cursor
        self._check_names(declared, model)
        inputs = read_inputs(self._registry, cursor.down("inputs"), model, names=[*model.params, "dim"])
        inputs = with_free_axes(self._registry, cursor, model, inputs)
        if model.model is not None or not (model.layers or model.forward):
            registration = read_factory(self._registry, cursor, model, self._trust)
            body_takes_dim = takes_conv = False
            layers: tuple[LayerSpec, ...] = ()
            forward: tuple[Statement, ...] = ()
            init: tuple[InitSpec, ...] = ()
            own = OwnTensors()
        else:
            self._check_body(cursor, model)
            own = read_own(self._registry, cursor, model)
            registration = None
            layers = self._layers(cursor, model, stack)
            forward = self._forward(cursor, model)
            init = read_init(self._registry, cursor, model)
            body_takes_dim, takes_conv = self._takes(layers, forward, init, own)
            self._warn_unused(cursor, model, (layers, forward, inputs, init, *own))
        spec = PatternSpec(
            name=declared.name,
            about=model.about,
            params=model.params,
            layers=layers,
            forward=forward,
            factory=model.model,
            factory_args=model.args,
            inputs=inputs,
            takes_conv=takes_conv,
            takes_dim=body_takes_dim or any(_input_takes_dim(item) for item in tensors_of(inputs)),
            source=cursor.source,
            init=init,
            weights=self._weights(cursor, model),
            parameters=own.parameters,
            buffers=own.buffers,
            registration=registration,
        )
        check_bounds(self._registry, cursor, spec)
        return _Built(spec, body_takes_dim, self._size(cursor, layers))

    def _weights(self, cursor: Cursor, model: models.Pattern) -> DataFile | None:
        if model.weights is None:
            return None
        if model.model is None:
            message = "'weights' stands without 'model'"
            self._registry.note(cursor.key("weights").problem(message, expected="init, for a pattern of layers"))
        return read_file(self._registry, cursor.down("weights"), model.weights, kinds=WEIGHTS)

    def _size(self, cursor: Cursor, layers: tuple[LayerSpec, ...]) -> int:
        """How many layers there are, those of patterns written out each time; too many are a problem."""
        size = 0
        for layer in layers:
            part = self.built.get(layer.call.function) if layer.pattern is not None else None
            size += 1 if part is None else part.size
            if size > _MAX_LAYERS:
                message = f"the pattern has more than {_MAX_LAYERS:,} layers, those of its patterns written out"
                self._registry.note(cursor.down("layers", layer.name).problem(message, expected="fewer layers"))
                break
        return size

    def _check_names(self, declared: Declared, model: models.Pattern) -> None:
        cursor = declared.cursor
        if declared.name in LAYERS:
            message = f"pattern '{declared.name}' has the name of a class of torch.nn"
            self._registry.note(cursor.problem(message, expected="a name of its own"))
        taken: dict[str, str] = {}
        for section, kind in _NAMED.items():
            for name in getattr(model, section):
                reason = _reserved(name, kind)
                if name in taken:
                    reason = f"is also {taken[name]}"
                taken.setdefault(name, kind)
                if reason:
                    key = cursor.down(section).key(name)
                    self._registry.note(key.problem(f"'{name}' {reason}", expected=f"another name for {kind}"))

    def _check_body(self, cursor: Cursor, model: models.Pattern) -> None:
        # A model may be functions on parameters of its own.
        has_layers = model.layers or cursor.has("layers") or model.parameters
        for key, there in (("layers", has_layers), ("forward", model.forward)):
            if not there:
                message = f"the key '{key}' is missing"
                self._registry.note(cursor.problem(message, expected="layers or parameters, and forward; or model"))
        if model.args:
            message = "'args' stands without 'model'"
            self._registry.note(cursor.key("args").problem(message, expected="params, for a pattern of layers"))

    def _layers(self, cursor: Cursor, model: models.Pattern, stack: tuple[str, ...]) -> tuple[LayerSpec, ...]:
        found = []
        names = frozenset([*model.params, "dim"])
        for name, at in cursor.members_of("layers"):
            if self._registry.crowded:
                break
            call, problems = parse_layer(text_at(at), names=names, patterns=self._params)
            self._registry.note(*problems)
            if call is not None:
                part = self._part(call, at, stack)
                found.append(LayerSpec(name=name, call=call, pattern=part, source=at.source))
        return tuple(found)

    def _part(self, call: Call, at: Cursor, stack: tuple[str, ...]) -> PatternSpec | None:
        """The pattern that a layer is, None where it is a class of torch.nn or conv, or is wrong."""
        name = call.function
        if name in LAYERS or name == "conv":
            return None
        if name in stack:
            way = " → ".join([*stack[stack.index(name) :], name])
            expected = "patterns without a cycle"
            self._registry.note(at.problem(f"pattern '{name}' is a layer of itself: {way}", expected=expected))
            return None
        if len(stack) >= _MAX_NESTING:
            message = f"patterns are layers of patterns more than {_MAX_NESTING} levels deep"
            self._registry.note(at.problem(message, expected="fewer levels"))
            return None
        built = self.build(name, stack)
        if built is not None and built.spec.factory is not None:
            message = f"pattern '{name}' comes from a factory and cannot be a layer"
            self._registry.note(at.problem(message, expected="a pattern with layers and forward"))
        return built.spec if built else None

    def _forward(self, cursor: Cursor, model: models.Pattern) -> tuple[Statement, ...]:
        if not model.forward:
            return ()
        layers = cursor.down("layers") if model.layers else None
        names = [layers.key(name) for name in model.layers] if layers else []
        scope = ForwardScope(
            layers=model.layers,
            inputs=model.inputs,
            params=frozenset([*model.params, "dim"]),
            parameters=model.parameters,
            buffers=model.buffers,
        )
        statements, problems = parse_forward(
            [text_at(line) for line in cursor.items_of("forward")],
            scope=scope,
            layers=[text_at(name) for name in names],
            whole=text_at(cursor.key("forward")),
        )
        self._registry.note(*problems)
        return statements or ()

    def _takes(
        self, layers: tuple[LayerSpec, ...], forward: tuple[Statement, ...], init: tuple[InitSpec, ...], own: OwnTensors
    ) -> tuple[bool, bool]:
        """Whether a body takes the case's dim, and its conv kind."""
        parts = [self.built.get(layer.call.function) for layer in layers if layer.pattern is not None]
        calls = [layer.call for layer in layers if layer.pattern is None]
        takes_conv = any(call.function == "conv" for call in calls)
        takes_conv |= any(part is not None and part.spec.takes_conv for part in parts)
        takes_dim = takes_conv or any(call.function.endswith("Nd") for call in calls)
        takes_dim |= "dim" in names_in((layers, forward, init, *own))
        takes_dim |= any(part is not None and part.body_takes_dim for part in parts)
        return takes_dim, takes_conv

    def _warn_unused(self, cursor: Cursor, model: models.Pattern, parts: tuple[object, ...]) -> None:
        if self._registry.failed:
            return
        used = names_in(parts)
        for name in model.params:
            if name not in used:
                key = cursor.down("params").key(name)
                message = f"the parameter '{name}' is never used"
                self._registry.note(key.warning(message, expected="a use in layers, forward or inputs"))


def _reserved(name: str, kind: str) -> str | None:
    """Why a name cannot be that kind of thing, None where it can."""
    if unusable_name(name):
        return "is a word of Python's syntax"
    if name == "dim" or (kind == "a parameter" and name in RESERVED_AXES):
        return "is the name of an axis"
    if name == "self":
        return "stands for the model itself"
    if kind != "a layer" and name in ("torch", "F"):
        return "stands for torch's functions"
    if kind in _OF_THE_MODULE and name in MODULE_ATTRIBUTES:
        return "is an attribute of every torch.nn.Module"
    return None


def _input_takes_dim(item: InputSpec) -> bool:
    return item.spatial is not None or "dim" in names_in(item.shape)
