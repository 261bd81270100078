from __future__ import annotations

import hashlib

import pytest

from qatrix.declare.expand import file_name, model_key, value_text
from qatrix.expressions import Value
from support import specs
from support.expansion import cases, ids, problems
from support.specs import Axes, two_patterns


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(True, "true", id="bool"),
        pytest.param(None, "null", id="null"),
        pytest.param(1, "1", id="int"),
        pytest.param(-1, "-1", id="negative"),
        pytest.param(1.0, "1.0", id="whole float"),
        pytest.param(1e-5, "1e-05", id="small float"),
        pytest.param("same", "same", id="text"),
        pytest.param((1, 2), "1x2", id="tuple"),
    ],
)
def test_values_read_in_ids_as_in_yaml(value: Value, text: str) -> None:
    assert value_text(value) == text
    axes: Axes = {"pattern": ["conv_bn"], "dim": [1], "bias": [value], "quantizer": ["int8"]}
    assert ids(specs.matrix(specs.suite("s", axes))) == [f"s/conv_bn/dim=1,bias={text},quantizer=int8,device=cpu"]


def test_one_and_true_are_two_values() -> None:
    axes: Axes = {
        "pattern": ["conv_bn"],
        "dim": [1],
        "bias": [1, True, 1.0],
        "quantizer": ["int8"],
    }
    assert [case.params["bias"] for case in cases(specs.matrix(specs.suite("s", axes)))] == [1, True, 1.0]


@pytest.mark.parametrize("value", ["a b", "a,b", "a=b", "a/b", "$(x)", "", "é", "*"])
def test_a_value_that_is_not_safe_in_a_shell_is_an_error(value: str) -> None:
    axes: Axes = {"pattern": ["conv_bn"], "dim": [1], "bias": [value], "quantizer": ["int8"]}
    assert problems(specs.matrix(specs.suite("s", axes))) == (
        f"matrix/test.yaml:1:1: the value {value!r} of axis 'bias' cannot stand in a case id\n"
        "    at suite 's', axes\n"
        "    expected letters, digits and the characters _ . + -\n"
    )


def test_values_that_look_the_same_in_an_id_are_an_error() -> None:
    axes: Axes = {"pattern": ["conv_bn"], "dim": [1], "bias": ["1", 1], "quantizer": ["int8"]}
    assert "the values '1' and 1 of axis 'bias' are both 1 in a case id" in problems(
        specs.matrix(specs.suite("s", axes))
    )


def test_a_model_key_names_all_that_makes_the_float_model() -> None:
    pattern = specs.pattern(params={"stride": 2, "bias": True, "eps": 1e-5})
    (case,) = cases(specs.matrix(specs.suite(), patterns=[pattern]))
    assert model_key(case) == "conv_bn,conv=conv,dim=2,bias=true,eps=1e-05,stride=2"


def test_a_model_key_has_no_conv_and_no_dim_where_the_pattern_takes_none() -> None:
    (case,) = (case for case in cases(two_patterns()) if case.pattern.name == "resnet18")
    assert model_key(case) == "resnet18"


def test_a_seed_is_31_bits_of_the_model_keys_hash() -> None:
    for case in cases(two_patterns()):
        digest = hashlib.sha256(model_key(case).encode()).digest()
        assert case.seed == int.from_bytes(digest[:4], "big") % 2**31


def test_a_seed_stays_the_same_for_ever() -> None:
    """A change would change every number of every report."""
    (case,) = cases(specs.matrix(specs.suite()))
    assert case.seed == 1217299460


def test_a_file_name_has_no_slash() -> None:
    assert file_name("s/conv_bn/dim=1,device=cpu") == "s__conv_bn__dim=1,device=cpu"


def test_a_file_name_of_a_long_id_is_cut_and_stays_unique() -> None:
    ids = [f"s/conv_bn/{','.join(f'parameter_{n}={n}' for n in range(30))},device={d}" for d in ("cpu", "cuda")]
    names = [file_name(case_id) for case_id in ids]
    assert [len(name) for name in names] == [200, 200]
    assert names[0] != names[1]
