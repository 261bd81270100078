"""What tests of a project use: `assert_case` for a model in hand, and the cases of a matrix as pytest's items."""

from __future__ import annotations

from qatrix.testing.live import assert_case, run_model

__all__ = ["assert_case", "run_model"]
