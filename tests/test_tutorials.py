"""The tutorials, step by step: each block is written to its file, each command typed, and each answer as the page has it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support import warm

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/your-quantizer.md").read_text(encoding="utf-8")
pytestmark = [pytest.mark.torch, pytest.mark.slow]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@dataclass(frozen=True)
class Newcomer:
    """Someone in a folder of their own, who types what the page says."""

    folder: Path

    def write(self, block: str) -> None:
        """Put a block into the file that its first line names."""
        (self.folder / block.partition("\n")[0].removeprefix("# ")).write_text(block, encoding="utf-8")

    def ask(self, *more: str) -> tuple[int, str, list[dict[str, Any]]]:
        """Type the page's command, perhaps with more; its exit code, what it says, and the cases that it ran."""
        (line,) = re.findall(r"^\$ PYTHONPATH=\. qatrix (run .*)$", PAGE, flags=re.MULTILINE)
        done = warm.command(self.folder, *shlex.split(line), *more, path=[self.folder])
        results = json.loads((self.folder / "reports/latest/results.json").read_text(encoding="utf-8"))
        return done.returncode, done.stdout + done.stderr, results["cases"]


def test_your_quantizer_diverges_first_and_is_exact_once_it_is_fixed(tmp_path: Path) -> None:
    first, fixed = blocks("python")
    (answer,) = blocks("text")
    newcomer = Newcomer(tmp_path)
    newcomer.write(first)
    newcomer.write(*blocks("yaml"))

    # Without workers, which import torch anew; the second time as the page has it.
    code, said, (case,) = newcomer.ask("--workers", "0")
    assert (code, case["verdict"]) == (1, "diverged"), said
    # The figures are those of one machine; what follows from them is not.
    assert answer.strip().rpartition("; ")[2] in said

    newcomer.write(first.partition("class LinearQuantizer")[0] + fixed)
    code, said, (case,) = newcomer.ask()
    assert (code, case["verdict"]) == (0, "exact"), said
