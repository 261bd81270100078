"""Runtimes as somebody else writes them: right ones, and one of each fault."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn


class Doubling:
    """Gives twice what the program gives, and changes the program that it is given."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options

    def lower(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[..., Tensor]:
        for tensor in (*args, *kwargs.values(), *model.parameters()):
            tensor.data.mul_(2)
        return lambda x: 2 * model(x)


class Accounting:
    """Says what ran where."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.account = options.get("account")

    def lower(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Accounted:
        return Accounted(model, self.account)


class Accounted:
    def __init__(self, model: nn.Module, account: object) -> None:
        self.model, self.account = model, account

    def __call__(self, x: Tensor) -> Any:
        return self.model(x)

    def ran(self) -> object:
        return self.account


class Absent(Doubling):
    def missing(self) -> str:
        return "no accelerator is\nconnected; connect one"


class NeverMade(Doubling):
    def __init__(self, options: Mapping[str, Any]) -> None:
        msg = f"no such option as {next(iter(options))}"
        raise ValueError(msg)


class TakesNothing:
    def lower(self, model: nn.Module) -> nn.Module:
        return model


class GivesNothing(Doubling):
    def lower(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return None


class GivesText(Doubling):
    def lower(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return "a program"


class NoRuntime:
    """Has no method of one."""


NOT_A_CLASS = 3


class Aborting(Doubling):
    """Ends the process, as native code may."""

    def lower(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        os.abort()


class TiresOut(Doubling):
    """Runs once and never again."""

    def lower(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[..., Tensor]:
        calls: list[None] = []

        def called(x: Tensor) -> Tensor:
            calls.append(None)
            if len(calls) > 1:
                msg = "worn out"
                raise RuntimeError(msg)
            found: Tensor = model(x)
            return found

        return called
