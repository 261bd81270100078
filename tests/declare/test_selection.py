from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from qatrix.declare.expand import DeclaredCase
from qatrix.declare.selection import Selection, iter_selected, select
from qatrix.declare.sharding import Shard
from qatrix.declare.spec import Matrix
from qatrix.errors import UsageError
from qatrix.expressions import Value
from support import specs


def matrix() -> Matrix:
    """Two suites: conv_bn with eight cases and merged points, models with one."""
    axes: Mapping[str, Sequence[Value]] = {
        "pattern": ["conv_bn", "resnet18"],
        "conv": ["conv", "conv_transpose"],
        "dim": [1, 2],
        "quantizer": ["int8", "int4"],
    }
    suites = (
        specs.suite("conv_bn", axes),
        specs.suite("models", {"pattern": ["resnet18"], "quantizer": ["int8"], "device": ["cuda"]}),
        specs.suite("plain", exclude=(specs.rule({"dim": [3]}, because="x"),)),
    )
    quantizers = [specs.quantizer("int8"), specs.quantizer("int4")]
    return specs.matrix(*suites, patterns=[specs.pattern(), specs.factory()], quantizers=quantizers)


def selected(cases: Sequence[str] = (), only: Sequence[str] = ()) -> list[str]:
    return [case.case_id for case in select(matrix(), Selection.parse(cases, only)).cases]


def complaint(cases: Sequence[str] = (), only: Sequence[str] = ()) -> str:
    with pytest.raises(UsageError) as caught:
        selected(cases, only)
    return str(caught.value)


def test_no_selector_selects_everything() -> None:
    assert len(selected()) == 12


def test_an_id_selects_its_case() -> None:
    case_id = "conv_bn/conv_bn/conv=conv,dim=1,quantizer=int8,device=cpu"
    assert selected([case_id]) == [case_id]


def test_a_case_needs_one_of_the_globs() -> None:
    assert selected(["models", "*resnet18*int4*"]) == [
        "conv_bn/resnet18/quantizer=int4,device=cpu",
        "models/resnet18/quantizer=int8,device=cuda",
    ]


def test_a_case_needs_a_value_of_every_axis() -> None:
    assert selected(only=["dim=2", "quantizer=int4", "conv=conv_transpose"]) == [
        "conv_bn/conv_bn/conv=conv_transpose,dim=2,quantizer=int4,device=cpu"
    ]


@pytest.mark.parametrize("only", [["dim=1,2"], ["dim=1", "dim=2"], ["dim=1", "dim=1,2"]], ids=str)
def test_any_of_several_values_will_do(only: list[str]) -> None:
    assert len(selected(only=only)) == 9


def test_a_case_without_the_axis_is_not_selected() -> None:
    assert not any("resnet18" in case_id for case_id in selected(only=["dim=1,2"]))


def test_a_case_of_a_suite_that_leaves_conv_out_has_the_default_conv() -> None:
    assert "plain/conv_bn/dim=2,quantizer=int8,device=cpu" in selected(only=["conv=conv"])


def test_globs_and_axes_must_both_fit() -> None:
    assert selected(["conv_bn/resnet18"], ["quantizer=int8"]) == ["conv_bn/resnet18/quantizer=int8,device=cpu"]


@pytest.mark.parametrize("text", ["dim", "dim=", "=2", "dim=1,,2", "", "di m=2", "dim=1,"])
def test_a_malformed_axis_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected AXIS=VALUE, for instance --only dim=2 or --only dim=1,2"):
        Selection.parse((), [text])


def test_an_empty_glob_is_refused() -> None:
    with pytest.raises(UsageError, match="expected a glob over case ids"):
        Selection.parse([""])


def test_what_is_dropped_comes_with_the_suites_of_selected_cases() -> None:
    assert [item.because for item in select(matrix(), Selection.parse(["conv_bn"])).dropped] == [
        "pattern resnet18 does not take conv or dim"
    ]
    assert select(matrix(), Selection.parse(["models"])).dropped == ()


def test_problems_are_those_of_the_whole_matrix() -> None:
    (problem,) = select(matrix(), Selection.parse(["models"])).problems
    assert "stale exclude" in problem.message


def test_all_declared_ids_are_known_whatever_is_selected() -> None:
    assert list(select(matrix(), Selection.parse(["models"])).declared) == selected()


def test_cases_are_selected_one_by_one() -> None:
    assert isinstance(next(iter_selected(matrix(), Selection.parse(["conv_bn", "nonsense"]))), DeclaredCase)


