"""Tolerances that were loosened or are being used up are told."""

from __future__ import annotations

import pytest

from qatrix.report.ledger import Ledger, Line, ledger_warnings


def ledger(run_id: str, **lines: tuple[float, float, float | None]) -> Ledger:
    made = {name: Line(rtol=rtol, atol=atol, used=used) for name, (rtol, atol, used) in lines.items()}
    return Ledger(run_id=run_id, lines=made)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param((0.0, 1e-5, 0.2), (0.0, 1e-5, 0.2), (), id="nothing changed"),
        pytest.param((0.0, 1e-3, 0.2), (0.0, 1e-5, 0.9), ("1 comparison uses much more of the tolerance than in run old: case, 20 % of it then and 90 % now",), id="tightened and used up"),
        pytest.param((0.0, 1e-5, 0.4), (0.0, 1e-5, 0.8), ("1 comparison uses much more of the tolerance than in run old: case, 40 % of it then and 80 % now",), id="eroding"),
        pytest.param((0.0, 1e-5, 0.1), (0.0, 1e-5, 0.4), (), id="still far from its end"),
        pytest.param((0.0, 1e-5, 0.8), (0.0, 1e-5, 0.9), (), id="hardly more"),
        pytest.param((0.0, 1e-5, 0.0), (0.0, 1e-5, float("inf")), ("1 comparison uses much more of the tolerance than in run old: case, 0 % of it then and ∞ % now",), id="infinite"),
        pytest.param((0.0, 1e-5, None), (0.0, 1e-5, 0.9), (), id="not measured before"),
        pytest.param((0.0, 1e-5, 0.9), (0.1, 1e-3, 0.1), ("1 tolerance was loosened since run old: case, rtol 0 → 0.1 and atol 1e-05 → 0.001",), id="loosened"),
    ],
)  # fmt: skip
def test_what_became_worse_is_told(
    before: tuple[float, float, float | None], after: tuple[float, float, float | None], told: tuple[str, ...]
) -> None:
    assert ledger_warnings(ledger("old", case=before), ledger("new", case=after)) == told


def test_many_are_counted_and_a_few_named() -> None:
    old = ledger("old", **{f"case{n}": (0.0, 1e-5, 0.1) for n in range(5)})
    new = ledger("new", **{f"case{n}": (0.0, 1e-3, 0.1) for n in range(5)}, other=(0.0, 1.0, 0.9))
    (warning,) = ledger_warnings(old, new)

    assert warning.startswith("5 tolerances were loosened since run old: case0, atol 1e-05 → 0.001; case1, ")
    assert warning.endswith("; and 2 more")
