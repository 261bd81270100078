"""Cases whose programs are watched: who does not do what was specified, and that watching changes nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from qatrix.claims import AS_SPECIFIED
from qatrix.declare.spec import Case, QuantizerSpec
from qatrix.execute.arbitration import Arbiter
from qatrix.execute.captures import Captures
from qatrix.execute.case import run_case
from qatrix.outcomes import Record
from qatrix.pipelines import PIPELINES, Capture, Pipeline
from qatrix.pipelines.inputs import Inputs
from support import specs
from support.altered import Altered, with_altered
from support.cases import written_cases
from support.watched import IMAGE, ConvBnRelu

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]

PTQ, QAT = "xnnpack_int8_per_tensor_ptq", "xnnpack_int8_per_tensor_qat"
IMAGES = "{x: {shape: [2, 3, 8, 8]}}"
CONV_BN = {"conv": "Conv2d(3, 4, 3)", "bn": "BatchNorm2d(4)"}
HOLDS = {"pt2e": None, "fx": None}


def declared(
    tmp_path: Path,
    layers: Mapping[str, str],
    forward: str = "return F.relu(bn(conv(x)))",
    *,
    inputs: str = IMAGES,
    quantizer: str = PTQ,
    axes: str = "",
) -> Case:
    """A case of one pattern."""
    text = f"""
patterns: {{written: {{layers: {dict(layers)}, forward: ["{forward}"], inputs: {inputs}}}}}
suites: {{written: {{axes: {{pattern: written, quantizer: {quantizer}{axes}}}}}}}
"""
    (case,) = written_cases(tmp_path, text)
    return case


def made_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type[nn.Module], **given: str) -> Case:
    """A case of a model that is written in Python."""
    monkeypatch.setattr(nn, "Written", model, raising=False)
    inputs, quantizer = given.get("inputs", IMAGES), given.get("quantizer", PTQ)
    text = f"""
patterns: {{written: {{model: torch.nn.Written, inputs: {inputs}}}}}
suites: {{written: {{axes: {{pattern: written, quantizer: {quantizer}}}}}}}
"""
    (case,) = written_cases(tmp_path, text)
    return case


def specified(record: Record) -> dict[str, str | None]:
    """What is not as specified, of each pipeline that was judged: None where all is."""
    return {
        check.pipeline: check.message if check.status == "failed" else None
        for check in record.checks
        if check.name == AS_SPECIFIED
    }


def judged(case: Case, pipelines: Mapping[str, Pipeline] | None = None) -> dict[str, str | None]:
    """What is not as specified of each pipeline."""
    return specified(run_case(case, pipelines, diagnose="never"))


def blind(record: Record) -> Record:
    """A record without what only its arbiter says or keeps, and without its durations, which differ in every run."""
    return replace(
        record,
        graphs=(),
        checks=tuple(check for check in record.checks if check.name != AS_SPECIFIED),
        pipelines={name: replace(outcome, stages=()) for name, outcome in record.pipelines.items()},
        seconds=0.0,
    )


def watched_and_not(
    case: Case, monkeypatch: pytest.MonkeyPatch, pipelines: Mapping[str, Pipeline] | None = None
) -> tuple[Record, Record]:
    """The record of a case, and that of the same captures without an arbiter, which comes first: nothing was watched."""
    captures = Captures()
    with monkeypatch.context() as patch:
        patch.setattr(Arbiter, "of", staticmethod(lambda *_, **__: "a test wants none"))
        without = run_case(case, pipelines, captures=captures, diagnose="never")
    return run_case(case, pipelines, captures=captures, diagnose="never"), without


@pytest.mark.parametrize("quantizer", [PTQ, QAT, "xnnpack_int8_per_channel_qat", "uint8_affine_qat", "x86_int8_ptq"])
def test_a_sound_case_is_as_specified_on_both_pipelines(tmp_path: Path, quantizer: str) -> None:
    assert judged(declared(tmp_path, CONV_BN, quantizer=quantizer)) == HOLDS


def test_an_eps_that_training_does_not_keep_is_told_of_the_pipeline_that_drops_it(tmp_path: Path) -> None:
    layers = CONV_BN | {"bn": "BatchNorm2d(4, eps=0.1)"}
    found = judged(declared(tmp_path, layers, quantizer=QAT))

    assert found["fx"] is None
    assert found["pt2e"] is not None
    assert found["pt2e"].startswith(("conv", "bn", "relu"))


def test_a_momentum_that_training_does_not_keep_is_told_of_the_pipeline_that_drops_it(tmp_path: Path) -> None:
    layers = CONV_BN | {"bn": "BatchNorm2d(4, momentum=0.01)"}
    found = judged(declared(tmp_path, layers, quantizer=QAT))

    assert found["fx"] is None
    assert found["pt2e"] is not None


@pytest.mark.parametrize("quantizer", [PTQ, QAT])
def test_a_padding_that_is_not_kept_is_told_of_the_pipeline_that_drops_it(tmp_path: Path, quantizer: str) -> None:
    layers = {"conv": "Conv2d(3, 4, 3, padding=1, padding_mode='reflect')"}
    found = judged(declared(tmp_path, layers, "return conv(x)", quantizer=quantizer))

    # PT2E quantizes between the padding and the convolution, which is no layer of the model's.
    assert "pt2e" not in found
    assert str(found["fx"]).startswith("conv after convert: its value differs by up to ")


@pytest.mark.parametrize("quantizer", [PTQ, QAT])
def test_a_relu_behind_both_calls_of_one_layer_is_told_of_the_pipeline_that_adds_it(
    tmp_path: Path, quantizer: str
) -> None:
    layers = {"conv": "Conv2d(3, 3, 3, padding=1)"}
    found = judged(declared(tmp_path, layers, "return conv(F.relu(conv(x)))", quantizer=quantizer))

    assert found["pt2e"] is None
    assert found["fx"] is not None
    assert found["fx"].startswith("conv@2 after ")


def test_phases_are_not_judged(tmp_path: Path) -> None:
    (layers, forward) = {"first": "Linear(4, 4)", "second": "Linear(4, 4)"}, "return second(first(x))"
    vectors = "{x: {shape: [3, 4]}}"
    case = declared(tmp_path, layers, forward, inputs=vectors, quantizer="linears_qat_then_ptq")

    assert case.quantizer.phases
    assert judged(case) == {}


def test_a_model_of_another_dtype_than_float32_is_not_judged(tmp_path: Path) -> None:
    case = declared(tmp_path, CONV_BN, axes=", dtype: float64")

    assert judged(case) == {}
    assert Arbiter.of(case, ConvBnRelu(), Inputs.of(IMAGE), trains=False) == "its model is of float64"


class Branching(nn.Module):
    """A model whose forward pass depends on its values, which nothing can trace."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        """A linear layer's value, or its opposite."""
        y: Tensor = self.linear(x)
        return y if bool(y.sum() > 0) else -y


