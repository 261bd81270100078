from __future__ import annotations

import difflib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatrix.declare.language import ForwardScope, Text, nearest, parse_forward, parse_graph, parse_layer, parse_size
from qatrix.errors import Problem, Source
from qatrix.expressions import (
    Assert,
    Assign,
    Call,
    Comprehension,
    Conditional,
    Dictionary,
    Expression,
    Index,
    Literal,
    Loop,
    MethodCall,
    Name,
    Operation,
    Return,
    Sequence,
    Slice,
    Statement,
)

NAMES = ("in_channels", "bias", "dim")
PATTERNS = {"backbone": ("width",), "conv": ()}


def text(written: str, *, line: int = 1, starts: int | None = 9) -> Text:
    return Text(text=written, source=Source(file="f.yaml", line=line, column=9), starts=starts, at="here")


def layer(written: str) -> tuple[Call | None, tuple[Problem, ...]]:
    return parse_layer(text(written), names=NAMES, patterns=PATTERNS)


def forward(*lines: str) -> tuple[tuple[Statement, ...] | None, tuple[Problem, ...]]:
    scope = ForwardScope(layers=("conv", "relu"), inputs=("x",), params=("k", "dim"))
    texts = [text(line, line=number) for number, line in enumerate(lines, 1)]
    return parse_forward(texts, scope=scope, layers=[text("conv"), text("relu")], whole=text("forward"))


def value(written: str) -> Expression:
    """The value of an expression in a forward pass that is otherwise right."""
    statements, problems = forward("y = relu(conv(x))", f"return {written}")
    assert problems == ()
    assert statements is not None
    last = statements[-1]
    assert isinstance(last, Return)
    return last.value


def messages(problems: tuple[Problem, ...]) -> list[str]:
    return [problem.message for problem in problems]


def test_a_layer_is_a_call_with_positional_and_keyword_arguments() -> None:
    call, problems = layer("conv(in_channels, 3 * 2, (3, 1), stride=[1, -1], bias=bias)")
    assert problems == ()
    assert call == Call(
        "conv",
        (Name("in_channels"), Operation("*", (Literal(3), Literal(2))), Sequence("tuple", (Literal(3), Literal(1)))),
        (("stride", Sequence("list", (Literal(1), Operation("-", (Literal(1),))))), ("bias", Name("bias"))),
    )


@pytest.mark.parametrize("written", ["ReLU()", "BatchNormNd(3)", "Conv2d(3, 3, 3)", "backbone(width=dim)"])
def test_classes_of_torch_families_and_patterns_are_layers(written: str) -> None:
    assert layer(written)[1] == ()


@pytest.mark.parametrize(
    ("written", "column", "message"),
    [
        ("ReLu()", 9, "unknown layer 'ReLu'"),
        ("Sequential()", 9, "unknown layer 'Sequential'"),
        ("Linear(chanels, 3)", 16, "unknown name 'chanels'"),
        ("Linear(3, é)", 19, "unknown name 'é'"),
        ("Linear('é', é)", 21, "unknown name 'é'"),
        ("Linear(ReLU())", 16, "a call stands here, which a layer's arguments may not hold"),
        ("Linear(a.b)", 16, "the attribute '.b' stands here, which a layer's arguments may not hold"),
        (
            "Linear(x := 3)",
            16,
            "an assignment inside an expression (:=) stands here, which a layer's arguments may not hold",
        ),
        ("Linear({1: 2})", 16, "a dict stands here, which a layer's arguments may not hold"),
        ("Linear(3 < 4)", 16, "a comparison stands here, which a layer's arguments may not hold"),
        ("Linear(__name__)", 16, "the name '__name__' stands here, which a layer's arguments may not hold"),
        ("Linear(**bias)", 16, "arguments in '**' stand here, which a layer's arguments may not hold"),
        ("Linear(1, 1, bias=1, bias=2)", 30, "the argument 'bias' is given twice"),
        ("Linear('a' * 3)", 16, "arithmetic on the text 'a'"),
        ("Linear(2 ** 65)", 21, "this exponent is refused"),
        ("conv(3, 3)", 9, "conv lacks kernel_size"),
        ("conv(3, 3, 3, in_channels=3)", 23, "the argument 'in_channels' is given twice"),
        ("backbone(3)", 18, "pattern 'backbone' is given an argument without its name"),
        ("backbone(widht=3)", 18, "pattern 'backbone' has no parameter 'widht'"),
        ("ReLU", 9, "a name stands where a layer is due"),
        ("import os", 9, "an import stands where a layer is due"),
        ("ReLU(); ReLU()", 9, "2 statements stand here"),
        ("ReLU(", 13, "this is not valid: '(' was never closed"),
        ("", 9, "the text is empty"),
        (" ReLU()", 9, "the text begins with a space"),
    ],
)
def test_what_is_no_layer_is_a_problem_at_its_column(written: str, column: int, message: str) -> None:
    call, problems = layer(written)
    assert call is None
    assert [(problem.source.column if problem.source else None, problem.message) for problem in problems] == [
        (column, message)
    ]


