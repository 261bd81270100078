"""How many mutants, from which seed, and how many there were."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest

from support.fuzzing.campaign import Begin, Campaign
from support.fuzzing.confinement import Confinement

# In the gate: enough to notice what has become wrong, in well under half a minute.
_FEW: Final = 240
_FEW_PARTS: Final = 2
# Parts of a long campaign, which workers share out among themselves.
_PARTS: Final = 8
_COUNTED: Final = "mutants of "


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutants", type=int, help="How many mutants of the shipped YAML there are.")
    parser.addoption("--fuzz-seed", type=int, help="What they are drawn from; the same seed draws the same mutants.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each part of a campaign."""
    if "begin" in metafunc.fixturenames:
        metafunc.parametrize("begin", range(_parts(metafunc.config)), indirect=True, ids=lambda part: f"part{part}")


@pytest.fixture
def begin(request: pytest.FixtureRequest) -> Iterator[Begin]:
    """Begins this part of a campaign: of mutants of what, and of how many mutants of the YAML there is one."""
    begun: list[Campaign] = []
    mutants, seed = _option(request.config, "mutants") or _FEW, _option(request.config, "fuzz_seed") or 0

    def campaign(of: str, *, one_in: int = 1) -> Campaign:
        share = -(-mutants // (_parts(request.config) * one_in))
        begun.append(Campaign(of=of, mutants=share, seed=seed, part=request.param))
        return begun[-1]

    yield campaign
    request.node.user_properties += [(_COUNTED + made.of, made.done) for made in begun]


def _parts(config: pytest.Config) -> int:
    return _FEW_PARTS if _option(config, "mutants") is None else _PARTS


def _option(config: pytest.Config, name: str) -> int | None:
    """An option; None where other folders are tested, too, so that these options came too late."""
    found = config.getoption(name, default=None)
    return None if found is None else int(found)


@pytest.fixture(scope="session")
def declaring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Confinement]:
    """Runs the verbs about declarations."""
    yield from _confinement(
        tmp_path_factory, "qatrix.cli.matrices", "qatrix.console", "qatrix.declare.load", "qatrix.declare.selection"
    )


@pytest.fixture(scope="session")
def reporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Confinement]:
    """Runs the verbs about runs that are done."""
    yield from _confinement(
        tmp_path_factory,
        *("qatrix.cli.documents", "qatrix.cli.merging", "qatrix.console", "qatrix.report.writing"),
        *("qatrix.report.compare", "qatrix.report.history", "qatrix.report.findings", "qatrix.report.merging"),
    )


@pytest.fixture(scope="session")
def referring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Confinement]:
    """Opens references, which takes torch."""
    yield from _confinement(tmp_path_factory, "qatrix.execute.reference", "qatrix.cli.collaborators", "qatrix.console")


def _confinement(factory: pytest.TempPathFactory, *preload: str) -> Iterator[Confinement]:
    if sys.platform != "linux":
        pytest.skip("the limits of a process are Linux's")
    with Confinement(factory.mktemp("home"), preload) as confinement:
        yield confinement


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The numbers, in one line for each kind."""
    counts: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                counts.update({name: int(count) for name, count in report.user_properties if _COUNTED in name})
    for name, count in counts.items():
        of = name.removeprefix(_COUNTED)
        terminalreporter.write_line(f"{count:,} mutants: {of}, seed {_option(config, 'fuzz_seed') or 0}")