def test_a_model_that_cannot_be_traced_has_no_arbiter() -> None:
    found = Arbiter.of(specs.case(), Branching(), Inputs.of(torch.ones(1, 4)), trains=False)

    assert isinstance(found, str)
    assert found.startswith("its float model cannot be followed in float64: TraceError: ")


class Assigning(nn.Module):
    """A model that the exporter follows and a symbolic trace does not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """A convolution, one channel of which is set to zero."""
        y: Tensor = self.conv(x)
        y[:, 0] = 0
        return y


def test_a_model_that_symbolic_tracing_cannot_follow_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = run_case(made_by(tmp_path, monkeypatch, Assigning), diagnose="never")

    assert record.pipelines["pt2e"].status == "ok"
    assert specified(record) == {}


def test_an_arbiter_leaves_the_model_as_it_is() -> None:
    model = ConvBnRelu()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    made = Arbiter.of(specs.case(), model, Inputs.of(IMAGE), trains=True)

    assert isinstance(made, Arbiter)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in model.parameters())


def arbiter_among(captures: Captures, model: nn.Module, *, trains: bool = True) -> Arbiter:
    made = Arbiter.of(specs.case(), model, Inputs.of(IMAGE), trains=trains, captures=captures)
    assert isinstance(made, Arbiter)
    return made


def test_cases_of_one_model_share_an_arbiter_unless_only_one_trains() -> None:
    captures, model = Captures(), ConvBnRelu()
    first = arbiter_among(captures, model)

    assert arbiter_among(captures, model) is first
    assert arbiter_among(captures, model, trains=False) is not first


class Counting(nn.Module):
    """A layer, and a buffer that no state_dict has."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("count", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's value, and what has been counted."""
        y: Tensor = self.linear(x) + self.count
        return y