def test_all_faults_of_one_text_are_named() -> None:
    _, problems = layer("Linear(a, [i for i in b], c)")
    assert len(problems) == 3


def test_where_the_column_is_not_known_the_place_of_the_text_stands() -> None:
    _, problems = parse_layer(text("Linear(3, oops)", starts=None), names=NAMES, patterns={})
    assert [str(problem.source) for problem in problems] == ["f.yaml:1:9"]


@pytest.mark.parametrize(
    "written",
    [
        "(" * 500,
        "Linear(" + "-" * 900 + "1)",
        "x" * 1001,
        "Linear(" + "[" * 70 + "1" + "]" * 70 + ")",
        "[" * 999,
        "9" * 999,
        "Linear(9223372036854775808, 3)",
        f"Linear(0x{'f' * 900}, 3)",
        "Linear(9 ** +99999999, 3)",
        "Linear(9 ** -99999999, 3)",
        "Linear(9 ** -9.5e9, 3)",
        "Linear(9 ** 65, 3)",
        "Linear(9 ** (2 * 33), 3)",
        "Linear((2 ** 2) ** 2, 3)",
    ],
    ids=[
        *("brackets", "minus signs", "long", "nested", "lists", "digits", "65 bits", "hexadecimal digits"),
        *("a power with a sign", "a negative power", "a power of a float", "a great power"),
        *("a power of a product", "a power of a power"),
    ],
)
def test_texts_without_bounds_are_refused(written: str) -> None:
    call, problems = layer(written)
    assert call is None
    assert len(problems) == 1


def test_a_size_is_arithmetic_over_names() -> None:
    assert parse_size(text("in_channels * 2"), names=NAMES) == (Operation("*", (Name("in_channels"), Literal(2))), ())


def test_a_size_is_no_call() -> None:
    assert messages(parse_size(text("int(3)"), names=NAMES)[1]) == ["a call stands here, which a size may not hold"]


