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


@pytest.fixture(scope="module")
def as_in_a_worker() -> Iterator[None]:
    """Cases run as a worker runs them: one thread, and what torch makes anew for every case is remembered.

    Threads that wait for each other take a fifth of the processor time of cases as small as those of tests.
    """
    import torch

    from qatrix.execute.options import Execution
    from qatrix.execute.workers import torch_ready

    threads = torch.get_num_threads()
    with torch_ready(Execution()):
        yield
    torch.set_num_threads(threads)
