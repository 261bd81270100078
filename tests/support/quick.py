"""The quick tests: those that need no torch, no browser and no program of their own, to be run between two edits.

With `--quick`, importing anything heavy fails. A module that imports it holds no quick tests; a test that
imports it while it runs fails, and its author marks it `torch`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

# What takes seconds to import, or is not there where tests are quick.
HEAVY: Final = frozenset(
    "torch torchvision torchao executorch onnx onnxscript onnxruntime ray playwright axe_playwright_python".split()
)
SLOW_MARKERS: Final = ("torch", "browser", "fuzz", "slow", "processes", "scripts_apart")
_MEMORY: Final = "/dev/shm"
_PREFIX: Final = f"qatrix-quick-{os.getuid()}-"
# The tests write a quarter of it.
_ROOM: Final = 2 * 2**30
_WHY: Final = "quick tests do without it: mark the test `torch`, or run it with `tox -e tests`"


class NothingHeavy(MetaPathFinder):
    """Refuses imports of what quick tests do without, whether it is installed or not."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """No module is found here; a heavy one is refused."""
        if fullname.partition(".")[0] in HEAVY:
            message = f"No module named {fullname!r}; {_WHY}"
            raise ModuleNotFoundError(message, name=fullname)
        return None


class Quick:
    """A plug-in that leaves out what is not quick."""

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Take what imports something heavy for empty; other errors stay errors."""
        report = yield
        sources = pytest.Module, pytest.Directory  # a folder has its conftest.py
        if isinstance(collector, sources) and report.outcome == "failed" and _WHY in str(report.longrepr):
            report.outcome, report.longrepr, report.result = "passed", None, []
        return report

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Leave the folders of a session in memory only where tests have failed, whose messages name files there."""
        session = config.pluginmanager.get_plugin("session")
        place = str(config.option.basetemp or "")
        if place.startswith(f"{_MEMORY}/{_PREFIX}") and getattr(session, "exitstatus", 0) == 0:
            shutil.rmtree(place, ignore_errors=True)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out the tests with a marker of slow ones."""
        slow = {item for item in items if any(item.get_closest_marker(name) for name in SLOW_MARKERS)}
        config.hook.pytest_deselected(items=[*slow])
        items[:] = [item for item in items if item not in slow]


def install(config: pytest.Config) -> None:
    """Let this session run the quick tests alone."""
    sys.meta_path.insert(0, NothingHeavy())
    config.pluginmanager.register(Quick())
    # pytest-xdist tells its workers where to go.
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        _write_to_memory(config)


def _write_to_memory(config: pytest.Config) -> None:
    """Have the tests' folders in memory, where there is room: 6,000 commits would each wait for the disk."""
    with suppress(OSError):
        if has_room():
            for outdated in Path(_MEMORY).glob(f"{_PREFIX}*"):
                if not _goes_on(int(outdated.name.split("-")[3])):
                    shutil.rmtree(outdated, ignore_errors=True)
            config.option.basetemp = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_MEMORY)


def has_room() -> bool:
    """Whether the tests' folders can lie in memory; raises OSError where there is no such folder."""
    return shutil.disk_usage(_MEMORY).free > _ROOM


def _goes_on(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
