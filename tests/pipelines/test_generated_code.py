"""The memory of compiled code: each text once, the same code under each module's own file name."""

from __future__ import annotations

import builtins
import linecache
import traceback
import types
from typing import Any

import pytest
import torch
from torch import fx
from torch.fx import graph_module

from qatrix.execute.case import run_case
from qatrix.pipelines.generated_code import code_memory, remembering
from support.cases import shipped_cases
from support.results import without_times

pytestmark = pytest.mark.torch

NESTED = "def outer():\n    def inner():\n        return 1 + 1\n    return inner\n"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that reach Python's compiler through the memory."""
    texts: list[str] = []

    def counting(source: str, *rest: Any, **options: Any) -> Any:
        texts.append(source)
        return builtins.compile(source, *rest, **options)

    monkeypatch.setattr("qatrix.pipelines.generated_code.compile", counting, raising=False)
    return texts


def codes(code: types.CodeType) -> list[types.CodeType]:
    """The code and that of the functions in it."""
    inner = [item for item in code.co_consts if isinstance(item, types.CodeType)]
    return [code, *(deeper for item in inner for deeper in codes(item))]


def test_a_text_is_compiled_once_and_keeps_the_name_of_each_file(compiled: list[str]) -> None:
    remembered = remembering()
    one, other = (remembered(NESTED, name, "exec", dont_inherit=True) for name in ("<one>", "<other>"))

    assert compiled == [NESTED]
    for code, name in ((one, "<one>"), (other, "<other>")):
        plain = compile(NESTED, name, "exec", dont_inherit=True)
        assert [part.co_filename for part in codes(code)] == 3 * [name]
        assert codes(code) == codes(plain)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"mode": "eval"}, id="mode"),
        pytest.param({"flags": 0x1000000}, id="flags"),
        pytest.param({"optimize": 2}, id="optimize"),
    ],
)
def test_what_the_code_depends_on_is_in_the_key(compiled: list[str], options: dict[str, Any]) -> None:
    remembered = remembering()
    plain: dict[str, Any] = {"mode": "exec", "dont_inherit": True}
    remembered("1 + x", "<file>", **plain)
    remembered("1 + x", "<file>", **plain | options)

    assert compiled == ["1 + x", "1 + x"]


def test_futures_are_inherited_from_whoever_compiles_and_not_from_here() -> None:
    text = "def f(x: int): pass"
    namespaces: list[dict[str, Any]] = []
    # This module has `from __future__ import annotations`, a text that is run by exec has not.
    for future in ("", "from __future__ import annotations\n"):
        namespace: dict[str, Any] = {"compile": remembering()}
        exec(
            compile(f"{future}code = compile({text!r}, '<file>', 'exec')", "<x>", "exec", dont_inherit=True), namespace
        )
        exec(namespace["code"], namespace)
        namespaces.append(namespace)

    assert [namespace["f"].__annotations__["x"] for namespace in namespaces] == [int, "int"]


def test_an_error_of_syntax_names_the_file_every_time() -> None:
    remembered = remembering()
    for name in ("<one>", "<other>"):
        with pytest.raises(SyntaxError) as raised:
            remembered("def f(:", name, "exec", dont_inherit=True)
        assert raised.value.filename == name


def test_modules_of_one_text_share_code_and_tracebacks_still_find_each_text() -> None:
    def failing(x: torch.Tensor) -> torch.Tensor:
        return x.reshape(7)

    with code_memory():
        modules = [fx.symbolic_trace(failing) for _ in range(2)]
    files = [module.forward.__code__.co_filename for module in modules]
    with pytest.raises(RuntimeError) as raised:
        modules[1].forward(torch.ones(3))
    lines = [frame.line for frame in traceback.extract_tb(raised.value.__traceback__) if frame.filename == files[1]]

    assert len(set(files)) == 2
    assert modules[0].forward.__code__ == modules[1].forward.__code__
    assert [line is not None and "x.reshape(7)" in line for line in lines] == [True]
    assert linecache.getline(files[0], 1) == linecache.getline(files[1], 1)


def test_nothing_stands_in_for_the_builtin_outside_the_block() -> None:
    with code_memory():
        assert hasattr(graph_module, "compile")

    assert not hasattr(graph_module, "compile")


def test_the_block_inside_another_leaves_the_outer_memory_in_place() -> None:
    with code_memory():
        outer = vars(graph_module)["compile"]
        with code_memory():
            assert vars(graph_module)["compile"] is not outer
        assert vars(graph_module)["compile"] is outer

    assert not hasattr(graph_module, "compile")


@pytest.mark.xdist_group("patterns")
def test_a_case_has_the_same_record_both_ways() -> None:
    case, *_ = shipped_cases("linears_wide/linear_softmax/*per_channel_ptq,*")
    plain = run_case(case)
    with code_memory():
        first, remembered = run_case(case), run_case(case)

    assert plain.diagnosis is not None
    assert without_times(first) == without_times(remembered) == without_times(plain)