def test_a_forward_pass_assigns_and_returns() -> None:
    statements, problems = forward("a, b = conv(x).chunk(2)", "a += b", "return relu(a)")
    assert problems == ()
    place = Source(file="f.yaml", line=1, column=9)
    chunk = MethodCall(Call("conv", (Name("x"),)), "chunk", (Literal(2),))
    assert statements == (
        Assign(targets=("a", "b"), value=chunk, operator=None, source=place),
        Assign(targets=("a",), value=Name("b"), operator="+", source=Source(file="f.yaml", line=2, column=9)),
        Return(value=Call("relu", (Name("a"),)), source=Source(file="f.yaml", line=3, column=9)),
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            "torch.cat((y, x), dim=1)",
            Call("torch.cat", (Sequence("tuple", (Name("y"), Name("x"))),), (("dim", Literal(1)),)),
        ),
        ("F.relu(y)", Call("F.relu", (Name("y"),))),
        ("y.relu()", MethodCall(Name("y"), "relu")),
        ("y @ x", Operation("@", (Name("y"), Name("x")))),
        ("{'a': y}", Dictionary((("a", Name("y")),))),
        ("y[0]", Index(Name("y"), Literal(0))),
        (
            "y[..., 1:, ::k]",
            Index(
                Name("y"),
                Sequence("tuple", (Literal("..."), Slice(Literal(1), None, None), Slice(None, None, Name("k")))),
            ),
        ),
        ("y.to(torch.float64)", MethodCall(Name("y"), "to", (Name("torch.float64"),))),
        ("(y, [x])", Sequence("tuple", (Name("y"), Sequence("list", (Name("x"),))))),
    ],
)
def test_values_of_a_forward_pass(written: str, expected: Expression) -> None:
    assert value(written) == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param(["return relu(conv(z))"], "unknown name 'z'", id="name"),
        pytest.param(["return relu(convv(x))"], "unknown layer 'convv'", id="layer"),
        pytest.param(["return torch.load(relu(conv(x)))"], "the function 'torch.load' is not allowed", id="load"),
        pytest.param(
            ["return torch.compile(relu(conv(x)))"], "the function 'torch.compile' is not allowed", id="compile"
        ),
        pytest.param(
            ["return F.handle_torch_function(relu(conv(x)))"],
            "the function 'F.handle_torch_function' is not allowed",
            id="F",
        ),
        pytest.param(["return relu(conv(x)).map_(x)"], "the tensor method '.map_()' is not allowed", id="method"),
        pytest.param(
            ["return relu(conv(x)).__class__()"], "the tensor method '.__class__()' is not allowed", id="dunder"
        ),
        pytest.param(
            ["return torch.ops.aten.relu(relu(conv(x)))"],
            "the function 'torch.ops.aten.relu' is not allowed",
            id="path",
        ),
        pytest.param(["return relu(conv(x)).to(torch.os)"], "unknown dtype or memory format 'torch.os'", id="dtype"),
        pytest.param(["y = relu(conv(x))"], "forward returns nothing", id="no return"),
        pytest.param(["return conv(x)"], "the layer 'relu' is never called", id="unused layer"),
        pytest.param(["return relu(conv(x))", "y = x"], "this stands after return", id="after return"),
        pytest.param(
            ["x.relu_()", "return relu(conv(x))"],
            "an expression without a name for its value stands here",
            id="expression",
        ),
        pytest.param(["dim = x", "return relu(conv(x))"], "'dim' is a parameter and cannot be assigned to", id="dim"),
        pytest.param(["x **= 2", "return relu(conv(x))"], "this augmented assignment is not allowed", id="power"),
        pytest.param(["x[0] = 2", "return relu(conv(x))"], "an index is assigned to", id="index"),
        pytest.param(
            ["return relu(conv(x))[lambda: 1]"], "a lambda stands here, which a forward pass may not hold", id="lambda"
        ),
        pytest.param(["return {k: relu(conv(x))}"], "a key of a dict is not a text", id="key"),
        pytest.param(["y: int = x", "return relu(conv(y))"], "an annotated assignment stands here", id="annotation"),
        pytest.param(["y = = x", "return relu(conv(y))"], "this is not valid: invalid syntax", id="syntax"),
        pytest.param(["return"], "return stands without a value", id="bare return"),
    ],
)
def test_a_wrong_forward_pass_names_its_one_fault(lines: list[str], message: str) -> None:
    statements, problems = forward(*lines)
    assert statements is None
    assert messages(problems) == [message]


def test_an_unused_input_is_a_warning_and_the_pass_stands() -> None:
    statements, problems = forward("y = torch.ones(k)", "return relu(conv(y))")
    assert statements is not None
    assert [(problem.message, problem.severity) for problem in problems] == [("the input 'x' is never used", "warning")]


def test_a_function_of_torch_by_its_bare_name_gets_the_right_spelling() -> None:
    _, (problem,) = forward("return relu(softmax(conv(x), 1))")
    assert problem.hint == "write F.softmax(…) for torch's function"


def test_an_expected_graph_knows_ops_captures_and_conditions() -> None:
    statements, problems = parse_graph(
        [
            text("y = conv(x, _, zeros(b) if bias else None)"),
            text("assert not a < 3 <= b or b == 'x'"),
            text("return y"),
        ]
    )
    place = Source(file="f.yaml", line=1, column=9)
    op = Call("conv", (Name("x"), Name("_"), Conditional(Name("bias"), Call("zeros", (Name("b"),)), Literal(None))))
    chain = Operation("and", (Operation("<", (Name("a"), Literal(3))), Operation("<=", (Literal(3), Name("b")))))
    either = Operation("or", (Operation("not", (chain,)), Operation("==", (Name("b"), Literal("x")))))
    assert problems == ()
    assert statements == (
        Assign(targets=("y",), value=op, operator=None, source=place),
        Assert(condition=either, source=place),
        Return(value=Name("y"), source=place),
    )


