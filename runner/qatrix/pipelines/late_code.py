"""Writes the code of a graph module once passes are through with it, and not after each of them.

A pass over a graph ends in `GraphModule.recompile`, and so does every copy of one: 76 times a
case, of which the last of a stage alone is run. What a module's code would be is noted each
time, and written when somebody asks for it. A pass that changes a graph and does not end in
`recompile` leaves the old code in force, which is a fault of its own: then the old code is written.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

from torch import fx, nn

Made = TypeVar("Made")
_P = ParamSpec("_P")
_Recompile = Callable[[fx.GraphModule], Any]

# What `recompile` gives a module, `forward` by its class, of which it is the only instance; and what reads its text
# where no descriptor is asked.
_GIVEN: Final = ("forward", "_code", "_lineno_map", "_prologue_start", "_in_spec", "_out_spec", "__reduce__")
_RECOMPILE: Final = "recompile"
_WITHIN: Final = "_recompile_submodules"
_IN_PASSES: ContextVar[bool] = ContextVar("in_passes", default=False)


@contextmanager
def late_code() -> Iterator[None]:
    """Inside the block, `through_passes` has code written late; everything else writes it as torch does."""
    torchs: _Recompile = fx.GraphModule.recompile

    def recompile(self: fx.GraphModule) -> Any:
        return _Late.of(self, torchs) if _IN_PASSES.get() else torchs(self)

    setattr(fx.GraphModule, _RECOMPILE, recompile)
    try:
        yield
    finally:
        setattr(fx.GraphModule, _RECOMPILE, torchs)


def through_passes(make: Callable[_P, nn.Module], *args: _P.args, **kwargs: _P.kwargs) -> nn.Module:
    """The program that passes make of what they are given, with its code written."""
    program = unwritten(make, *args, **kwargs)
    for module in program.modules():
        late = vars(type(module)).get("forward")
        if isinstance(late, _Place):
            late.late.write()
    return program


def unwritten(make: Callable[_P, Made], *args: _P.args, **kwargs: _P.kwargs) -> Made:
    """What is made of the arguments; its code is written if somebody asks for it."""
    token = _IN_PASSES.set(True)
    try:
        return make(*args, **kwargs)
    finally:
        _IN_PASSES.reset(token)


class _Noted(NamedTuple):
    """All that a node's line of code depends on; arguments are immutable, so that others are other objects."""

    node: fx.Node
    op: str
    target: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    name: str
    type: Any

    @classmethod
    def of(cls, node: fx.Node) -> _Noted:
        """The node as it is now."""
        return cls(node, node.op, node.target, node.args, node.kwargs, node.name, node.type)

    def holds(self, node: fx.Node) -> bool:
        """Whether a node is this one, and as it was."""
        return all(map(operator.is_, self, self.of(node)))


class _Late:
    """A module's code that is not written yet, and what `recompile` gives for it until then."""

    def __init__(self, module: fx.GraphModule, recompile: _Recompile) -> None:
        self._module = weakref.ref(module)
        self._recompile = recompile
        self._graph = module.graph
        self._codegen = module.graph._codegen
        self._nodes = tuple(map(_Noted.of, module.graph.nodes))

    @classmethod
    def of(cls, module: fx.GraphModule, recompile: _Recompile) -> _Late:
        """The code of the module as its graph is now, in the place of what was written or noted before."""
        late = cls(module, recompile)
        for name in _GIVEN:
            vars(module).pop(name, None)
            setattr(type(module), name, _Place(late, name))
        # Releases that have it recompile the modules within.
        getattr(module, _WITHIN, list)()
        return late

    def write(self) -> None:
        """Give the module its code; to be called once."""
        module = self._module()
        if module is None:
            return
        for name in _GIVEN:
            delattr(type(module), name)
        own = vars(module)
        present = own["_graph"]
        # Those within were told when their code was noted.
        own["_graph"], own[_WITHIN] = self._as_noted(), list
        try:
            self._recompile(module)
        finally:
            own["_graph"] = present
            del own[_WITHIN]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._as_noted().python_code("self"), name)

    def _as_noted(self) -> fx.Graph:
        """The graph as it was when its code was noted."""
        same = self._graph._codegen is self._codegen and len(self._graph.nodes) == len(self._nodes)
        if same and all(noted.holds(node) for noted, node in zip(self._nodes, self._graph.nodes)):
            return self._graph
        graph = fx.Graph(tracer_cls=self._graph._tracer_cls)
        graph.set_codegen(self._codegen)
        made: dict[fx.Node, fx.Node] = {}
        for noted in self._nodes:
            args, kwargs = fx.map_arg((noted.args, dict(noted.kwargs)), made.__getitem__)
            made[noted.node] = graph.create_node(noted.op, noted.target, args, kwargs, noted.name, noted.type)
        return graph


class _Place:
    """An attribute that is there once the code is written."""

    def __init__(self, late: _Late, name: str) -> None:
        self.late, self._name = late, name

    def __get__(self, module: fx.GraphModule | None, kind: type[fx.GraphModule]) -> Any:
        self.late.write()
        return getattr(kind if module is None else module, self._name)
