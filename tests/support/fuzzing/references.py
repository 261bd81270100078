"""References that are right, and damaged ones: in their bytes, their header, and their manifest with a right checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypothesis import strategies as st

from support.fuzzing.jsons import changed_json
from support.fuzzing.texts import BYTE_CHANGES, changed_bytes

_PLACES: Final = st.integers(0, 2**20 - 1)
_MOST: Final = 2
_PREFIX: Final = 8
_ENTRY: Final = "qatrix"
NAME: Final = "fx.safetensors"


def write_good(argv: list[str]) -> int:
    """Write a reference of one case, as `qatrix freeze` does; a command, since it takes torch."""
    import torch

    from qatrix.execute.reference import Manifest, ReferenceWriter
    from qatrix.execute.reference.frozen import FrozenCase, FrozenParameters
    from qatrix.execute.reference.tensors import tree_of
    from support.records import ENVIRONMENT, make_outcome

    tensors: dict[str, torch.Tensor] = {}
    trees = {
        point: tree_of((torch.arange(6.0).reshape(2, 3) + place, {"b": torch.ones(2)}), tensors)
        for place, point in enumerate(("prepare", "convert"))
    }
    parameters = FrozenParameters(
        module="a",
        type="b",
        dtype="torch.qint8",
        qscheme=None,
        quant_min=-128,
        quant_max=127,
        scale=None,
        zero_point=None,
    )
    case = FrozenCase(
        case_id="s/p/dim=2",
        declaration="d" * 64,
        seed=1,
        inputs="i" * 64,
        weights="w" * 64,
        float_model="f" * 64,
        outcome=make_outcome("fx"),
        outputs=trees,
        steps={"convert": (0.5, None)},
        graphs={"prepare": "g" * 64},
        parameters=(parameters,),
    )
    manifest = Manifest(
        pipeline="fx",
        run_id="20261124-101500",
        frozen="2026-11-24T10:15:00+00:00",
        qatrix="0.1.0",
        environment=ENVIRONMENT,
        matrix_digest="m" * 64,
        cases=(case,),
        left_out={"s/skipped": "it is skipped"},
    )
    writer = ReferenceWriter()
    writer.add(case, tensors)
    writer.write(Path(argv[0]), manifest)
    return 0


@dataclass(frozen=True, kw_only=True)
class Damage:
    """One change of a reference: of which kind, where, and with what."""

    kind: str
    at: int
    other: int


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is done to a reference."""

    damages: tuple[Damage, ...]

    def damaged(self, content: bytes) -> bytes:
        """The reference after all of it."""
        for damage in self.damages:
            if damage.kind in BYTE_CHANGES:
                content = changed_bytes(content, damage.kind, damage.at, damage.other)
            else:
                content = _with_header(content, damage)
        return content


def _with_header(content: bytes, damage: Damage) -> bytes:
    """The file with another header, and its length before it; the file itself where it has no header any more."""
    end = _PREFIX + int.from_bytes(content[:_PREFIX], "little")
    try:
        text = _OF_PARTS[damage.kind](content[_PREFIX:end].decode(), damage.at, damage.other)
    except (ValueError, KeyError, TypeError, RecursionError):
        return content
    header = text.encode("utf-8", "backslashreplace")
    return len(header).to_bytes(_PREFIX, "little") + header + content[end:]


def change_header(text: str, at: int, other: int) -> str:
    """One value of the header is another: a tensor's shape, dtype, place or name."""
    return changed_json(text, at, other)


def change_manifest(text: str, at: int, other: int) -> str:
    """One value of the manifest is another, and the checksum is right, as a hostile hand would see to."""
    header = json.loads(text)
    head = json.loads(header["__metadata__"][_ENTRY])
    manifest = changed_json(head["manifest"], at, other)
    digest = hashlib.sha256(manifest.encode("utf-8", "backslashreplace")).hexdigest()
    header["__metadata__"][_ENTRY] = json.dumps({**head, "manifest": manifest, "manifest_sha256": digest})
    return json.dumps(header)


def change_head(text: str, at: int, other: int) -> str:
    """What stands around the manifest is another."""
    header = json.loads(text)
    header["__metadata__"][_ENTRY] = changed_json(header["__metadata__"][_ENTRY], at, other)
    return json.dumps(header)


_OF_PARTS: Final[Mapping[str, Callable[[str, int, int], str]]] = {
    change.__name__: change for change in (change_header, change_manifest, change_head)
}
KINDS: Final = (*BYTE_CHANGES, *list(_OF_PARTS) * 3)


def programs() -> st.SearchStrategy[Program]:
    """Programs over all kinds of damage."""
    damage = st.builds(Damage, kind=st.sampled_from(KINDS), at=_PLACES, other=_PLACES)
    return st.builds(Program, damages=st.lists(damage, min_size=1, max_size=_MOST).map(tuple))