@pytest.mark.parametrize(
    "written",
    [
        "y += 1",
        "F.relu(x)",
        "y = a.b",
        "a, b = c",
        "y = x[0]",
        "assert a in b",
        "assert a, 'why'",
        "y = lambda: 1",
        "y = a @ b",
    ],
)
def test_what_is_no_line_of_an_expected_graph_is_a_problem(written: str) -> None:
    statements, problems = parse_graph([text(written)])
    assert statements is None
    assert len(problems) == 1


def test_an_assertion_may_loop_over_the_nodes_of_an_op() -> None:
    statements, problems = parse_graph(
        [text("assert all(tag(z) == 'a' for y in conv(x, _) if annotated(y) for z in users(y))")]
    )
    item = Operation("==", (Call("tag", (Name("z"),)), Literal("a")))
    loops = (
        Loop("y", Call("conv", (Name("x"), Name("_"))), (Call("annotated", (Name("y"),)),)),
        Loop("z", Call("users", (Name("y"),))),
    )
    condition = Call("all", (Comprehension(item, loops),))
    assert problems == ()
    assert statements == (Assert(condition=condition, source=Source(file="f.yaml", line=1, column=9)),)


@pytest.mark.parametrize(
    "written",
    [
        "assert all(y for y in conv for y in [1, 2])",
        "assert sum(y)",
        "assert any(y for y, z in conv)",
        "assert any(y for _y in conv)",
        "assert any([y for y in conv])",
        "assert tag(y for y in conv)",
        "assert tag(y.z)",
        "assert relu(y)",
        "assert torch.all(y)",
        "assert (y for y in conv)",
        "assert any(1 for a in _ for b in _ for c in _ for d in _)",
        "assert any(a for a in F.conv(x))",
        "assert any(a for a in conv(lambda: 1))",
        "assert any(lambda: 1 for a in conv)",
    ],
)
def test_what_is_no_assertion_is_a_problem(written: str) -> None:
    statements, problems = parse_graph([text(written)])
    assert statements is None
    assert len(problems) >= 1


def test_names_are_looked_up_where_the_values_are_known() -> None:
    lines = [text("y = conv(x)"), text("assert any(a for a in conv(b) if b == c) and y == x and y == d")]

    assert parse_graph(lines)[1] == ()
    assert [problem.message for problem in parse_graph(lines, values=("d",))[1]] == ["nothing captures 'c'"]
    assert [problem.message for problem in parse_graph(lines, values=("c",))[1]] == ["nothing captures 'd'"]


def test_a_function_without_an_answer_is_a_problem_at_its_place() -> None:
    lines = [text("assert tag(y) == tag(z)")]
    _, problems = parse_graph(lines, refused={"tag": ("why", "that")})

    assert [str(problem.source) for problem in problems] == ["f.yaml:1:16", "f.yaml:1:26"]
    assert problems[0].message == "'tag' has no answer here: why"
    assert problems[0].expected == "that"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*"xy_.,()[]=<:*", " for ", " in ", " if ", " and ", "all(", "tag(", "conv(", "users(", "len(", "1", "'a'"]
        ),
        max_size=25,
    )
)
def test_no_assertion_makes_a_parser_raise(parts: list[str]) -> None:
    parse_graph([text(f"assert {''.join(parts)}")], values=())
    parse_graph([text(f"assert any({''.join(parts)})")], values=())


def test_the_nearest_name_does_not_mind_capitals() -> None:
    assert nearest("relu", ["ReLU", "Tanh"]) == "did you mean 'ReLU'?"


def test_a_name_without_end_is_near_to_none_at_once() -> None:
    started = time.process_time()
    assert nearest("a" * 100_000, ["a" * 100_001, "b"]) is None
    assert nearest("load", ["load" * 50_000, "loads"]) == "did you mean 'loads'?"
    assert time.process_time() - started < 0.5


def test_where_no_name_is_near_there_is_no_hint() -> None:
    assert nearest("load", ["logaddexp"]) is None


SPELLED = st.text(alphabet="abcB_1", min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(SPELLED, st.sets(SPELLED, max_size=30))
def test_the_nearest_name_is_that_of_difflib(name: str, known: set[str]) -> None:
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.65)
    if found:
        assert nearest(name, known) == f"did you mean '{found[0]}'?"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab.()[]{}'\"\\,:=+-*@#;\n\t \x00é__lambdaif", max_size=40))
def test_no_text_makes_a_parser_raise(written: str) -> None:
    layer(written)
    forward(written)
    parse_graph([text(written)])