def test_an_arbiter_begins_with_all_that_its_model_had() -> None:
    made = Arbiter.of(specs.case(), Counting(), Inputs.of(torch.ones(1, 4)), trains=False)
    assert isinstance(made, Arbiter)
    count = made.model.get_buffer("count")
    count += 1
    made.begin()

    assert count.item() == 0


class AttentionBlock(nn.Module):
    """Attention, of whose two outputs one is used, behind a dropout that evaluation makes anew."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """A residual sum."""
        y: Tensor = self.linear(x)
        z, _ = self.attention(y, y, y, need_weights=False)
        total: Tensor = self.dropout(z) + y
        return total


def test_a_dropout_that_is_made_anew_behind_one_of_two_outputs_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = made_by(tmp_path, monkeypatch, AttentionBlock, inputs="{x: {shape: [2, 5, 8]}}", quantizer=QAT)
    record = run_case(case)

    assert specified(record)["pt2e"] is None
    assert record.diagnosis is not None
    assert not [note for note in record.diagnosis.notes if "belongs to no layer" in note]


class HeadOfToken(nn.Module):
    """A dropout that evaluation makes anew in a model whose own forward calls one function alone, to pick a token."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.identity = nn.LayerNorm(8), nn.Identity()
        self.dropout = nn.Dropout(0.0)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        """The head's outputs for the first token."""
        out: Tensor = self.head(self.dropout(self.identity(self.norm(x)[:, 0])))
        return out


class HeadOfClassToken(HeadOfToken):
    """The same in a forward of several functions."""

    def forward(self, x: Tensor) -> Tensor:
        """The head's outputs for the first token."""
        return super().forward(torch.cat([x[:, 1:], x[:, :1]], 1) + x)


class HeadBehindIdentity(nn.Module):
    """A dropout that evaluation makes anew, behind layers that do nothing, as the heads of many networks are."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), nn.Flatten(), nn.Identity(), nn.Identity())
        self.dropout = nn.Dropout(0.0)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        """The head's outputs."""
        out: Tensor = self.head(self.dropout(self.body(x)))
        return out


@pytest.mark.parametrize(
    ("model", "shape"), [(HeadBehindIdentity, "[4, 8]"), (HeadOfToken, "[4, 3, 8]"), (HeadOfClassToken, "[4, 3, 8]")]
)
def test_a_dropout_that_is_made_anew_behind_what_an_export_leaves_out_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type[nn.Module], shape: str
) -> None:
    case = made_by(tmp_path, monkeypatch, model, inputs=f"{{x: {{shape: {shape}}}}}", quantizer=QAT)

    assert judged(case)["pt2e"] is None


def test_a_large_model_is_not_kept_for_the_next_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qatrix.execute.arbitration._MOST_KEPT", 100)
    captures, model = Captures(), ConvBnRelu()

    assert arbiter_among(captures, model) is not arbiter_among(captures, model)


class InPlace(nn.Module):
    """Ops in place, on the input and on what layers give."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """A sum that is made in place."""
        x.add_(1)
        y: Tensor = self.a(x)
        y += self.b(x)
        return functional.relu(y.mul_(2), inplace=True)


class Nested(nn.Module):
    """Outputs in a dictionary and in a tuple, of which one is the input and one holds integers."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> dict[str, Any]:
        """All of them."""
        y = self.a(x)
        return {"one": y, "two": (functional.relu(y), x, y.argmax(1)), "none": y[:, :0]}


class Views(nn.Module):
    """Shapes and strides that change."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(36, 5)

    def forward(self, x: Tensor) -> Tensor:
        """A linear layer of a transposed view."""
        y = self.conv(x.transpose(2, 3).to(memory_format=torch.channels_last))
        y = y.view(y.shape[0], 4, -1).transpose(1, 2).reshape(y.size(0), -1, 4)
        z: Tensor = self.linear(y.permute(0, 2, 1))
        return z


class Recurrent(nn.Module):
    """A layer that gives a tuple of tuples."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(8, 6, batch_first=True), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        """A linear layer of what comes at each step."""
        y, (_, _) = self.lstm(x)
        z: Tensor = self.linear(y)
        return z


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        """Both after one another."""
        y: Tensor = self.b(functional.relu(self.a(x)))
        return y


class Attending(nn.Module):
    """Attention, written out, with a mask that is minus infinity."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("mask", torch.tril(torch.ones(5, 5)))

    def forward(self, x: Tensor) -> Tensor:
        """The values that the attention weighs."""
        y = self.linear(x)
        scores = torch.einsum("bik,bjk->bij", y, y).masked_fill(self.mask == 0, float("-inf"))
        z: Tensor = scores.softmax(-1) @ y
        return z


