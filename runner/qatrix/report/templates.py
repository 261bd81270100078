"""Templates, which the first process that needs them compiles for those after it, in the user's cache.

Those of a report take 0.3 s to compile and 0.01 s to read. `QATRIX_TEMPLATE_CACHE=off` has every process compile.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path
from typing import Final, Literal

import jinja2
from jinja2.bccache import Bucket

from qatrix import keepsakes
from qatrix.contents import code_digest
from qatrix.resources import cache_folder, folder

# What the code of a template depends on beside its text: who compiles it, and the filters that fold its constants.
_COMPILING: Final = ("qatrix", "jinja2", "markupsafe")
# The largest template takes 100 kB.
_LARGEST: Final = 4 * 2**20
# Half a megabyte each: one for every state of the code.
_KEPT: Final = 20


def templates() -> jinja2.FileSystemLoader:
    """Where the templates lie."""
    return jinja2.FileSystemLoader(folder("templates"))


def compiled(options: Literal["page", "scripts", "findings"]) -> jinja2.BytecodeCache | None:
    """Where their compiled code lies, None where there is no place for it or nobody wants it kept.

    `options` names those of the environment, such as autoescaping, which are compiled in.
    """
    if os.environ.get("QATRIX_TEMPLATE_CACHE") == "off":
        return None
    with contextlib.suppress(OSError, RuntimeError):
        told = hashlib.sha256(f"{options}\n{sys.version}\n{code_digest(_COMPILING)}".encode()).hexdigest()
        return _Compiled(cache_folder() / "templates" / told)
    return None


class _Compiled(jinja2.BytecodeCache):
    """A file for each template, which counts only as the whole that was written."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def load_bytecode(self, bucket: Bucket) -> None:
        body = keepsakes.read(self._place / bucket.key, largest=_LARGEST)
        if body is not None:
            bucket.bytecode_from_string(body)

    def dump_bytecode(self, bucket: Bucket) -> None:
        first = not self._place.is_dir()
        keepsakes.write(self._place / bucket.key, bucket.bytecode_to_string())
        if first:
            keepsakes.prune(self._place.parent, _KEPT)
