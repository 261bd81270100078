"""Programs run so that the values inside them are seen."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from qatrix.execute.passes import FORWARD_SEED
from qatrix.judge.diagnosis.placement import Probe
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.torchenv import seed_generators

# The float model and both programs of resnet18 at both points need about half of this at 1x3x224x224.
MEMORY_BYTES: Final = 256 * 2**20


@dataclass
class Store:
    """Recorded values: in memory up to a bound, then in files of a temporary folder.

    Equal tensors are kept once: up to where two programs part, all of them are.
    """

    limit: int = MEMORY_BYTES
    _used: int = 0
    _files: int = 0
    _folder: tempfile.TemporaryDirectory[str] | None = None
    _known: dict[Hashable, Callable[[], object]] = field(default_factory=dict)

    def keep(self, value: object) -> Callable[[], object]:
        """Keep a copy of a value; returns what gives it back."""
        content = _content(value)
        if content is None:
            return self._kept(value)
        if content not in self._known:
            self._known[content] = self._kept(value)
        return self._known[content]

    def _kept(self, value: object) -> Callable[[], object]:
        copied = pytree.tree_map(lambda item: item.detach().clone() if isinstance(item, Tensor) else item, value)
        size = sum(item.nbytes for item in pytree.tree_leaves(copied) if isinstance(item, Tensor))
        if self._used + size <= self.limit:
            self._used += size
            return lambda: copied
        path = self._path()
        torch.save(copied, path)
        return lambda: torch.load(path, weights_only=False)  # written by this process

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.cleanup()

    def _path(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="qatrix-values-")
        self._files += 1
        return Path(self._folder.name) / f"{self._files}.pt"


def _content(value: object) -> Hashable:
    """What two equal tensors have in common, to the bit; None for values of another kind."""
    if (
        not isinstance(value, Tensor)
        or value.device.type != "cpu"
        or value.is_quantized
        or value.layout != torch.strided
    ):
        return None
    data = value.detach().contiguous().view(-1).view(torch.uint8) if value.numel() else value
    return value.dtype, tuple(value.shape), hashlib.blake2b(data.numpy().data, digest_size=16).digest()


@dataclass
class Recorded:
    """The values of one run of a program, by where they were seen."""

    store: Store
    kept: dict[Probe, Callable[[], object]] = field(default_factory=dict)

    def put(self, probe: Probe, value: object) -> None:
        """Keep a copy of a value; where one place is run several times, the last counts."""
        self.kept[probe] = self.store.keep(value)

    def get(self, probe: Probe) -> object:
        """The value, None where none was recorded."""
        load = self.kept.get(probe)
        return None if load is None else load()


def record(
    program: fx.GraphModule,
    inputs: Inputs,
    probes: Collection[Probe],
    store: Store,
    *,
    seed: int = FORWARD_SEED,
) -> tuple[object, Recorded]:
    """The program's outputs, to the bit as `stages.forward` gives them, and the values at the probes."""
    recorded = Recorded(store)
    seed_generators(seed)
    outputs = _Recorder(program, probes, recorded).run(*inputs.copies().in_order(program))
    return outputs, recorded


class _Recorder(fx.Interpreter):
    """Runs a graph node by node and keeps what the probes ask for, before an in-place op changes it."""

    def __init__(self, program: fx.GraphModule, probes: Collection[Probe], recorded: Recorded) -> None:
        super().__init__(program)
        self._wanted: dict[str, list[Probe]] = {}
        for probe in probes:
            self._wanted.setdefault(probe.node, []).append(probe)
        self._recorded = recorded

    def run_node(self, n: fx.Node) -> Any:
        """The node's value, recorded on the way."""
        wanted = self._wanted.get(n.name, [])
        with ExitStack() as hooks:
            for probe in wanted:
                if probe.part:
                    hooks.enter_context(self._hooked(n, probe))
            value = super().run_node(n)
        if Probe(node=n.name) in wanted:
            self._recorded.put(Probe(node=n.name), value)
        return value

    def _hooked(self, node: fx.Node, probe: Probe) -> Any:
        name, _, side = probe.part.partition(".")
        part = self.module.get_submodule(f"{node.target}.{name}")

        def note(_: nn.Module, args: tuple[Any, ...], output: object) -> None:
            self._recorded.put(probe, args[0] if side == "input" else output)

        return part.register_forward_hook(note)


def tensor_nodes(values: Mapping[str, object]) -> frozenset[str]:
    """The nodes whose values hold tensors and nothing else that a program computes."""
    return frozenset(name for name, value in values.items() if holds_tensors(value))


def holds_tensors(value: object) -> bool:
    """Whether a value holds tensors and nothing else; attention gives None in place of weights that nobody wants."""
    leaves = [leaf for leaf in pytree.tree_leaves(value) if leaf is not None]
    return bool(leaves) and all(isinstance(leaf, Tensor) for leaf in leaves)