class Dropping(nn.Module):
    """Layers that draw at random in training."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.drop, self.b = nn.Conv2d(3, 4, 3), nn.Dropout(0.3), nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """A convolution of what is left."""
        y: Tensor = self.b(self.drop(functional.relu(self.a(x))))
        return y


class ByKeyword(nn.Module):
    """A convolution that is a function and is given its weight by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 3) / 5)
        self.bias = nn.Parameter(torch.randn(4) / 5)

    def forward(self, x: Tensor) -> Tensor:
        """Its value."""
        return functional.conv2d(input=x, weight=self.weight, bias=self.bias)


class Transposed(nn.Module):
    """A transposed convolution that is a function."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4, 3, 3) / 5)

    def forward(self, x: Tensor) -> Tensor:
        """Its value."""
        return functional.conv_transpose2d(x, self.weight)


class Normalized(nn.Module):
    """A layer norm over several axes, whose weight has as many."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.LayerNorm([4, 6, 6])

    def forward(self, x: Tensor) -> Tensor:
        """The norm of a convolution."""
        y: Tensor = self.norm(self.conv(x))
        return y


class Small(nn.Module):
    """A convolution of numbers that are smaller than the smallest scale of the kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.conv.weight.data.mul_(1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Its value."""
        y: Tensor = self.conv(x)
        return y


SEQUENCE = "{x: {shape: [2, 5, 8]}}"
SOUND: list[tuple[type[nn.Module], str]] = [
    (Nested, IMAGES),
    (Views, IMAGES),
    (Recurrent, SEQUENCE),
    (Tied, IMAGES),
    (Attending, SEQUENCE),
    (Dropping, IMAGES),
    (ByKeyword, IMAGES),
    (Transposed, IMAGES),
    (Normalized, IMAGES),
    (Small, IMAGES),
]
ODD = [(InPlace, IMAGES), *SOUND]


@pytest.mark.parametrize(("model", "inputs"), ODD, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("quantizer", [PTQ, QAT])
def test_an_odd_model_is_as_specified_and_watching_it_changes_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type[nn.Module], inputs: str, quantizer: str
) -> None:
    case = made_by(tmp_path, monkeypatch, model, inputs=inputs, quantizer=quantizer)
    watched, without = watched_and_not(case, monkeypatch)

    if (model, inputs) in SOUND:
        # Where none of its layers can be judged there is no check.
        assert specified(watched).items() <= HOLDS.items()
    assert specified(without) == {}
    # What is not as specified is part of the verdict and its summary.
    same = replace(blind(watched), verdict=without.verdict, summary=without.summary)
    assert same == blind(without)
    if specified(watched).items() <= HOLDS.items():
        assert (watched.verdict, watched.summary) == (without.verdict, without.summary)


@pytest.mark.parametrize("quantizer", [PTQ, QAT])
def test_outputs_are_the_same_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantizer: str) -> None:
    case = declared(tmp_path, CONV_BN, quantizer=quantizer)
    given: list[list[Tensor]] = []

    def keep(program: nn.Module) -> nn.Module:
        assert isinstance(program, fx.GraphModule)
        output = next(iter(reversed(program.graph.nodes)))
        last = output.all_input_nodes[0]
        kept: list[Tensor] = []
        given.append(kept)

        def noted(value: Tensor) -> Tensor:
            kept.append(value.detach().clone())
            return value

        with program.graph.inserting_after(last):
            node = program.graph.call_function(noted, (last,))
        output.replace_input_with(last, node)
        program.recompile()
        return program

    watched_and_not(case, monkeypatch, with_altered("fx", convert=keep))
    without, watched = given

    assert watched
    assert len(watched) == len(without)
    assert all(torch.equal(one, other) for one, other in zip(watched, without))


def raising(program: nn.Module) -> nn.Module:
    """A program one of whose ops does not run."""
    assert isinstance(program, fx.GraphModule)

    def fail(_: Tensor) -> Tensor:
        msg = "planted"
        raise RuntimeError(msg)

    first = next(iter(program.graph.nodes))
    with program.graph.inserting_after(first):
        program.graph.call_function(fail, (first,))
    program.recompile()
    return program


