"""What declared names are called in a script, beside the names that its own lines use."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from qatrix.declare.vocabulary import LAYERS


@dataclass(frozen=True)
class Names:
    """The names that mean something in a script already; what is declared gives way to them.

    A script reads best with the names of its declaration, so that only those change that
    would hide an import, a function, a builtin or a word of Python.
    """

    taken: frozenset[str]

    def beside(self, more: Iterable[str]) -> Names:
        """The same, with more names taken."""
        return Names(self.taken.union(more))

    def free(self, name: str, others: Collection[str] = ()) -> str:
        """The name, or with as many underscores behind it as make it one of its own."""
        while name in self.taken or name in others:
            name += "_"
        return name

    def renamed(self, declared: Iterable[str]) -> dict[str, str]:
        """What each of a method's names is called, no two alike: itself, wherever that is free."""
        names = dict.fromkeys(declared)
        found: dict[str, str] = {}
        for name in names:
            found[name] = self.free(name, {*names, *found.values()} - {name})
        return found

    def class_of_pattern(self, pattern: str, used: Collection[str] = ()) -> str:
        """A pattern's name as the name of a class: "conv_bn_relu" is "ConvBnRelu", "linear" is "LinearModel"."""
        name = _camel_case(pattern)
        known = name in self.taken or name in LAYERS
        return self._numbered(f"{name}Model" if known else name, used)

    def class_of_quantizer(self, quantizer: str) -> str:
        """A quantizer's name as the name of a class, which ends in "Quantizer"."""
        name = _camel_case(quantizer)
        return self._numbered(name if name.endswith("Quantizer") else f"{name}Quantizer", ())

    def _numbered(self, name: str, used: Collection[str]) -> str:
        free, number = name, 1
        while free in self.taken or free in used:
            number += 1
            free = f"{name}{number}"
        return free


def _camel_case(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
