"""A shell as the documentation's commands need one: `&&`, `>` and `PYTHONPATH=` before and around `qatrix`, in this process."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.pages import steps
from support.project import Ended, Project


@dataclass
class Shell:
    """Types lines into a project; `others` are the collaborators of a command by its words."""

    project: Project
    others: Callable[[list[str]], dict[str, Any]] = field(default=lambda _: {})

    def type(self, line: str) -> list[Ended]:
        """How each command of a line ended, up to the first that failed."""
        ended = []
        for words in steps(line):
            ended.append(self._run(words))
            if ended[-1].code:
                break
        return ended

    def _run(self, words: list[str]) -> Ended:
        if words[0] == "export":
            return self._set(words[1])
        if words[0].startswith("PYTHONPATH="):
            self._set(words[0])
            words = words[1:]
        if words[0] != "qatrix":
            return self._outside(words)
        argv, target = (words[1:-2], words[-1]) if ">" in words else (words[1:], None)
        ended = self.project.run(*argv, **self.others(argv))
        if target is not None:
            (self.project.path / target).write_text(ended.out, encoding="utf-8")
        return ended

    def _set(self, setting: str) -> Ended:
        """Look into the folders of PYTHONPATH for modules, as Python does when it starts."""
        name, _, value = setting.partition("=")
        assert name == "PYTHONPATH"
        sys.path[:0] = [str(Path(folder).resolve()) for folder in value.split(os.pathsep)]
        return Ended(code=0, out="", err="", argv=(setting,))

    def _outside(self, words: list[str]) -> Ended:
        """Run a program that is no part of qatrix."""
        line = " ".join(word if word in {">", ">>"} or word.startswith("$") else shlex.quote(word) for word in words)
        done = subprocess.run(["sh", "-c", line], cwd=self.project.path, capture_output=True, text=True, check=False)
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr, argv=tuple(words))
