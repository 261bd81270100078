"""The names of pipelines, wherever YAML has them, and what a quantizer tells those that are not built in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from qatrix.declare.language import nearest
from qatrix.declare.load.registered import allow, read_registered
from qatrix.declare.load.registry import Registry
from qatrix.declare.registrations import PIPELINES, registrations, unique_name
from qatrix.declare.schema import Cursor, models
from qatrix.declare.schema.values import NAME_PATTERN
from qatrix.declare.spec import OwnPipeline, Registration, Settings
from qatrix.declare.trust import Trust, pipeline_kind
from qatrix.declare.yamltext import ListNode, MappingNode, Node, ScalarNode
from qatrix.ways import BUILT_IN

_WORD: Final = "pipeline"
_NAME: Final = re.compile(NAME_PATTERN)


class Pipelines:
    """The pipelines that YAML names, by every name that it has for one; unknown ones are noted where they stand.

    No code of what they name is imported.
    """

    def __init__(self, registry: Registry, trust: Trust) -> None:
        self._registry = registry
        self._trust = trust
        # None for a name that stands for nothing.
        self._names: dict[str, str | None] = {}
        self._own: dict[str, OwnPipeline] = {}
        for at in _places(registry):
            # What is no text is the schema's to tell.
            if isinstance(at.node, ScalarNode) and isinstance(at.node.value, str) and at.node.value:
                self._names[at.node.value] = self._read(at, at.node.value)

    def named(self, name: str) -> str | None:
        """The one name under which a pipeline runs and is shown, None where there is no such pipeline."""
        return self._names.get(name, name)

    def all_named(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of the pipelines that there are, each once, in their order."""
        found = map(self.named, names)
        return tuple(dict.fromkeys(name for name in found if name is not None))

    def own(self, names: Iterable[str]) -> Mapping[str, OwnPipeline]:
        """Those of the pipelines that are not built in, by the names that `named` gives."""
        return {name: self._own[name] for name in names if name in self._own}

    def _read(self, at: Cursor, name: str) -> str | None:
        if name in BUILT_IN:
            return name
        registration = read_registered(self._registry, at, name, PIPELINES, _WORD)
        if registration is not None:
            return self._registered(at, registration)
        if not allow(self._registry, at, name, pipeline_kind(registrations(PIPELINES)), self._trust):
            return None
        module, _, attribute = name.rpartition(".")
        self._own[name] = OwnPipeline(module=module, attribute=attribute)
        return name

    def _registered(self, at: Cursor, registration: Registration) -> str:
        if not _NAME.fullmatch(registration.name):
            of = f"{registration.distribution} {registration.version}"
            message = f"{of} registers the pipeline '{registration.name}', which is no name"
            self._registry.note(at.problem(message, expected="letters, digits and _, a letter first"))
        found = unique_name(registration, PIPELINES, BUILT_IN)
        self._own[found] = OwnPipeline(
            module=registration.module, attribute=registration.attribute, registration=registration
        )
        return found

    def read_settings(self, cursor: Cursor) -> dict[str, Settings]:
        """What a quantizer tells pipelines that are not built in, by the name of each; unknown keys are noted."""
        found: dict[str, Settings] = {}
        for key, at in cursor.members():
            if key in models.Quantizer.model_fields:
                continue
            name = self._addressee(cursor.key(key), key)
            if name is None:
                continue
            if not isinstance(at.node, MappingNode):
                expected = "a mapping from names to values, which the pipeline is told"
                self._registry.note(at.problem(f"{key} is {at.found()}", expected=expected))
            elif name in found:
                message = f"'{key}' stands beside another name of pipeline '{name}'"
                self._registry.note(cursor.key(key).problem(message, expected="one of them"))
            else:
                found[name] = {inner: plain_value(node) for inner, node in at.node.values.items()}
        return found

    def _addressee(self, at: Cursor, key: str) -> str | None:
        """Which pipeline a key of a quantizer is for, None where it is a mistake, which is noted."""
        fields = models.Quantizer.model_fields
        if key in BUILT_IN:
            preset = BUILT_IN[key].preset
            message = f"unknown key '{key}'"
            self._registry.note(at.problem(message, expected=f"{preset}: pipeline {key} takes the same preset"))
            return None
        return self.read_key(at, key, tuple(fields))

    def read_key(self, at: Cursor, key: str, known: tuple[str, ...]) -> str | None:
        """Which pipeline a key of a declaration is for, None where it is a mistake, which is noted.

        `known` are the keys that need no distribution.
        """
        registered = registrations(PIPELINES)
        if key in BUILT_IN or key in registered or "." in key:
            return self._read(at, key)
        expected = f"one of {', '.join(known)}; or a pipeline that an installed distribution registers"
        hint = nearest(key, (*known, *registered))
        self._registry.note(at.problem(f"unknown key '{key}'", expected=expected, hint=hint))
        return None


def _places(registry: Registry) -> Iterator[Cursor]:
    """Where suites, checks and expectations name pipelines, in declarations with other faults, too."""
    for declared in registry.declared("suites"):
        yield from declared.cursor.down("pipelines").items_of("only")
    for declared in registry.declared("checks"):
        yield from declared.cursor.items_of("pipelines")
    for cursor in registry.expectations:
        if cursor.has("pipeline"):
            yield cursor.down("pipeline")


def plain_value(node: Node) -> object:
    """A node as plain values that nobody changes by accident: lists are tuples."""
    if isinstance(node, ListNode):
        return tuple(map(plain_value, node.items))
    if isinstance(node, MappingNode):
        return {key: plain_value(item) for key, item in node.values.items()}
    return node.value
