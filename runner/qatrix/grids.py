"""Tables on a terminal: no number and no verdict is ever broken, however narrow it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from qatrix.text import printed

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    from qatrix.report.explanation import Cell, Table
    from qatrix.report.vocabulary import Tone

_MARK: Final = "→ "
# Cells that say nothing.
_NOTHING: Final = frozenset({"", "–"})
# A space, or two and a divider, between neighbours, and the edges.
_BETWEEN: Final = 3


class Grid:
    """A table under its title, as wide as the terminal; where its words do not fit beside one another, row by row."""

    def __init__(self, table: Table, *, styles: Callable[[Tone], str], part: Callable[[str], str]) -> None:
        self._table = table
        self._styles = styles
        self._part = part

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for line in console.render_lines(self._laid_out(options.max_width), options, pad=False):
            text = "".join(segment.text for segment in line)
            # Texts were wrapped, so that a line can begin within one: no such line commands a log.
            shown = printed(text)
            yield from line if shown == text else [Segment(shown)]
            yield Segment.line()

    def _laid_out(self, width: int) -> RenderableType:
        from rich.console import Group

        columns = list(zip(*self._cells(), strict=True)) if self._table.rows else []
        heads = [self._text(name) for name in self._table.columns]
        whole = [[bool(row[place].tone) for row in self._table.rows] for place in range(len(columns))]
        floors = [
            max(_floor(head, whole=False), *(_floor(cell, whole=kept) for cell, kept in zip(cells, keeps)))
            for head, cells, keeps in zip(heads, columns, whole)
        ]
        wanted = [max(text.cell_len for text in [head, *cells]) for head, cells in zip(heads, columns)]
        room = width - _BETWEEN * len(floors) + 1
        if sum(floors) > room:
            return Group(*self._stacked(heads))
        return self._side_by_side(heads, _widths(floors, wanted, room))

    def _side_by_side(self, heads: Sequence[Text], widths: Sequence[int]) -> RenderableType:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table as RichTable

        table = self._table
        title = self._text(table.title)
        shown = RichTable(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
        for head, width, cell in zip(heads, widths, table.rows[0] if table.rows else ()):
            shown.add_column(head, justify="right" if cell.numeric else "left", overflow="fold", width=width)
        for place, row in enumerate(self._cells()):
            shown.add_row(*row, style="bold" if place == table.marked else "")
        return shown

    def _stacked(self, heads: Sequence[Text]) -> Iterator[RenderableType]:
        """Each row as a line, or some: its first cell, then every other that has something, by its column's name."""
        from rich.padding import Padding
        from rich.text import Text

        yield self._text(self._table.title, style="bold")
        for place, (first, *others) in enumerate(self._cells()):
            told = [
                Text.assemble(f"{head.plain} " if head.plain else "", cell)
                for head, cell in zip(heads[1:], others)
                if cell.plain not in _NOTHING
            ]
            line = Text.assemble(first, ": ", Text(", ").join(told))
            if place == self._table.marked:
                line.stylize("bold")
            yield Padding(line, (0, 0, 0, 2))
        yield Text()

    def _cells(self) -> list[list[Text]]:
        return [
            [self._cell(cell, marked=place == self._table.marked and not column) for column, cell in enumerate(row)]
            for place, row in enumerate(self._table.rows)
        ]

    def _cell(self, cell: Cell, *, marked: bool) -> Text:
        from rich.text import Text

        text = self._text(cell.text)
        if cell.tone:
            text.stylize(self._styles(cell.tone))
        return Text.assemble((_MARK, "bold red"), text) if marked else text

    def _text(self, text: str, style: str = "") -> Text:
        from rich.text import Text

        return Text(printed(self._part(text)), style=style)


def _floor(text: Text, *, whole: bool) -> int:
    """The columns that a text needs where only a blank may be broken, or not even that."""
    from rich.cells import cell_len

    return text.cell_len if whole else max(map(cell_len, text.plain.split()), default=1)


def _widths(floors: Sequence[int], wanted: Sequence[int], room: int) -> list[int]:
    """Widths that fill the room at most: each column has what it needs, and a fair share of the rest."""
    widths, left = list(floors), room - sum(floors)
    order = sorted(range(len(floors)), key=lambda place: wanted[place] - floors[place])
    for number, place in enumerate(order):
        more = min(wanted[place] - floors[place], left // (len(order) - number))
        widths[place] += more
        left -= more
    return widths
