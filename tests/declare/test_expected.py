from __future__ import annotations

from collections.abc import Sequence

import pytest

from qatrix.claims import Expectation
from qatrix.declare.expected import ExpectationTable
from support import specs
from support.problems import as_text

CASE = "fusion/conv_bn/conv=conv_transpose,dim=2,device=cpu"
ON_CUDA = "fusion/conv_bn/conv=conv_transpose,dim=2,device=cuda"


def table(*items: Expectation, torch: str | None = "2.15.0", torchao: str | None = "0.18.0") -> ExpectationTable:
    return ExpectationTable(items, {"torch": torch, "torchao": torchao}, {})


def stale(items: Sequence[Expectation], *case_ids: str) -> str:
    return as_text(table(*items).stale(case_ids))


def test_an_expectation_applies_to_the_cases_that_its_glob_fits() -> None:
    item = specs.expectation("fusion/*/conv=conv_transpose,*")
    assert table(item).for_case(CASE, "cpu") == item
    assert table(item).for_case(CASE.replace("conv_transpose", "conv"), "cpu") is None


def test_the_first_that_applies_wins() -> None:
    items = [specs.expectation(glob, because=glob) for glob in ("other/*", "fusion/*", CASE, "*")]
    assert table(*items).for_case(CASE, "cpu") == items[1]


def test_an_exact_id_after_a_glob_does_not_overtake_it() -> None:
    items = [specs.expectation(CASE, because="exact"), specs.expectation("*", because="all")]
    assert table(*items).for_case(CASE, "cpu") == items[0]
    assert table(*reversed(items)).for_case(CASE, "cpu") == items[1]


@pytest.mark.parametrize(
    ("version", "specifier"),
    [
        pytest.param("2.15.0", ">=2.5", id="release"),
        pytest.param("2.13.0+cpu", ">=2.13", id="local version, lower bound"),
        pytest.param("2.13.0+cpu", "<=2.13", id="local version, upper bound"),
        pytest.param("2.13.0+cu130", "==2.13.*", id="local version, series"),
        pytest.param("2.9.0", ">=2.5,<2.10", id="two bounds"),
        pytest.param("2.16.0.dev20260701+cpu", ">=2.16", id="nightly of the release"),
        pytest.param("2.16.0a0+gitabc", ">=2.16", id="build from source"),
        pytest.param("2.16.0.dev20260701", ">2.15,<2.17", id="nightly between"),
        pytest.param("2.16.0.dev20260701", ">=2.16.0.dev20260601", id="specifier of a nightly"),
    ],
)
def test_a_version_fits(version: str, specifier: str) -> None:
    item = specs.expectation("*", torch=specifier)
    assert table(item, torch=version).for_case(CASE, "cpu") == item


@pytest.mark.parametrize(
    ("version", "specifier"),
    [
        pytest.param("2.4.1", ">=2.5", id="too old"),
        pytest.param("2.13.0+cpu", "<2.13", id="local version"),
        pytest.param("2.16.0.dev20260701", "<2.16", id="nightly of the release"),
        pytest.param("2.16.0.dev20260501", ">=2.16.0.dev20260601", id="older nightly"),
        pytest.param("unknown", ">=2.5", id="no version"),
        pytest.param(None, ">=2.5", id="not installed"),
    ],
)
def test_a_version_does_not_fit(version: str | None, specifier: str) -> None:
    assert table(specs.expectation("*", torch=specifier), torch=version).for_case(CASE, "cpu") is None


def test_a_condition_on_torchao_does_not_hold_without_torchao() -> None:
    item = specs.expectation("*", torchao=">=0.1")
    assert table(item).for_case(CASE, "cpu") == item
    assert table(item, torchao=None).for_case(CASE, "cpu") is None
    assert ExpectationTable([item], {"torch": "2.15.0"}, {}).for_case(CASE, "cpu") is None


def test_without_conditions_versions_do_not_matter() -> None:
    item = specs.expectation("*")
    assert table(item, torch=None, torchao=None).for_case(CASE, "cpu") == item


def test_an_expectation_of_a_device_holds_only_there() -> None:
    items = [specs.expectation("*", device="cuda"), specs.expectation("*", because="elsewhere")]
    assert table(*items).for_case(ON_CUDA, "cuda") == items[0]
    assert table(*items).for_case(CASE, "cpu") == items[1]


def test_an_expectation_that_fits_no_case_is_stale() -> None:
    item = specs.expectation("fusion/*/conv=conv_transposed,*", source=specs.source(6))
    assert stale([item], CASE) == (
        "matrix/test.yaml:6:1: warning: stale expectation: no declared case fits fusion/*/conv=conv_transposed,*\n"
        "    at expected\n"
        "    expected a glob over case ids; `qatrix list` prints them\n"
    )


