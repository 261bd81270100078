"""What of a selection a change to a package can alter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qatrix.cli.edits import edited, hidden
from qatrix.cli.reach import FOLLOWED, Reach
from qatrix.cli.sides import Side, place_of
from qatrix.errors import UsageError

if TYPE_CHECKING:
    from qatrix.declare.spec import Case

# Files that a sentence names.
_NAMED: Final = 5
_QUANTIZER: Final = "quantizer"
_NOTHING: Final = "nothing changed: the code of both sides is the same, comments and docstrings apart"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The cases that both sides are to run, in the words of the command line."""

    paths: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        """The same as arguments of `qatrix run`."""
        options = {"--case": self.cases, "--only": self.only, "--tag": self.tags, "--allow-module": self.allowed}
        return (
            *self.paths,
            *(text for option, values in options.items() for value in values for text in (option, value)),
        )


@dataclass(frozen=True, kw_only=True)
class Change:
    """What has to run to see what a change altered, None for nothing, and what there is to say of it beforehand."""

    wanted: Wanted | None
    notes: tuple[str, ...] = ()


def changed(sides: tuple[Side, Side], wanted: Wanted) -> Change:
    """What the code of two sides with one Python differs in, and which of the wanted cases can get to it."""
    names = sorted({name for side in sides for name in _packages(side)})
    files = tuple(file for name in names for file in _edits(name, sides))
    if not files:
        return Change(wanted=None, notes=(_NOTHING,))
    note = f"changed in the head: {_listed(files)}"
    if not all(name in FOLLOWED for name in names):
        return Change(wanted=wanted, notes=(note,))
    return _narrowed(files, wanted, note, sides)


def _packages(side: Side) -> Iterator[str]:
    """The packages that stand before the installed ones on a side, qatrix itself left out."""
    folders = (path for place in side.folders for path in place.iterdir() if path.is_dir())
    return (path.name for path in folders if path.suffix != ".dist-info" and path.name != "qatrix")


def _edits(package: str, sides: tuple[Side, Side]) -> Iterator[str]:
    base, head = (place_of(package, side.folders) for side in sides)
    if base is None or head is None:
        yield package
    else:
        names = edited(base, head)
        folder = hidden(base, head, names)
        if folder is not None:
            msg = f"{package}/{folder} has no __init__.py in the head, so that Python takes the base's"
            raise UsageError(msg + "; name a whole checkout")
        yield from (f"{package}/{path}" for path in names)


def _narrowed(files: Sequence[str], wanted: Wanted, note: str, sides: tuple[Side, Side]) -> Change:
    """The wanted cases without those that cannot get to any of the files: their quantizer decides that."""
    from qatrix.report.figures import counted

    cases = _cases(wanted)
    reach = Reach({name: _folders(name, sides) for name in FOLLOWED})
    code = {file for file in files if file.endswith(".py")}
    if len(code) < len(files):
        # What is compiled does not say who calls it.
        return Change(wanted=wanted, notes=(note,))
    touched = [case for case in cases if (files_of := reach.of(case)) is None or files_of & code]
    left = len(cases) - len(touched)
    if not touched:
        return Change(
            wanted=None, notes=(note, f"nothing changed: none of the {counted(left, 'case')} loads that code")
        )
    quantizers = tuple(dict.fromkeys(case.quantizer.name for case in touched))
    if not left or not _can_be_named(cases, touched, quantizers):
        return Change(wanted=wanted, notes=(note,))
    kept = tuple(text for text in wanted.only if not text.startswith(f"{_QUANTIZER}="))
    narrowed = replace(wanted, only=(*kept, f"{_QUANTIZER}={','.join(quantizers)}"))
    return Change(wanted=narrowed, notes=(note, f"left out: {counted(left, 'case')} that cannot load that code"))


def _can_be_named(cases: Iterable[Case], touched: Sequence[Case], quantizers: Sequence[str]) -> bool:
    """Whether quantizers select those cases and no others."""
    from qatrix.declare.selection import axis_text

    return [case for case in cases if axis_text(case, _QUANTIZER) in quantizers] == list(touched)


def _cases(wanted: Wanted) -> tuple[Case, ...]:
    from qatrix.cli.matrices import load_matrix, selected_cases, wanted_cases

    selection = wanted_cases(wanted.cases, wanted.only, wanted.tags, pairwise=False, strength=None)
    matrix = load_matrix([Path(path) for path in wanted.paths], wanted.allowed)
    return selected_cases(matrix, selection).cases


def _folders(name: str, sides: tuple[Side, Side]) -> tuple[Path, ...]:
    """Where either side has a package."""
    places = (place_of(name, side.folders) for side in sides)
    return tuple(dict.fromkeys(place for place in (*places, place_of(name, ())) if place is not None))


def _listed(files: Sequence[str]) -> str:
    more = len(files) - _NAMED
    return ", ".join(files[:_NAMED]) + (f" and {more} more" if more > 0 else "")
