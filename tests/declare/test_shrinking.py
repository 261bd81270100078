"""Smaller cases: what can be taken away from a case, one step at a time."""

from __future__ import annotations

from pathlib import Path

from qatrix.declare.shrinking import Smaller, smaller_cases
from qatrix.declare.spec import Case
from support.cases import shipped_cases, written_cases

TWO_LAYERS = """
patterns:
  two:
    layers: {first: "Linear(8, 8)", second: "Linear(8, 4)", act: "ReLU()"}
    forward: ["y = act(first(x))", "y = y + F.relu(y)", "return second(y)"]
    inputs: {x: {shape: [2, 8]}}
suites:
  shrinking: {axes: {pattern: two, quantizer: xnnpack_int8_per_channel_qat}}
"""


def two_layers(tmp_path: Path) -> Case:
    (case,) = written_cases(tmp_path, TWO_LAYERS, "shrinking")
    return case


def changes(case: Case) -> dict[str, Smaller]:
    return {item.change: item for item in smaller_cases(case)}


def test_a_layer_goes_with_its_call(tmp_path: Path) -> None:
    smaller = changes(two_layers(tmp_path))["without act"].case

    assert [layer.name for layer in smaller.pattern.layers] == ["first", "second"]


def test_a_layer_that_is_called_elsewhere_stays(tmp_path: Path) -> None:
    (case,) = written_cases(tmp_path, TWO_LAYERS.replace("F.relu(y)", "act(y)"), "shrinking")

    for smaller in smaller_cases(case):
        called = {layer.name for layer in smaller.case.pattern.layers}
        assert "act" in called or "without" in smaller.change


def test_what_fills_a_layer_goes_with_it(tmp_path: Path) -> None:
    text = TWO_LAYERS.replace("    forward:", "    init: {first.weight: 0.5, second.bias: 1.0}\n    forward:")
    (case,) = written_cases(tmp_path, text, "shrinking")
    kept = {change: [item.path for item in smaller.case.pattern.init] for change, smaller in changes(case).items()}

    assert kept["without first"] == ["second.bias"]
    assert kept["without second"] == ["first.weight"]
    assert kept["without act"] == ["first.weight", "second.bias"]


def test_functions_operators_and_assignments_go(tmp_path: Path) -> None:
    assert {"without F.relu", "without +", "without the assignment of y", "without second"} <= changes(
        two_layers(tmp_path)
    ).keys()


def test_a_number_becomes_smaller_wherever_it_stands(tmp_path: Path) -> None:
    smaller = changes(two_layers(tmp_path))["1 instead of 8"].case
    first, second = smaller.pattern.layers[:2]

    assert str(first.call.args) == str(smaller.pattern.layers[0].call.args)
    assert [item.value for item in first.call.args] == [1, 1]  # type: ignore[union-attr]  # literals
    assert [item.value for item in second.call.args] == [1, 4]  # type: ignore[union-attr]  # literals
    assert [item.value for item in smaller.pattern.inputs[0].shape] == [2, 1]  # type: ignore[union-attr]  # literals


def test_parameters_become_smaller_but_not_booleans() -> None:
    case = shipped_cases("conv_bn_fusion/conv_bn/*dim=2*per_channel*")[0]
    names = {change.partition(" ")[0] for change in changes(case) if " instead of " in change}

    assert "out_channels" in names
    assert "bias" not in names


def test_a_factory_keeps_its_layers() -> None:
    (case, *_) = shipped_cases("resnet18")

    assert all(item.case.pattern.factory == case.pattern.factory for item in smaller_cases(case))
    assert any("instead of" in change for change in changes(case))


def test_seed_and_id_stay(tmp_path: Path) -> None:
    case = two_layers(tmp_path)

    assert {(item.case.case_id, item.case.seed) for item in smaller_cases(case)} == {(case.case_id, case.seed)}
