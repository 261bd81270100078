"""The command that runs a case again: what of the run's own command it keeps."""

from __future__ import annotations

import shlex

import pytest
import typer

from qatrix.cli import app
from qatrix.report.again import FLAGS, again, glob_of


@pytest.mark.parametrize(
    ("command", "told"),
    [
        pytest.param("qatrix run", "qatrix run", id="the default matrix"),
        pytest.param("qatrix run mine --allow-module m", "qatrix run mine --allow-module m", id="paths and consents"),
        pytest.param("qatrix run --only dim=2 a b --tag full", "qatrix run a b", id="selectors go"),
        pytest.param("qatrix run --case=x --shard 1/2 -q --resume a", "qatrix run a", id="what is of the run goes"),
        pytest.param(
            "qatrix run --no-pattern-cache --timeout=9 a", "qatrix run --no-pattern-cache --timeout=9 a", id="limits"
        ),
    ],
)
def test_paths_consents_and_limits_are_kept(command: str, told: str) -> None:
    assert again(shlex.split(command), "s/p/dim=1") == f"{told} --case s/p/dim=1 --fresh"


def test_what_was_tried_is_tried_again() -> None:
    assert (
        again(("qatrix", "try", "torch.nn:Linear", "--arg", "a b"), "s/p") == "qatrix try torch.nn:Linear --arg 'a b'"
    )


def test_the_command_is_one_for_a_shell() -> None:
    assert again(("qatrix", "run"), "s/p/a=[1, 2]") == "qatrix run --case 's/p/a=[[]1, 2]' --fresh"
    assert glob_of("s/{a}*?") == "s/?a?[*][?]"


def test_the_options_without_a_value_are_those_of_the_verb() -> None:
    import qatrix.cli.runs  # noqa: F401 - registers the verb

    verb = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]  # a group
    flags = {
        name for item in verb.params if getattr(item, "is_flag", False) for name in (*item.opts, *item.secondary_opts)
    }

    assert flags == FLAGS
