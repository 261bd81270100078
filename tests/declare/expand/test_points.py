from __future__ import annotations

from qatrix.declare.expand import expand
from qatrix.errors import Problem
from qatrix.outcomes import Dropped
from support import specs
from support.expansion import dropped, ids, of_type, problems
from support.problems import as_text
from support.specs import Axes, two_patterns


def test_an_exclude_drops_every_point_that_has_all_its_values() -> None:
    matrix = two_patterns(exclude=(specs.rule({"conv": ["conv_transpose"], "pattern": ["conv_bn"]}, because="later"),))
    assert [case for case in ids(matrix) if "transpose" in case] == []
    assert ("excluded", 2, "later") in dropped(matrix)


def test_a_list_in_an_exclude_means_any_of_it() -> None:
    matrix = two_patterns(exclude=(specs.rule({"pattern": ["conv_bn"], "dim": [1, 2]}, because="later"),))
    assert ids(matrix) == ["s/resnet18/quantizer=int8,device=cpu"]


def test_an_exclude_sees_the_axes_that_the_pattern_does_not_take() -> None:
    matrix = two_patterns(exclude=(specs.rule({"pattern": ["resnet18"], "dim": [1]}, because="x"),))
    assert dropped(matrix) == [
        ("merged", 1, "pattern resnet18 does not take conv or dim"),
        ("excluded", 2, "x"),
    ]


def test_an_exclude_sees_the_defaults_of_axes_that_the_suite_leaves_out() -> None:
    rules = (
        specs.rule({"device": ["cpu"], "dim": [1]}, because="slow"),
        specs.rule({"device": ["cuda"], "dim": [2]}, because="stale"),
    )
    axes: Axes = {"pattern": ["conv_bn"], "dim": [1, 2], "quantizer": ["int8"]}
    found = list(expand(specs.matrix(specs.suite("s", axes, exclude=rules))))
    assert [item.because for item in of_type(Dropped, found)] == ["slow"]
    assert "stale exclude" in as_text(of_type(Problem, found))


def test_a_point_that_several_excludes_fit_goes_to_the_first() -> None:
    rules = (specs.rule({"dim": [1]}, because="first"), specs.rule({"dim": [1, 2]}, because="second"))
    assert [item for item in dropped(two_patterns(exclude=rules)) if item[0] == "excluded"] == [
        ("excluded", 4, "first"),
        ("excluded", 4, "second"),
    ]


def test_an_exclude_that_fits_no_point_is_a_warning() -> None:
    matrix = two_patterns(exclude=(specs.rule({"dim": [3]}, because="x", line=9),))
    assert problems(matrix) == (
        "matrix/test.yaml:9:1: warning: stale exclude: no point has all these values\n"
        "    at suite 's', exclude\n"
        "    expected an exclude that drops a point of the product\n"
    )


def test_an_exclude_that_an_earlier_one_hides_is_a_warning() -> None:
    rules = (specs.rule({"dim": [1]}, because="x"), specs.rule({"dim": [1], "conv": ["conv"]}, because="y", line=9))
    assert "9:1: warning: stale exclude: an earlier exclude drops every point that this one fits" in problems(
        two_patterns(exclude=rules)
    )


def test_a_suite_that_excludes_everything_is_an_error() -> None:
    suite = specs.suite(exclude=(specs.rule({"dim": [2]}, because="x"),), source=specs.source(4))
    assert problems(specs.matrix(suite)) == (
        "matrix/test.yaml:4:1: suite 'fusion' declares no case\n"
        "    expected a point of the product that no exclude drops, or an include\n"
    )


def test_a_suite_that_excludes_everything_and_includes_something_is_right() -> None:
    suite = specs.suite(
        exclude=(specs.rule({"dim": [2]}, because="x"),),
        include=(specs.rule({"pattern": ["conv_bn"], "dim": [2], "bias": [False], "quantizer": ["int8"]}),),
    )
    assert ids(specs.matrix(suite)) == ["fusion/conv_bn/dim=2,quantizer=int8,bias=false,device=cpu"]
