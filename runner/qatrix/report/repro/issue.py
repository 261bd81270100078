"""A bug report about a case, in Markdown: environment, expected, actual, script."""

from __future__ import annotations

from qatrix.outcomes import Environment, Record


def issue_md(script: str, *, record: Record, environment: Environment) -> str:
    raise NotImplementedError
