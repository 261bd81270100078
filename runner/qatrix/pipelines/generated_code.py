"""Remembers the compiled code of graph modules: Python's compiler sees each text once.

Every pass over a graph ends in `GraphModule.recompile`, and so does every copy of one: 76 times
a case, of which six in seven give a text that has been compiled before (the default selection
in one process, torch 2.15, torchao 0.18). The text is written each time; what is compiled from
it depends on the text alone, save the name of its file, by which tracebacks find the text, and
which each module keeps for itself.
"""

from __future__ import annotations
import __future__

import contextlib
import functools
import sys
import types
from collections.abc import Iterator
from typing import Any, Final

from torch.fx import graph_module

# Shadows the builtin of this name in the one module that compiles what graphs are written as.
_COMPILE: Final = "compile"
# Texts are 1.7 kB on average; with so many kept, 33,496 of the default selection's 38,673 are known.
_KEPT: Final = 2048
_FUTURES: Final = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


@contextlib.contextmanager
def code_memory() -> Iterator[None]:
    """Inside the block, no text of a graph module is compiled twice; the code is equal but for its file's name."""
    outer = vars(graph_module).get(_COMPILE)
    setattr(graph_module, _COMPILE, remembering())
    try:
        yield
    finally:
        if outer is None:
            delattr(graph_module, _COMPILE)
        else:
            setattr(graph_module, _COMPILE, outer)


def remembering() -> Any:
    """`compile` with a memory of the newest texts."""

    @functools.lru_cache(maxsize=_KEPT)
    def compiled(source: str, mode: str, flags: int, optimize: int) -> types.CodeType:
        # Not the flags of this file, which another version of graph_module.py may not have.
        code: types.CodeType = compile(source, "", mode, flags, dont_inherit=True, optimize=optimize)
        return code

    def remembered(
        source: str,
        filename: str,
        mode: str,
        flags: int = 0,
        dont_inherit: bool = False,  # noqa: FBT001, FBT002 - the builtin's signature
        optimize: int = -1,
    ) -> Any:
        if not dont_inherit:
            flags |= sys._getframe(1).f_code.co_flags & _FUTURES
        try:
            return _filed_as(compiled(source, mode, flags, optimize), filename)
        except SyntaxError:
            # The error names the file, too.
            return compile(source, filename, mode, flags, dont_inherit=True, optimize=optimize)

    return remembered


def _filed_as(code: types.CodeType, filename: str) -> types.CodeType:
    """The same code, with the functions in it, under the name of another file."""
    constants = tuple(
        _filed_as(item, filename) if isinstance(item, types.CodeType) else item for item in code.co_consts
    )
    return code.replace(co_filename=filename, co_consts=constants)
