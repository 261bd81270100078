"""Training axes: which cases take them, and what becomes of those that do not."""

from __future__ import annotations

from dataclasses import replace

from qatrix.declare.spec import Case, Training
from support import specs
from support.expansion import cases, dropped, ids
from support.specs import Axes

AXES: Axes = {"pattern": ["conv_bn"], "dim": [2], "quantizer": ["int8"]}


def training_of(axes: Axes) -> list[Training | None]:
    return [case.training for case in cases(specs.matrix(specs.suite("s", {**AXES, **axes})))]


def plain(case: Case) -> Case:
    """A case without what training axes change."""
    return replace(case, case_id="", axes={}, training=None)


def test_a_suite_without_training_axes_does_not_train() -> None:
    assert training_of({}) == [None]


def test_no_step_is_no_training() -> None:
    assert training_of({"train_steps": [0]}) == [None]


def test_a_case_carries_its_training() -> None:
    axes: Axes = {"train_steps": [5], "observer_state": ["enabled", "disabled"], "batch_norm": ["frozen"]}
    assert training_of(axes) == [
        Training(steps=5, batch_norms="frozen"),
        Training(steps=5, observers="disabled", batch_norms="frozen"),
    ]


def test_training_axes_stand_in_the_id_in_the_order_of_the_suite() -> None:
    axes: Axes = {**AXES, "batch_norm": ["frozen"], "train_steps": [5]}
    assert ids(specs.matrix(specs.suite("s", axes))) == [
        "s/conv_bn/dim=2,quantizer=int8,batch_norm=frozen,train_steps=5,device=cpu"
    ]


def test_training_changes_neither_weights_nor_inputs() -> None:
    (still,) = cases(specs.matrix(specs.suite("s", AXES)))
    (trained,) = cases(specs.matrix(specs.suite("s", {**AXES, "train_steps": [5]})))
    assert plain(trained) == plain(still)


def test_a_case_without_steps_leaves_out_the_state_of_its_steps() -> None:
    suite = specs.suite("s", {**AXES, "train_steps": [0, 1], "observer_state": ["enabled", "disabled"]})
    assert ids(specs.matrix(suite)) == [
        "s/conv_bn/dim=2,quantizer=int8,train_steps=0,device=cpu",
        "s/conv_bn/dim=2,quantizer=int8,train_steps=1,observer_state=enabled,device=cpu",
        "s/conv_bn/dim=2,quantizer=int8,train_steps=1,observer_state=disabled,device=cpu",
    ]
    assert dropped(specs.matrix(suite)) == [("merged", 1, "a case that does not train does not take observer_state")]


def test_a_quantizer_that_does_not_train_leaves_out_all_training_axes() -> None:
    later = specs.quantizer("later", mode="ptq")
    axes: Axes = {**AXES, "quantizer": ["int8", "later"], "train_steps": [1, 5], "batch_norm": ["frozen"]}
    matrix = specs.matrix(specs.suite("s", axes), quantizers=[specs.quantizer(), later])
    assert ids(matrix) == [
        "s/conv_bn/dim=2,quantizer=int8,train_steps=1,batch_norm=frozen,device=cpu",
        "s/conv_bn/dim=2,quantizer=int8,train_steps=5,batch_norm=frozen,device=cpu",
        "s/conv_bn/dim=2,quantizer=later,device=cpu",
    ]
    assert dropped(matrix) == [("merged", 1, "a case that does not train does not take train_steps")]


def test_both_reasons_of_a_merge_are_told() -> None:
    axes: Axes = {**AXES, "pattern": ["resnet18"], "bias": [True, False], "train_steps": [1, 5]}
    later = specs.quantizer(mode="ptq")
    matrix = specs.matrix(specs.suite("s", axes), patterns=[specs.factory()], quantizers=[later])
    because = "pattern resnet18 does not take bias; a case that does not train does not take train_steps"
    assert dropped(matrix) == [("merged", 3, because)]