def test_a_selection_matches_the_cases_that_it_selects() -> None:
    selection = Selection.parse(["*resnet18*"], ["device=cpu"])
    whole = select(matrix(), Selection()).cases
    assert tuple(case for case in whole if selection.matches(case)) == select(matrix(), selection).cases


@pytest.mark.parametrize(
    ("glob", "reason"),
    [
        pytest.param(
            "modelss/*",
            "there is no suite 'modelss' (known: conv_bn, models, plain); did you mean 'models'?",
            id="suite",
        ),
        pytest.param("mox*", "no suite begins with 'mox' (known: conv_bn, models, plain)", id="head of a suite"),
        pytest.param(
            "conv_bn/resnet/*",
            "suite 'conv_bn' has no pattern 'resnet' (known: conv_bn, resnet18); did you mean 'resnet18'?",
            id="pattern",
        ),
        pytest.param("conv_bn/conv_bn/*dim=4,*", "no case has dim=4 (known: 1, 2)", id="value"),
        pytest.param("*dim=4*", "no case has dim=4 (known: 1, 2)", id="value anywhere"),
        pytest.param(
            "models/*dim=2*",
            "no case has an axis 'dim' (known: device, pattern, quantizer)",
            id="axis that the suite does not have",
        ),
        pytest.param(
            "models/resnet18/quantiser=int8,*",
            "no case has an axis 'quantiser' (known: device, pattern, quantizer); did you mean 'quantizer'?",
            id="axis",
        ),
        pytest.param(
            "models/resnet18/device=cuda,quantizer=int8",
            "no case id fits; one of this suite is models/resnet18/quantizer=int8,device=cuda",
            id="order",
        ),
        pytest.param("*device=cuda*int4*", "no case id fits; `qatrix list` prints them all", id="no such combination"),
    ],
)
def test_a_glob_that_matches_nothing_is_explained(glob: str, reason: str) -> None:
    assert complaint([glob]) == f"--case {glob}: {reason}"


@pytest.mark.parametrize(
    ("only", "reason"),
    [
        pytest.param(
            "dims=2",
            "no case has an axis 'dims' (known: conv, device, dim, pattern, quantizer); did you mean 'dim'?",
            id="axis",
        ),
        pytest.param(
            "quantizer=in8",
            "no case has quantizer=in8 (known: int4, int8); did you mean 'int8'?",
            id="value",
        ),
    ],
)
def test_a_value_that_matches_nothing_is_explained(only: str, reason: str) -> None:
    assert complaint(only=[only]) == f"--only {only}: {reason}"


def test_every_selector_that_matches_nothing_is_named() -> None:
    lines = complaint(["nonsense", "models", "rubbish"], ["dim=2,5", "device=xpu"]).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "--case nonsense",
        "--case rubbish",
        "--only dim=5",
        "--only device=xpu",
    ]


def test_selectors_that_fit_only_one_by_one_are_counted() -> None:
    assert complaint(["models"], ["quantizer=int4"]) == (
        "no case fits all selectors at once: --case models fits 1, --only quantizer=int4 fits 5"
    )


def test_a_matrix_without_cases_says_so() -> None:
    message = "the matrix declares no case: no suite is in a.yaml, b.yaml; declare one under suites:"
    with pytest.raises(UsageError, match=message):
        select(replace(specs.matrix(), files=("a.yaml", "b.yaml")), Selection())


def test_a_matrix_whose_suites_have_other_tags_says_which_tag_none_has() -> None:
    suite = specs.suite("models", {"pattern": ["conv_bn"], "dim": [2], "quantizer": ["int8"]}, tags=("models",))
    with pytest.raises(UsageError, match="no suite has the tag default; --tag full takes every suite"):
        select(specs.matrix(suite), Selection())


@pytest.mark.parametrize("glob", ["{a,b}" * 13 + "x" * 100_000, "{a,b}" * 12 + "x" * 1_900, "*" * 2_001])
def test_a_glob_without_bounds_is_refused_before_anything_is_expanded(glob: str) -> None:
    with pytest.raises(UsageError, match=r"the glob .{60} (has|stands for)"):
        Selection.parse(cases=[glob])


def test_a_value_of_many_digits_is_a_value_that_no_case_has() -> None:
    with pytest.raises(UsageError, match="no case has dim=9"):
        selected(only=[f"dim={'9' * 5_000}"])


