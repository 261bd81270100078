"""Problems as text, one way for all tests."""

from __future__ import annotations

from collections.abc import Iterable

from qatrix.errors import Problem


def as_text(problems: Iterable[Problem]) -> str:
    """Each problem on lines of its own: place and message, then at, expected and hint, indented."""
    return "".join(_lines(problem) for problem in problems)


def _lines(problem: Problem) -> str:
    place = f"{problem.source}: " if problem.source else ""
    warning = "warning: " if problem.severity == "warning" else ""
    parts = [f"{place}{warning}{problem.message}"]
    parts += [f"    at {problem.at}"] if problem.at else []
    parts += [f"    expected {problem.expected}"] if problem.expected else []
    parts += [f"    {problem.hint}"] if problem.hint else []
    return "\n".join(parts) + "\n"
