from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatrix.declare.globs import GlobIndex, alternatives, compiled
from qatrix.errors import UsageError

CASE = "conv_bn/conv_bn_relu/conv=conv_transpose,dim=2,bias=true,quantizer=int8,device=cpu"


@pytest.mark.parametrize(
    "glob",
    [
        pytest.param(CASE, id="the id itself"),
        pytest.param("*", id="all"),
        pytest.param("conv_bn/*", id="star crosses commas"),
        pytest.param("conv*device=cpu", id="star crosses slashes"),
        pytest.param("*/conv_bn_relu/*dim=?,*", id="question mark"),
        pytest.param("*dim=[12],*", id="set of characters"),
        pytest.param("*dim=[!1],*", id="all but a set of characters"),
        pytest.param("*dim={1,2},*", id="braces"),
        pytest.param("{a,{conv_,x}bn}/*", id="braces in braces"),
        pytest.param("conv_bn", id="suite"),
        pytest.param("conv_bn/", id="suite and slash"),
        pytest.param("conv_bn/conv_bn_relu", id="suite and pattern"),
        pytest.param("{linear,conv_bn}", id="one of two suites"),
        pytest.param("conv_bn/{conv_bn,conv_bn_relu}", id="one of two patterns"),
    ],
)
def test_a_glob_fits(glob: str) -> None:
    assert compiled(glob).fits(CASE)
    assert GlobIndex([glob]).fitting(CASE) == [0]
    assert GlobIndex([glob]).any(CASE)


@pytest.mark.parametrize(
    "glob",
    [
        pytest.param(CASE[:-1], id="a part of the id"),
        pytest.param(f"{CASE},x=1", id="more than the id"),
        pytest.param("conv", id="the beginning of a suite's name"),
        pytest.param("conv_bn/conv_bn", id="the beginning of a pattern's name"),
        pytest.param("CONV_BN/*", id="another case"),
        pytest.param("conv_bn.*", id="no regular expression"),
        pytest.param("*dim={1,3},*", id="braces"),
        pytest.param("{conv_bn", id="a brace that is not closed"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_glob_does_not_fit(glob: str) -> None:
    assert not compiled(glob).fits(CASE)
    assert GlobIndex([glob]).fitting(CASE) == []
    assert not GlobIndex([glob]).any(CASE)


def test_braces_stand_for_alternatives_in_their_order() -> None:
    assert alternatives("a{b,c}{d,}") == ("abd", "ab", "acd", "ac")


def test_too_many_braces_are_refused() -> None:
    with pytest.raises(
        UsageError, match="stands for more than 1,000 globs, or for more than 100,000 characters: write fewer braces"
    ):
        compiled("{a,b}" * 20)


@pytest.mark.parametrize(
    ("glob", "told"),
    [
        pytest.param("{a,b}" * 13 + "x" * 100_000, "has 100,065 characters: write at most 2,000", id="long"),
        pytest.param("{a,b}" * 13 + "x" * 1_000, "stands for more than 1,000 globs", id="many"),
        pytest.param("{a,b}" * 8 + "x" * 1_900, "more than 100,000 characters", id="long in all"),
        pytest.param("{" * 200 + ",".join("a" * 700) + "}" * 200, "more than 100,000 characters", id="nested"),
        pytest.param("{" + "," * 1_500 + "}", "stands for more than 1,000 globs", id="commas"),
    ],
)
def test_globs_without_bounds_are_refused_at_once(glob: str, told: str) -> None:
    started = time.process_time()
    with pytest.raises(UsageError, match=told) as refused:
        alternatives(glob)
    assert len(str(refused.value)) < 250
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("glob", ["{a,b}" * 9 + "x" * 100, "*a" * 1_000, "[" * 2_000, "{" * 2_000, "*" * 2_000])
def test_the_longest_globs_are_compiled_and_fitted_at_once(glob: str) -> None:
    started = time.process_time()
    compiled(glob).fits("conv_bn/conv_bn/" + "a" * 2_000)
    assert time.process_time() - started < 2


def test_an_index_gives_all_that_fit_in_order() -> None:
    globs = ["*", CASE, "linear/*", "conv_bn/*", CASE, "conv_bn"]
    assert GlobIndex(globs).fitting(CASE) == [0, 1, 3, 4, 5]


# Ids as they are, and whatever else has slashes in odd places.
IDS = st.builds(
    "{}/{}/{}".format, *[st.text("ab_", min_size=1, max_size=3)] * 2, st.sampled_from(["a=1", "b=1,a=2"])
) | st.text("ab_/", max_size=5)
GLOBS = st.text("ab_/*?=,12", max_size=8) | st.lists(st.sampled_from(["a", "b", "/", "/*", "*/", "a/b"])).map("".join)


@given(st.lists(GLOBS, max_size=5), IDS)
def test_an_index_agrees_with_its_globs(globs: list[str], case_id: str) -> None:
    assert GlobIndex(globs).fitting(case_id) == [
        number for number, glob in enumerate(globs) if compiled(glob).fits(case_id)
    ]


@given(GLOBS.filter(lambda glob: "*" in glob or "?" in glob), IDS)
def test_a_glob_with_a_wildcard_means_what_fnmatch_means(glob: str, case_id: str) -> None:
    assert compiled(glob).fits(case_id) == fnmatch.fnmatchcase(case_id, glob)
