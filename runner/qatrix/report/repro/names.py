"""The names that a script's own lines use, to which declared names give way."""

from __future__ import annotations

import builtins
import keyword
import re
from functools import cache
from typing import Final

from qatrix.report.repro.imports import MODULES
from qatrix.report.repro.releases import importable_names
from qatrix.resources import folder

_DEFINED: Final = re.compile(r"^ *(?:def|class) (\w+)", re.MULTILINE)


@cache
def own_names() -> frozenset[str]:
    """What scripts define and import in one release or another, the words of Python, and its builtins.

    Variables of the script's own functions are not among them: nothing declared is used where
    they are known.
    """
    texts = (path.read_text(encoding="utf-8") for path in (folder("templates") / "repro").glob("*.py.j2"))
    defined = {name for text in texts for name in _DEFINED.findall(text)}
    return frozenset(defined | MODULES | importable_names() | set(dir(builtins)) | set(keyword.kwlist))
