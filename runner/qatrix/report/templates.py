"""Templates, which the first process that needs them compiles for those after it, beside them, as Python does.

Those of a report take 0.3 s to compile and 0.01 s to read. `QATRIX_TEMPLATE_CACHE=off` has every process compile.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final, Literal

import jinja2
from jinja2.bccache import Bucket

from qatrix import keepsakes
from qatrix.contents import code_digest
from qatrix.resources import folder

# What the code of a template depends on beside its text: who compiles it, and the filters that fold its constants.
_COMPILING: Final = ("qatrix", "jinja2", "markupsafe")
# The largest template takes 100 kB.
_LARGEST: Final = 4 * 2**20


def templates() -> jinja2.FileSystemLoader:
    """Where the templates lie."""
    return jinja2.FileSystemLoader(folder("templates"))


def compiled(options: Literal["page", "scripts", "findings"]) -> jinja2.BytecodeCache | None:
    """Where their compiled code lies, None where nobody wants it kept.

    `options` names those of the environment, such as autoescaping, which are compiled in. The folder is the one in
    which Python would keep the code of a module there: whoever can write to it can change the package itself.
    """
    if os.environ.get("QATRIX_TEMPLATE_CACHE") == "off":
        return None
    with contextlib.suppress(OSError, NotImplementedError):
        place = Path(cache_from_source(str(folder("templates") / f"{options}.py")))
        return _Compiled(place, f"{sys.version}\n{code_digest(_COMPILING)}")
    return None


class _Compiled(jinja2.BytecodeCache):
    """A file for each template, which counts only as the whole that was written, and by the same code."""

    def __init__(self, place: Path, made_by: str) -> None:
        self._place = place
        self._made_by = hashlib.sha256(made_by.encode()).digest()

    def load_bytecode(self, bucket: Bucket) -> None:
        body = keepsakes.read(self._path(bucket), largest=_LARGEST)
        if body is not None and body.startswith(self._made_by):
            bucket.bytecode_from_string(body.removeprefix(self._made_by))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if not sys.dont_write_bytecode:
            keepsakes.write(self._path(bucket), self._made_by + bucket.bytecode_to_string())

    def _path(self, bucket: Bucket) -> Path:
        return self._place.with_suffix(f".{bucket.key}")
