"""Models that installed distributions register: named in a pattern without consent, never imported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qatrix.declare.load import Loaded, load
from qatrix.declare.selection import Selection, select
from qatrix.declare.source import case_source
from qatrix.declare.spec import PatternSpec, Registration
from qatrix.declare.trial import Trial, TriedInput, model_path
from support.distributions import install

Install = Callable[..., None]
# Whoever imports it, ends.
DEADLY = "import sys\nsys.exit(9)\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution of that name with these models."""

    def make(name: str, *points: str, **more: str) -> None:
        folder = tmp_path / f"installed-{name}"
        monkeypatch.syspath_prepend(install(folder, name, *points, code=DEADLY, group="qatrix.models", **more))

    return make


def loaded(tmp_path: Path, name: str, *, args: str = "{}", allowed: tuple[str, ...] = ()) -> Loaded:
    path = tmp_path / "m.yaml"
    path.write_text(
        f"patterns:\n  p: {{model: {name}, args: {args}, inputs: {{x: {{shape: [1, 4]}}}}}}\n"
        "quantizers: {q: {mode: ptq, pt2e: {quantizer: XNNPACKQuantizer}}}\n"
        "suites: {s: {axes: {pattern: p, quantizer: q}}}\n"
    )
    return load([path], allowed_modules=allowed)


def pattern(found: Loaded) -> PatternSpec:
    assert found.matrix is not None, found.problems
    return found.matrix.patterns["p"]


@pytest.mark.parametrize("name", ["net", "My-Dist.net", "my_dist.net"])
def test_a_registered_model_is_named_without_consent_and_not_imported(
    tmp_path: Path, installed: Install, name: str
) -> None:
    installed("My-Dist", "net = my_dist_code:models.net", version="2.1")
    # An argument that loads weights is what torchvision's models may not have.
    made = pattern(loaded(tmp_path, name, args="{weights: all}"))

    assert made.registration == Registration(
        name="net", module="my_dist_code", attribute="models.net", distribution="My-Dist", version="2.1"
    )
    assert made.place == ("my_dist_code", "models.net")
    assert made.runs_own_code
    assert "my_dist_code" not in sys.modules


def test_a_model_that_two_distributions_register_names_both(tmp_path: Path, installed: Install) -> None:
    installed("one", "net = one_code:net")
    installed("two", "net = two_code:net", version="3.0")
    (problem,) = loaded(tmp_path, "net").problems

    assert problem.message == "the model 'net' is registered by two 3.0 and one 1.0"
    assert problem.expected == "two.net or one.net"
    assert pattern(loaded(tmp_path, "one.net")).place == ("one_code", "net")


def test_an_entry_point_that_names_no_function_is_told(tmp_path: Path, installed: Install) -> None:
    installed("one", "net = one_code:net()")
    (problem,) = loaded(tmp_path, "net").problems

    assert problem.message == "one 1.0 registers 'net' as 'one_code:net()', which names no class or function"
    assert problem.expected == "module:name in its entry point"


def test_a_model_that_is_almost_registered_is_told(tmp_path: Path, installed: Install) -> None:
    installed("one", "perceptron = one_code:net")
    (problem,) = loaded(tmp_path, "perceptrom").problems

    assert (problem.message, problem.hint) == ("unknown model 'perceptrom'", "did you mean 'perceptron'?")


def test_a_model_of_torchvisions_keeps_its_name(tmp_path: Path, installed: Install) -> None:
    installed("torchvision-models", "resnet18 = torchvision_models_code:net")

    assert pattern(loaded(tmp_path, "torchvision.models.resnet18", args="{weights: null}")).registration is None


def test_a_script_calls_a_registered_model_where_it_is_and_says_what_brings_it(
    tmp_path: Path, installed: Install
) -> None:
    installed("one", "net = one_code:models.net")
    found = loaded(tmp_path, "net", args="{width: 8}")
    assert found.matrix is not None
    (case,) = select(found.matrix, Selection()).cases
    source = case_source(case, taken=frozenset())

    assert source.model == "one_code.models.net(width=8)"
    assert source.packages == ("one_code: it comes with one 1.0",)


@pytest.mark.parametrize(("text", "path"), [("net", "net"), ("my-dist:net", "my-dist.net"), ("a.b:c", "a.b.c")])
def test_naming_a_registered_model_to_try_it_is_no_consent_to_a_module(
    installed: Install, text: str, path: str
) -> None:
    installed("My-Dist", "net = my_dist_code:net")
    trial = Trial(model=model_path(text), arguments={}, inputs=(TriedInput((1, 4)),), quantizers=("q",))

    assert trial.model == path
    assert trial.consents == (() if "net" in text else ("a.b.c",))
