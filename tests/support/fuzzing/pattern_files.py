"""Files of the pattern cache: a pattern that is looked up in them, and what a disk or a hostile hand does to one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

from support.fuzzing.jsons import changed_json
from support.fuzzing.texts import BYTE_CHANGES, changed_bytes

_PLACES: Final = st.integers(0, 2**20 - 1)
_MOST: Final = 2
_FORGED: Final = "forge"


def look_up(argv: list[str]) -> int:
    """Look a pattern up in the files of a folder, twice, as two processes would; print how often it was exported.

    Where there is no second folder it is exported for real; else what stands in that folder
    is what an export gives, which is quicker.
    """
    import torch

    from qatrix.pipelines import pattern_cache
    from qatrix.pipelines.pattern_cache.files import Files
    from qatrix.pipelines.pattern_cache.graphs import decoded_graph

    folder, *good = argv
    sources = frozenset({Path(__file__).parent})
    exports: list[Any] = []

    def pattern(x: torch.Tensor) -> torch.Tensor:
        return x.relu() + 1

    class Pattern(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return pattern(x)

    def export(*_: Any, **__: Any) -> Any:
        if good:
            (path,) = Path(good[0]).iterdir()
            exports.append(decoded_graph(Files(folder=path.parent, sources=sources).read(path.stem)))
        else:
            module: Any = torch.export.export(Pattern(), (torch.ones(2),), strict=True).module()
            for node in module.graph.find_nodes(op="call_module"):
                module.graph.erase_node(node)
            module.recompile()
            exports.append(module)
        return exports[-1]

    for _ in range(2):
        pattern_cache._MEMO.clear()
        found = pattern_cache.memoised(export, Files(folder=Path(folder), sources=sources))(pattern, (torch.ones(2),))
        print(len(exports), hashlib.sha256(str(found.graph).encode()).hexdigest())
    return 0


@dataclass(frozen=True, kw_only=True)
class Damage:
    """One change of a file: of which kind, where, and with what."""

    kind: str
    at: int
    other: int


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is done to a file."""

    damages: tuple[Damage, ...]

    def damaged(self, digest: str, content: bytes) -> bytes:
        """The file of that digest after all of it."""
        for damage in self.damages:
            if damage.kind == _FORGED:
                content = _forged(digest, content, damage)
            else:
                content = changed_bytes(content, damage.kind, damage.at, damage.other)
        return content

    @property
    def is_forged(self) -> bool:
        """Whether the checksum may be right although the content is another."""
        return any(damage.kind == _FORGED for damage in self.damages)


def _forged(digest: str, content: bytes, damage: Damage) -> bytes:
    """The file with one value of its JSON changed, and the checksum right."""
    body = content.partition(b"\n")[2].decode("utf-8", "replace")
    changed = changed_json(body, damage.at, damage.other).encode("utf-8", "backslashreplace")
    checksum = hashlib.sha256(digest.encode() + b"\n" + changed).hexdigest()
    return checksum.encode() + b"\n" + changed


def programs() -> st.SearchStrategy[Program]:
    """Programs over all kinds of damage."""
    kinds = st.sampled_from((*BYTE_CHANGES, *[_FORGED] * 6))
    damage = st.builds(Damage, kind=kinds, at=_PLACES, other=_PLACES)
    return st.builds(Program, damages=st.lists(damage, min_size=1, max_size=_MOST).map(tuple))
