"""What Inductor is told wherever it compiles."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

# A header that is compiled beforehand has 120 MB, is used for a kernel or two, and a worker may not write such files.
_WITHOUT_HEADERS: Final = ("cpp_cache_precompile_headers", "aot_inductor.precompile_headers")


def settings(config: Any, more: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for `config.patch`: constant weights, no headers compiled beforehand as far as this release has that."""
    known = config._config
    return {"freezing": True, **{name: False for name in _WITHOUT_HEADERS if name in known}, **more}


@contextmanager
def recursion_limit_kept() -> Iterator[None]:
    """Within it, torch.compile may raise the recursion limit, as it does; it is set back."""
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
