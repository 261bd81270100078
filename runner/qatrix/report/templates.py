"""Templates, which the first process of a checkout that needs them compiles for those after it, beside them.

Those of a report take 0.3 s to compile and 0.01 s to read. `QATRIX_TEMPLATE_CACHE=off` has every process compile.
"""

from __future__ import annotations

import contextlib
import functools
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
from qatrix.resources import folder, is_checkout

# What the code of a template depends on beside its text: who compiles it, and the filters that fold its constants.
_COMPILING: Final = ("qatrix", "jinja2", "markupsafe")
# The largest template takes 100 kB.
_LARGEST: Final = 4 * 2**20


def templates() -> jinja2.FileSystemLoader:
    """Where the templates lie."""
    return jinja2.FileSystemLoader(folder("templates"))


def compiled(options: Literal["page", "scripts", "findings"]) -> jinja2.BytecodeCache | None:
    """Where their compiled code lies; None where nobody wants it kept, and in an installed package.

    `options` names those of the environment, such as autoescaping, which are compiled in. The folder is the one in
    which Python keeps the code of modules: whoever can write to it can change the checkout itself. An installed
    package gets no files of which its installer would not know that they are its own.
    """
    if os.environ.get("QATRIX_TEMPLATE_CACHE") == "off" or not is_checkout():
        return None
    with contextlib.suppress(OSError, NotImplementedError):
        return _Compiled(Path(cache_from_source(str(folder("templates") / f"{options}.py"))), _made_by())
    return None


@functools.cache
def _made_by() -> bytes:
    """A digest of the code that compiles here, as it was when this process imported it."""
    return hashlib.sha256(f"{sys.version}\n{code_digest(_COMPILING)}".encode("utf-8", "surrogateescape")).digest()


if is_checkout():
    # An edit from now on is not what this process compiles with.
    with contextlib.suppress(OSError):
        _made_by()


class _Compiled(jinja2.BytecodeCache):
    """A file for each template, which counts only as the whole that was written, and by the same code."""

    def __init__(self, place: Path, made_by: bytes) -> None:
        self._place = place
        self._made_by = made_by

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        """Jinja's own raises where a folder's name is no UTF-8."""
        return hashlib.sha256(f"{name}|{filename}".encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def load_bytecode(self, bucket: Bucket) -> None:
        body = keepsakes.read(self._path(bucket), largest=_LARGEST)
        if body is not None and body.startswith(self._made_by):
            bucket.bytecode_from_string(body.removeprefix(self._made_by))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if not sys.dont_write_bytecode:
            keepsakes.write(self._path(bucket), self._made_by + bucket.bytecode_to_string())

    def _path(self, bucket: Bucket) -> Path:
        return self._place.with_suffix(f".{bucket.key}")