def test_an_expectation_of_a_runtime_holds_only_there() -> None:
    deployed = CASE.replace("dim=2", "dim=2,runtime=xnnpack")
    items = [specs.expectation("*", runtime="xnnpack"), specs.expectation("*", runtime="reference")]

    assert table(*items).for_case(deployed, "cpu") == items[0]
    assert table(*items).for_case(deployed.replace("xnnpack", "reference"), "cpu") == items[1]
    assert table(*items).for_case(CASE, "cpu") == items[1]
    assert table(items[1]).for_case(deployed, "cpu") is None
    assert "no declared case fits *" in stale([items[0]], CASE)


def test_an_expectation_of_a_device_that_no_case_has_is_stale() -> None:
    item = specs.expectation("*", device="cuda")
    assert "no declared case fits * on device cuda" in stale([item], CASE)
    assert stale([item], CASE, ON_CUDA) == ""


def test_an_expectation_of_a_processor_holds_where_each_of_its_features_is_as_it_says() -> None:
    items = [specs.expectation("*", cpu={"vnni": False, "avx512": True}), specs.expectation("*", because="elsewhere")]

    def on(**cpu: bool) -> Expectation | None:
        return ExpectationTable(items, {}, cpu).for_case(CASE, "cpu")

    assert on(vnni=False, avx512=True, amx=True) == items[0]
    assert on(vnni=True, avx512=True) == items[1]
    assert on(vnni=False, avx512=False) == items[1]
    # Runs of older releases do not know.
    assert on(vnni=False) == items[1]
    assert on() == items[1]


def test_a_condition_on_onnxruntime_is_one_more_on_a_package() -> None:
    item = specs.expectation("*", onnxruntime=">=1.30")
    absent = specs.expectation("*", onnxruntime="none")

    assert ExpectationTable([item], {"onnxruntime": "1.32.0"}, {}).for_case(CASE, "cpu") == item
    assert ExpectationTable([item, absent], {"onnxruntime": None}, {}).for_case(CASE, "cpu") == absent


def test_an_expectation_of_another_processor_is_not_stale_and_hides_only_those_of_the_same() -> None:
    plain, without, more = (
        specs.expectation("*", cpu=cpu) for cpu in ({}, {"vnni": False}, {"vnni": False, "amx": False})
    )

    assert stale([without], CASE) == ""
    assert stale([without, plain], CASE) == ""
    assert stale([more, without], CASE) == ""
    assert "comes first for every case" in stale([without, more], CASE)
    assert "comes first for every case" in stale([plain, without], CASE)


def test_an_expectation_of_another_release_is_not_stale() -> None:
    assert stale([specs.expectation("*", torch=">=99")], CASE) == ""


def test_an_expectation_that_an_earlier_one_always_hides_is_stale() -> None:
    items = [
        specs.expectation("fusion/*", source=specs.source(3)),
        specs.expectation(CASE, source=specs.source(9)),
    ]
    assert stale(items, CASE, ON_CUDA) == (
        "matrix/test.yaml:9:1: warning: stale expectation: the one at matrix/test.yaml:3:1 comes first for every case"
        f" of {CASE}\n"
        "    at expected\n"
        "    expected a case that no earlier expectation covers\n"
    )


def test_an_expectation_that_is_hidden_for_some_cases_is_not_stale() -> None:
    assert stale([specs.expectation(CASE), specs.expectation("fusion/*")], CASE, ON_CUDA) == ""


def test_several_earlier_ones_together_can_hide_one() -> None:
    items = [specs.expectation(glob) for glob in (CASE, ON_CUDA, "fusion/*")]
    assert "comes first for every case of fusion/*" in stale(items, CASE, ON_CUDA)


@pytest.mark.parametrize(
    ("earlier", "later", "hidden"),
    [
        pytest.param({"torch": ">=2.5"}, {"torch": "<2.5"}, False, id="other versions"),
        pytest.param({"torch": ">=2.5"}, {"torch": ">=2.5"}, True, id="same versions"),
        pytest.param({"torch": ">=2.5"}, {}, False, id="narrower first"),
        pytest.param({}, {"torch": ">=2.5"}, True, id="wider first"),
        pytest.param({"device": "cpu"}, {}, True, id="device that all cases have"),
        pytest.param({"torchao": ">=0.1"}, {"torch": ">=2.5"}, False, id="other package"),
    ],
)
def test_only_an_expectation_that_holds_wherever_the_later_one_does_hides_it(
    earlier: dict[str, str], later: dict[str, str], hidden: bool
) -> None:
    assert bool(stale([specs.expectation("*", **earlier), specs.expectation("*", **later)], CASE)) is hidden


def test_a_table_without_expectations_expects_nothing() -> None:
    assert table().for_case(CASE, "cpu") is None
    assert table().stale([CASE]) == ()
