"""Patterns that a factory makes: what it may be, and what it may be called with."""

from __future__ import annotations

from qatrix.declare.load.registry import Registry
from qatrix.declare.schema import Cursor, models
from qatrix.declare.trust import MODEL, Trust


def check_factory(registry: Registry, cursor: Cursor, model: models.Pattern, trust: Trust) -> None:
    """Note what is wrong with a pattern that declares no body."""
    if model.model is None:
        expected = "layers and forward, or model: the dotted path of a factory"
        registry.note(cursor.problem("the pattern declares no model", expected=expected))
        return
    for key in ("layers", "parameters", "buffers", "forward", "params", "init"):
        if cursor.has(key):
            message = f"'{key}' stands beside 'model'"
            expected = "args alone: a factory takes no layers, parameters, buffers, forward, params or init"
            registry.note(cursor.key(key).problem(message, expected=expected))
    at = cursor.down("model")
    refused = trust.refusal(model.model, MODEL)
    if refused is not None:
        registry.note(at.problem(refused.message, expected=refused.expected, hint=refused.hint))
        return
    for name, refusal in trust.argument_refusals(model.model, model.args):
        place = at if name is None else cursor.down("args").key(name)
        registry.note(place.problem(refusal.message, expected=refusal.expected, hint=refusal.hint))
