"""Exports all patterns of QAT as soon as one is missing, in an order of this process's own.

A QAT case asks for the same 126 patterns in the same order whatever its model is (torch
2.15, torchao 0.18). Two workers that start together with no files would both export all of
them, 18 s each. In orders of their own each finds in files what the other has exported.
"""

from __future__ import annotations

import contextlib
import copy
import os
import random
import types
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import fx, nn

from qatrix.declare.spec import Pt2ePreset
from qatrix.pipelines import torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.quantizers import made_quantizer
from qatrix.pipelines.traced import Sine

# Its annotators ask for patterns, too.
_PRESET: Final = Pt2ePreset(quantizer="XNNPACKQuantizer", config={"is_per_channel": True, "is_qat": True})
StandIn = Callable[[types.ModuleType, str, Callable[[Any], Any]], contextlib.AbstractContextManager[None]]
Export = Callable[..., fx.GraphModule]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call of the function that exports a pattern."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


def shuffled(requests: Sequence[Request]) -> list[Request]:
    """The requests in another order in every process."""
    return random.Random(os.getpid()).sample(requests, len(requests))  # noqa: S311 - an order, no secret


def requests(export: Export, bindings: Sequence[types.ModuleType], stand_in: StandIn) -> list[Request]:
    """What preparing and converting a conv-bn model for QAT asks for; none of it is exported.

    That is for `pt2e_api` alone: in a release with two PT2Es the other's export gets none of
    its requests. Nobody has promised that a release gets along with patterns that match
    nothing: where it raises, the requests until then are returned.
    """
    if not export.__module__.startswith(torchenv.pt2e_api().home):
        return []
    asked: list[Request] = []
    nothing = export(Sine(), (torch.ones(1),))

    def record(_: Export) -> Export:
        def asked_for(*arguments: Any, **keywords: Any) -> fx.GraphModule:
            asked.append(Request(arguments=arguments, keywords=keywords))
            return copy.deepcopy(nothing)

        return asked_for

    with contextlib.ExitStack() as stack:
        for module in bindings:
            stack.enter_context(stand_in(module, torchenv.PATTERN_FUNCTION, record))
        stack.enter_context(contextlib.suppress(Exception))
        _quantize()
    return asked


def _quantize() -> None:
    """Take a model with a batch norm through QAT; without one, PT2E asks for no patterns."""
    api = torchenv.pt2e_api()
    quantizer = made_quantizer(_PRESET, api, ())
    # The case that is running has set its seed already.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, inputs = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).train(), (torch.ones(1, 1, 2, 2),)
        captured = torchenv.capture(model, Inputs(inputs), dynamic_batch=False)()
        prepared = api.prepare_qat(captured, quantizer)
        prepared(*inputs)
        api.convert(prepared)
