"""What installed distributions register, and pipelines that are not built in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# What a pipeline that is not built in is told: values, tuples and mappings of them.
Settings = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Something that an installed distribution registers under a name: an attribute of one of its modules."""

    name: str
    module: str
    attribute: str
    distribution: str
    version: str


def place_of(path: str, registration: Registration | None) -> tuple[str, str]:
    """The module and the attribute of what is registered, else of what a dotted path names."""
    if registration is not None:
        return registration.module, registration.attribute
    module, _, attribute = path.rpartition(".")
    return module, attribute


@dataclass(frozen=True, kw_only=True)
class OwnPipeline:
    """A pipeline that is not built in: an attribute of a module, which a distribution registers or the user allows."""

    module: str
    attribute: str
    registration: Registration | None = None
