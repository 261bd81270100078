"""The command: what it measures, prints and writes, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks import __main__ as program
from benchmarks.rows import Benchmark, Row

PAGE = Path(__file__).parents[2] / "docs/benchmarks.md"
Bench = Callable[..., tuple[int, str]]


def reached() -> Iterator[Row]:
    """What is reached."""
    yield Row(what="reached", figure="2 times", reached=True)


def missed() -> Iterator[Row]:
    """What is missed."""
    yield Row(what="missed", figure="0.5 times", reached=False)


def interrupted() -> Iterator[Row]:
    """What takes too long."""
    raise KeyboardInterrupt
    yield


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """Runs the program with stand-ins for the benchmarks; its exit code and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        program, "BENCHMARKS", (Benchmark(name="good", measure=reached), Benchmark(name="bad", measure=missed))
    )
    app = Typer()
    app.command()(program.main)

    def run(*argv: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, argv)
        return result.exit_code, result.output

    return run


def test_the_table_is_printed_and_written(bench: Bench, tmp_path: Path) -> None:
    code, output = bench()

    assert code == 0
    assert "| reached | 2 times |  | ✓ |\n| missed | 0.5 times |  | ✗ |\n" in output
    assert (tmp_path / "reports/benchmarks.md").read_text(encoding="utf-8") in output
    assert len(json.loads((tmp_path / "reports/benchmarks.json").read_text(encoding="utf-8"))["rows"]) == 2


def test_a_missed_reach_fails_only_where_it_is_asked_for(bench: Bench) -> None:
    assert [bench("--strict")[0], bench("--strict", "--only", "good")[0]] == [1, 0]


def test_only_measures_what_is_named(bench: Bench) -> None:
    _, output = bench("--only", "bad")

    assert "missed" in output
    assert "2 times" not in output


def test_an_unknown_name_is_refused_with_those_that_there_are(bench: Bench, tmp_path: Path) -> None:
    code, output = bench("--only", "ugly")

    assert code == 2
    assert "there is no benchmark ugly; there are good, bad" in " ".join(output.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


def test_list_says_what_there_is_and_measures_nothing(bench: Bench, tmp_path: Path) -> None:
    assert bench("--list") == (0, "good        What is reached.\nbad         What is missed.\n")
    assert not list(tmp_path.iterdir())


def test_what_was_measured_before_an_interruption_is_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    benchmarks = (Benchmark(name="good", measure=reached), Benchmark(name="long", measure=interrupted))
    monkeypatch.setattr(program, "BENCHMARKS", benchmarks)

    code, _ = bench()

    assert code != 0
    assert "| reached | 2 times |" in (tmp_path / "reports/benchmarks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("benchmark", program.BENCHMARKS, ids=lambda benchmark: str(benchmark.name))
def test_every_benchmark_is_documented(benchmark: Benchmark) -> None:
    assert benchmark.about.endswith(".")
    assert f"\n| `{benchmark.name}` | " in PAGE.read_text(encoding="utf-8")
