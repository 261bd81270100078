"""Quantizers that installed distributions register: found by metadata, named in YAML, never imported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qatrix.declare.load import Loaded, load
from qatrix.declare.registrations import QUANTIZERS, named, registrations
from qatrix.declare.spec import Part, Pt2ePreset, Registration
from support.distributions import install

Install = Callable[..., None]
# Whoever imports it, ends.
DEADLY = "import sys\nsys.exit(9)\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution of that name with these entry points."""

    def make(name: str, *points: str, **more: str) -> None:
        monkeypatch.syspath_prepend(install(tmp_path / f"installed-{name}", name, *points, code=DEADLY, **more))

    return make


def loaded(tmp_path: Path, quantizer: str, more: str = "", consents: tuple[str, ...] = ()) -> Loaded:
    path = tmp_path / "m.yaml"
    path.write_text(f"quantizers:\n  q:\n    mode: ptq\n    pt2e: {{quantizer: {quantizer}{more}}}\n")
    return load([path], allowed_modules=consents)


def preset(tmp_path: Path, quantizer: str, more: str = "", consents: tuple[str, ...] = ()) -> Pt2ePreset:
    found = loaded(tmp_path, quantizer, more, consents)
    assert found.matrix is not None, found.problems
    made = found.matrix.quantizers["q"].pt2e
    assert isinstance(made, Pt2ePreset)
    return made


@pytest.mark.parametrize("name", ["Mine", "My-Dist.Mine", "my_dist.Mine", "my.dist.Mine"])
def test_a_registered_quantizer_is_named_without_consent_and_not_imported(
    tmp_path: Path, installed: Install, name: str
) -> None:
    installed("My-Dist", "Mine = my_dist_code:Deep.Quantizer [extra]", version="2.1")
    made = preset(tmp_path, name, ", config: {bits: 4, sizes: [1, 2], kind: text}")

    assert made.registration == Registration(
        name="Mine", module="my_dist_code", attribute="Deep.Quantizer", distribution="My-Dist", version="2.1"
    )
    assert made.place == ("my_dist_code", "Deep.Quantizer")
    assert made.config == {"bits": 4, "sizes": (1, 2), "kind": "text"}
    assert made.runs_own_code
    assert "my_dist_code" not in sys.modules


def test_a_name_that_two_distributions_register_names_both(tmp_path: Path, installed: Install) -> None:
    installed("one", "Mine = one_code:Quantizer")
    installed("two", "Mine = two_code:Quantizer", version="3.0")
    (problem,) = loaded(tmp_path, "Mine").problems

    assert str(problem.source).endswith("m.yaml:4:23")
    assert problem.message == "the quantizer 'Mine' is registered by two 3.0 and one 1.0"
    assert problem.expected == "two.Mine or one.Mine"
    assert preset(tmp_path, "one.Mine").place == ("one_code", "Quantizer")
    assert preset(tmp_path, "two.Mine").place == ("two_code", "Quantizer")


def test_a_distribution_that_registers_a_name_twice_is_told(tmp_path: Path, installed: Install) -> None:
    installed("one", "Mine = one_code:First", "Mine = one_code:Second")
    (problem,) = loaded(tmp_path, "Mine").problems

    assert problem.message == "the quantizer 'Mine' is registered twice by one 1.0"
    assert problem.expected == "each name once in a distribution's entry points"


@pytest.mark.parametrize("value", ["one_code", "one_code:", "one_code:a b", "one code:Quantizer", "one_code:x()"])
def test_an_entry_point_that_names_no_class_is_told(tmp_path: Path, installed: Install, value: str) -> None:
    installed("one", f"Mine = {value}")
    (problem,) = loaded(tmp_path, "Mine").problems

    assert problem.message.startswith("one 1.0 registers 'Mine' as 'one")
    assert problem.message.endswith("', which names no class")
    assert problem.expected == "module:Class in its entry point"


def test_a_built_in_keeps_its_name(tmp_path: Path, installed: Install) -> None:
    installed("one", "XNNPACKQuantizer = one_code:Quantizer")

    assert preset(tmp_path, "XNNPACKQuantizer").registration is None
    assert not preset(tmp_path, "XNNPACKQuantizer").runs_own_code
    assert preset(tmp_path, "one.XNNPACKQuantizer").place == ("one_code", "Quantizer")


def test_a_name_that_is_almost_registered_is_told(tmp_path: Path, installed: Install) -> None:
    installed("one", "MyQuantizer = one_code:Quantizer")
    (problem,) = loaded(tmp_path, "MyQuantiser").problems

    assert problem.message == "unknown quantizer 'MyQuantiser'"
    assert problem.hint == "did you mean 'MyQuantizer'?"


def test_a_path_of_the_users_own_needs_consent_and_a_registered_one_does_not(
    tmp_path: Path, installed: Install
) -> None:
    installed("one", "Mine = one_code:Quantizer")
    (problem,) = loaded(tmp_path, "one_code.Quantizer").problems

    assert problem.message == "the quantizer 'one_code.Quantizer' may not be used without your consent"
    assert str(problem.hint).startswith("--allow-module one_code allows it")
    assert preset(tmp_path, "one_code.Quantizer", consents=("one_code",)).place == ("one_code", "Quantizer")
    assert "one_code" not in sys.modules


def test_a_configuration_function_needs_consent_also_of_a_registered_class(tmp_path: Path, installed: Install) -> None:
    installed("one", "Mine = one_code:Quantizer")
    (problem,) = loaded(tmp_path, "Mine", ", config_from: one_code.config").problems

    assert problem.message == "the configuration function 'one_code.config' may not be used without your consent"
    assert preset(tmp_path, "Mine", ", config_from: one_code.config", ("one_code",)).config_from == "one_code.config"


def test_a_built_in_with_a_configuration_of_the_users_own_runs_own_code(tmp_path: Path) -> None:
    made = preset(tmp_path, "XNNPACKQuantizer", ", config_from: a.config, config: {bits: 4}", ("a",))

    assert made.built_in is not None
    assert made.runs_own_code


def test_other_groups_are_not_quantizers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install(tmp_path / "other", "other", code=None)
    (folder / "other-1.0.dist-info" / "entry_points.txt").write_text("[qatrix.models]\nMine = other_code:Model\n")
    monkeypatch.syspath_prepend(folder)

    assert named("Mine", QUANTIZERS) == ()
    assert "Mine" in registrations("qatrix.models")


def test_a_configuration_of_a_part_needs_a_function_that_makes_it(tmp_path: Path, installed: Install) -> None:
    installed("one", "Mine = one_code:Quantizer")
    parts = ", modules: {head: {bits: 4}, body: float}"
    (problem,) = loaded(tmp_path, "Mine", parts).problems
    made = preset(tmp_path, "Mine", f", config_from: one_code.config{parts}", consents=("one_code",))

    assert problem.message == "nothing makes a configuration for 'head' of its arguments"
    assert problem.expected == "config_from: the function that does, or float"
    assert made.modules == (Part(name="head", setting={"bits": 4}), Part(name="body", setting=None))