@pytest.mark.parametrize("name", ["pt2e", "fx"])
@pytest.mark.parametrize("stage", ["prepare", "convert"])
def test_a_program_that_raises_gives_the_error_that_it_gives_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stage: str
) -> None:
    case = declared(tmp_path, CONV_BN)
    altered = with_altered(name, **{stage: raising})
    watched, without = watched_and_not(case, monkeypatch, altered)
    found = [record.pipelines[name].error for record in (watched, without)]

    assert [error and (error.type, error.message) for error in found] == [("RuntimeError", "planted")] * 2
    assert (watched.verdict, watched.summary) == (without.verdict, without.summary)
    assert name not in specified(watched)


def halved(capture: Capture) -> Capture:
    """Weights and biases of half their size."""

    def program() -> nn.Module:
        captured = capture()
        with torch.no_grad():
            for parameter in captured.parameters():
                parameter.mul_(0.5)
        return captured

    return program


def rescaled(converted: nn.Module) -> nn.Module:
    """The last quantize op and the dequantize op behind it with twice their scale."""
    assert isinstance(converted, fx.GraphModule)
    ops = [node for node in converted.graph.nodes if "quantize_per_tensor" in str(node.target)]
    for node in ops[-2:]:
        node.args = (node.args[0], node.args[1] * 2, *node.args[2:])
    converted.recompile()
    return converted


@pytest.mark.parametrize("name", ["pt2e", "fx"])
@pytest.mark.parametrize("quantizer", [PTQ, QAT])
@pytest.mark.parametrize(
    ("planted", "told"),
    [
        pytest.param({"capture": halved}, "conv after prepare: ", id="weights"),
        pytest.param({"convert": rescaled}, "relu after convert: its scale is ", id="scale"),
    ],
)
def test_a_fault_in_one_pipeline_is_told_of_that_pipeline_alone(
    tmp_path: Path, name: str, quantizer: str, planted: dict[str, Callable[..., Any]], told: str
) -> None:
    found = judged(declared(tmp_path, CONV_BN, quantizer=quantizer), with_altered(name, **planted))
    (other,) = {"pt2e", "fx"} - {name}

    assert found[other] is None
    assert str(found[name]).startswith(told)


@pytest.mark.parametrize("quantizer", [PTQ, QAT])
def test_a_fault_in_both_pipelines_alike_is_told_of_both(tmp_path: Path, quantizer: str) -> None:
    altered = dict(
        itertools.chain.from_iterable(
            (item for item in with_altered(name, convert=rescaled).items() if item[0] == name)
            for name in ("pt2e", "fx")
        )
    )
    record = run_case(declared(tmp_path, CONV_BN, quantizer=quantizer), altered, diagnose="never")

    assert [item.status for item in record.comparisons] == ["exact", "exact"]
    assert record.verdict == "check_failed"
    assert all(str(told).startswith("relu after convert: its scale is ") for told in specified(record).values())


def test_a_message_spells_out_three_deviations_and_counts_the_rest(tmp_path: Path) -> None:
    names = [f"l{number}" for number in range(5)]
    forward = "x"
    for name in names:
        forward = f"{name}({forward})"
    layers = dict.fromkeys(names, "Linear(4, 4)")
    case = declared(tmp_path, layers, f"return {forward}", inputs="{x: {shape: [3, 4]}}")
    found = judged(case, with_altered("fx", capture=halved))["fx"]

    assert found is not None
    assert found.count("; ") == 3
    assert found.endswith(" more")


def test_what_a_pipeline_made_of_the_model_is_forgotten_before_the_next(tmp_path: Path) -> None:
    # Both train the batch norm; the second is held against what it was before the first.
    case = declared(tmp_path, CONV_BN, quantizer=QAT)

    assert judged(case, with_altered("pt2e", capture=halved))["fx"] is None


class Refusing(Altered):
    """A pipeline whose quantizer cannot be made in this release."""

    def integers(self, _: QuantizerSpec) -> frozenset[tuple[Any, ...]]:
        msg = "got an unexpected keyword argument"
        raise TypeError(msg)

    def prepare(self, *_: object, **__: object) -> nn.Module:
        msg = "got an unexpected keyword argument"
        raise TypeError(msg)


def test_a_quantizer_that_cannot_be_made_is_told_of_its_stage(tmp_path: Path) -> None:
    record = run_case(declared(tmp_path, CONV_BN), {**PIPELINES, "pt2e": Refusing("pt2e")}, diagnose="never")

    assert record.verdict == "failed"
    assert "pt2e failed at prepare: TypeError: got an unexpected keyword argument" in record.summary
    assert specified(record) == {"fx": None}
