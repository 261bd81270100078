"""What several tests of cases share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.warm import Warm, warm


@pytest.fixture(scope="session")
def scripts() -> Iterator[Warm]:
    """What runs scripts without importing torch for each."""
    with warm() as host:
        yield host