def test_a_wrong_matrix_is_not_blamed_on_the_selection() -> None:
    wrong = specs.matrix(specs.suite("s", {"pattern": ["conv_bn"], "quantizer": ["int8"]}))
    found = select(wrong, Selection.parse(["s"]))
    assert [problem.severity for problem in found.problems] == ["error"]


def test_shards_share_a_selection_and_keep_its_order() -> None:
    selection = Selection.parse(only=["conv=conv,conv_transpose"])
    whole = select(matrix(), selection)
    shards = [select(matrix(), selection, Shard(index, 3)) for index in (1, 2, 3)]
    placed = {place: case for shard in shards for place, case in zip(shard.ordinals, shard.cases)}

    assert sum(len(shard.cases) for shard in shards) == len(whole.cases) == len(placed)
    assert tuple(placed[place] for place in whole.ordinals) == whole.cases


def test_a_shard_may_be_empty_and_has_what_the_selection_dropped() -> None:
    whole = select(matrix(), Selection.parse(["models"]))
    sizes = []
    for index in (1, 2):
        shard = select(matrix(), Selection.parse(["models"]), Shard(index, 2))
        sizes.append(len(shard.cases))
        assert (shard.dropped, shard.problems, shard.declared) == (whole.dropped, whole.problems, whole.declared)

    assert sorted(sizes) == [0, 1]


def test_selectors_that_select_the_same_read_the_same() -> None:
    first = Selection.parse(["b", "a"], ["quantizer=int8", "dim=2,1"])
    second = Selection.parse(["a", "b", "a"], ["dim=1", "quantizer=int8", "dim=2"])

    assert first.selectors == second.selectors == ("--case a", "--case b", "--only dim=1,2", "--only quantizer=int8")


def tagged() -> Matrix:
    """A suite of each kind: without a tag, with one, with two."""
    axes: Mapping[str, Sequence[Value]] = {"pattern": ["conv_bn"], "dim": [1, 2], "quantizer": ["int8"]}
    return specs.matrix(
        specs.suite("plain", axes),
        specs.suite("slow", axes, tags=("full",)),
        specs.suite("quick", axes, tags=("smoke", "default")),
        patterns=[specs.pattern()],
        quantizers=[specs.quantizer("int8")],
    )


@pytest.mark.parametrize(
    ("tags", "cases", "suites"),
    [
        ((), (), ["plain", "quick"]),
        (("smoke",), (), ["quick"]),
        (("full",), (), ["plain", "slow", "quick"]),
        (("smoke", "full"), (), ["plain", "slow", "quick"]),
        ((), ("slow",), ["slow"]),
    ],
)
def test_a_tag_takes_suites(tags: Sequence[str], cases: Sequence[str], suites: list[str]) -> None:
    found = select(tagged(), Selection.parse(cases, (), tags)).cases

    assert list(dict.fromkeys(case.suite for case in found)) == suites


def test_what_has_none_of_the_tags_is_counted_with_its_reason() -> None:
    (dropped,) = select(tagged(), Selection()).dropped

    assert (dropped.kind, dropped.suite, dropped.count) == ("untagged", "slow", 2)
    assert dropped.because == "its tags are full; --tag full takes them"


def test_a_tag_that_no_suite_has_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"--tag smok: no suite has it \(known: .*smoke.*\); .*'smoke'"):
        select(tagged(), Selection.parse(tags=["smok"]))


def test_the_default_tag_is_no_selector_and_others_are() -> None:
    assert Selection.parse(tags=["default"]).selectors == ()
    assert Selection.parse(only=["dim=1"], tags=["full"], strength=2).selectors == (
        "--only dim=1",
        "--strength 2",
        "--tag full",
    )


def test_a_covering_counts_what_it_leaves_out() -> None:
    found = select(matrix(), Selection.parse(strength=1))
    left_out = sum(item.count for item in found.dropped if item.kind == "covered")

    assert found.covering is not None
    assert found.covering.covered == found.covering.occurring
    assert left_out == found.covering.total - len(found.cases) > 0


def test_shards_of_a_covering_are_slices_of_it() -> None:
    whole = select(matrix(), Selection.parse(strength=1)).cases
    parts = [select(matrix(), Selection.parse(strength=1), Shard(index=index, count=2)).cases for index in (1, 2)]

    assert sorted(case.case_id for part in parts for case in part) == sorted(case.case_id for case in whole)
