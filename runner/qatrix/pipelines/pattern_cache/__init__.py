"""Remembers the export of the conv-bn patterns, which is nearly all that PT2E's QAT spends its time on.

`prepare_qat_pt2e` and `convert_pt2e` export the same small patterns with `torch.export` on
every call, 108 times for one conv-bn-relu model (torch 2.15, torchao 0.18). The graphs
depend on the pattern function, what its closure holds, the example inputs' metadata,
`is_cuda` and the keyword arguments, so that is the key. They are remembered in this
process, and in files for the processes after it. Nothing is patched at import time:
the cache stands in for the function only inside `pattern_cache`.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import types
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from typing import Any, Final

from torch import fx
from torch.fx import subgraph_rewriter

from qatrix.pipelines import torchenv
from qatrix.pipelines.pattern_cache.ahead import requests, shuffled
from qatrix.pipelines.pattern_cache.files import Files, files_for
from qatrix.pipelines.pattern_cache.graphs import Undecodable, decoded_graph, encoded_graph, snapshot
from qatrix.pipelines.pattern_cache.keys import Unkeyable, digest_of, key_of
from qatrix.pipelines.pattern_cache.matching import MATCHER_CLASS, made_once
from qatrix.pipelines.pattern_cache.rewriting import REWRITE_FUNCTION, passing_over
from qatrix.pipelines.pattern_cache.values import Unencodable

Export = Callable[..., fx.GraphModule]

__all__ = ["memoised", "nothing_remembered", "pattern_cache"]

# Per process, and so for its forks: the graphs are the same for every case. Beside each graph its snapshot.
_MEMO: dict[Hashable, tuple[fx.GraphModule, tuple[Any, ...]]] = {}
# Of these graphs a caller that was to read them alone has changed one: it gets copies from then on.
_WRITTEN: set[Hashable] = set()
# Whether what is exported now is kept for later.
_KEEPING: Final = ContextVar("_KEEPING", default=True)
# The functions that the cache stands in for, where it has files.
_OPEN: Final[ContextVar[tuple[frozenset[Export], Files] | None]] = ContextVar("_OPEN", default=None)
# The file that says that all patterns have been exported.
_COMPLETE: Final = "complete"
# What this module exports it hands to the subgraph rewriter alone, which reads patterns and
# copies replacements: 108 of 126 copies of a case less. Annotators hand theirs to matchers,
# which get copies here: 12 more. The others write to what they get.
_READER: Final = "qat_utils"


@contextlib.contextmanager
def pattern_cache() -> Iterator[str | None]:
    """Use the cache inside the block; yields why it does not apply, None where it does.

    It does not apply where the installed release lacks the function that it stands in for;
    the patterns are then exported on every call, which is slower and equal to the bit.
    Where the files cannot be used, the process remembers for itself alone.
    """
    reason, bindings = torchenv.pattern_functions()
    files = files_for(bindings) if bindings else None
    # Where preparing for evaluation looks for it on every call.
    elsewhere = (subgraph_rewriter,) if bindings else ()
    exports = frozenset(export for module in bindings if (export := getattr(module, torchenv.PATTERN_FUNCTION, None)))
    with contextlib.ExitStack() as stack:
        if files is not None:
            stack.callback(_OPEN.reset, _OPEN.set((exports, files)))
        for module in (*bindings, *elsewhere):
            reads = module.__name__.endswith(f".{_READER}") or hasattr(module, MATCHER_CLASS)
            stand_ins: dict[str, Callable[[Any], Any]] = {
                torchenv.PATTERN_FUNCTION: functools.partial(memoised, files=files, shared=reads, ahead=_export_ahead),
                MATCHER_CLASS: made_once,
                REWRITE_FUNCTION: passing_over,
            }
            for name, replace in stand_ins.items():
                if hasattr(module, name):
                    stack.enter_context(_stand_in(module, name, replace))
        yield reason


@contextlib.contextmanager
def nothing_remembered(*, patterns: bool) -> Iterator[None]:
    """Inside the block, patterns are taken from memory and from files as ever, and what is exported goes to neither.

    For code that could change what torch exports: it would be kept for all cases after it, and for other runs.
    Where patterns will be asked for, those that no file has are exported before.
    """
    if patterns and (found := _OPEN.get()) is not None:
        _fill(*found)
    token = _KEEPING.set(False)
    try:
        yield
    finally:
        _KEEPING.reset(token)


@contextlib.contextmanager
def _stand_in(module: types.ModuleType, name: str, replace: Callable[[Any], Any]) -> Iterator[None]:
    """Put something else in the place of a module's function inside the block."""
    original = getattr(module, name)
    setattr(module, name, replace(original))
    try:
        yield
    finally:
        setattr(module, name, original)


def _fill(exports: frozenset[Export], files: Files) -> None:
    if files.read(_COMPLETE) is None:
        for export in exports:
            _export_ahead(export, files)
        files.write(_COMPLETE, True)


def memoised(
    export: Export,
    files: Files | None = None,
    *,
    shared: bool = False,
    ahead: Callable[[Export, Files], None] | None = None,
) -> Export:
    """The pattern export with a memory; every call returns a copy of its own, which callers may change.

    `shared` is for callers that only read: they get the remembered graph itself, which is
    replaced by a new one, and lent no more, if it was written to after all. `ahead` is called before a pattern
    is exported that no file has, and may export it and others.
    """

    def lookup(pattern: Any, example_inputs: tuple[Any, ...], is_cuda: bool = False, **kwargs: Any) -> fx.GraphModule:  # noqa: FBT001, FBT002 - torchao's signature
        def exported() -> fx.GraphModule:
            if ahead is not None and files is not None and _KEEPING.get():
                ahead(export, files)
            known = _remembered(key)
            return known if known is not None else export(pattern, example_inputs, is_cuda, **kwargs)

        try:
            key = key_of(pattern, example_inputs, is_cuda=is_cuda, keywords=kwargs)
        except Unkeyable:
            return export(pattern, example_inputs, is_cuda, **kwargs)
        graph = _remembered(key)
        if graph is None:
            graph = exported() if files is None else _filed(key, files, exported)
            if not _KEEPING.get():
                return graph
            _MEMO[key] = graph, snapshot(graph)
        return graph if shared and key not in _WRITTEN else copy.deepcopy(graph)

    return lookup


@functools.cache
def _export_ahead(export: Export, files: Files) -> None:
    """Remember and file all patterns that QAT asks for, once in a process."""
    lookup = memoised(export, files, shared=True)
    for request in shuffled(requests(export, torchenv.pattern_functions()[1], _stand_in)):
        lookup(*request.arguments, **request.keywords)


def _remembered(key: Hashable) -> fx.GraphModule | None:
    """The graph as it was exported, None where there is none or a caller has written to it."""
    graph, before = _MEMO.get(key, (None, None))
    if graph is not None and snapshot(graph) != before:
        _WRITTEN.add(key)
        return None
    return graph


def _filed(key: tuple[Hashable, ...], files: Files, exported: Callable[[], fx.GraphModule]) -> fx.GraphModule:
    """The graph from its file, or exported and written there."""
    try:
        digest = digest_of(key, files.sources)
    except Unkeyable:
        return exported()
    data = files.read(digest)
    if data is not None:
        try:
            return decoded_graph(data)
        except Undecodable:
            files.drop(digest)
    graph = exported()
    if _KEEPING.get():
        with contextlib.suppress(Unencodable):
            files.write(digest, encoded_graph(graph))
    return graph
