"""A case's script: one Python file that imports torch, torchao and torchvision alone."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import jinja2

from qatrix import __version__
from qatrix.outcomes import COMPARED, TRAINING_POINTS, Environment, Record
from qatrix.report.figures import visible
from qatrix.report.repro.imports import import_lines
from qatrix.report.repro.lines import DETERMINISTIC_EVAL, expected_lines, shows_counts
from qatrix.resources import folder
from qatrix.scripts import CaseSource

_WIDTH: Final = 100
_TITLES: Final = {"pt2e": "PT2E: torch.export and torchao", "fx": "FX graph mode"}
_NOT_SWITCHED: Final = "NotSwitched"
_MANY_BLANKS: Final = re.compile(r"\n{4,}")


def script_text(
    source: CaseSource,
    *,
    record: Record | None,
    environment: Environment | None,
    checked: str | None = None,
    notes: tuple[str, ...] = (),
) -> str:
    """The script of a case.

    With a record it is as long as that needs, and its header says what it prints; without one
    it is ready for every outcome. `checked` says in the header how the script was checked, and
    `notes` are further sentences for it.
    """
    script = _Script(source=source, record=record)
    body = _template("body").render(script=script, source=source, points=script.points)
    head = tuple(_head(source, record, environment, checked=checked, notes=notes))
    dotted = (source.model.partition("(")[0],) if not source.classes else ()
    text = _template("script").render(head=head, imports=import_lines(body, dotted=dotted), body=body.strip("\n"))
    return _MANY_BLANKS.sub("\n\n\n", text)


@dataclass(frozen=True, kw_only=True)
class _Script:
    """What a script has to have for its record; for every outcome where there is none."""

    source: CaseSource
    record: Record | None

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Those that ran; all that are declared where nothing is known."""
        if self.record is None or not self.record.pipelines:
            return self.source.pipelines
        ran = [name for name, item in self.record.pipelines.items() if item.status in {"ok", "failed"}]
        return tuple(name for name in self.source.pipelines if name in ran)

    @property
    def is_invalid(self) -> bool:
        """Whether the float model itself does not run."""
        return self.record is not None and self.record.verdict == "invalid"

    @property
    def guarded(self) -> frozenset[str]:
        """The pipelines that raise."""
        if self.record is None:
            return frozenset(self.source.pipelines)
        return frozenset(name for name, item in self.record.pipelines.items() if item.status == "failed")

    @property
    def random(self) -> frozenset[str]:
        """The pipelines whose converted program gives another output each time."""
        if self.record is None:
            return frozenset()
        checks = (check for check in self.record.checks if check.name == DETERMINISTIC_EVAL)
        return frozenset(check.pipeline for check in checks if check.status == "failed")

    @property
    def shown_graphs(self) -> frozenset[tuple[str, str]]:
        """The graphs, by pipeline and point, on which a check fails."""
        failed = () if self.record is None else (item for item in self.record.checks if item.status == "failed")
        return frozenset(
            (check.pipeline, point)
            for check in failed
            if check.name != DETERMINISTIC_EVAL
            for point in ("prepare", "convert")
        )

    @property
    def shows_counts(self) -> bool:
        """Whether the numbers of quantize and dequantize ops are printed."""
        return shows_counts(self.record)

    @property
    def may_mismatch(self) -> bool:
        """Whether outputs may differ in structure, shape or dtype."""
        return self.record is None or any(item.status == "mismatched" for item in self.record.comparisons)

    @property
    def may_lack_sqnr(self) -> bool:
        """Whether there may be no noise, no signal, or values that are not finite."""
        ran = () if self.record is None else self.record.pipelines.values()
        return self.record is None or any(item.sqnr_db is None and item.quantize_ops is not None for item in ran)

    @property
    def is_nested(self) -> bool:
        """Whether what is compared may be more than one tensor."""
        return not self.source.one_tensor or self.source.training is not None

    @property
    def not_switched(self) -> frozenset[str]:
        """The pipelines that may leave on what is switched off before training."""
        if self.source.training is None:
            return frozenset()
        if self.record is None:
            return frozenset(self.source.pipelines)
        errors = ((name, item.error) for name, item in self.record.pipelines.items())
        return frozenset(name for name, error in errors if error and error.type.endswith(_NOT_SWITCHED))

    @property
    def points(self) -> tuple[tuple[str, str], ...]:
        """Where the pipelines are compared, and the same in words."""
        source = self.source
        if len(self.pipelines) < 2 or not source.compare:  # noqa: PLR2004 - a comparison takes two
            return ()
        wanted = {*source.compare, *(() if source.training is None else TRAINING_POINTS)}
        return tuple((point, where) for point, where in COMPARED.items() if point in wanted)

    @property
    def titles(self) -> dict[str, str]:
        """What the pipelines are called."""
        return {name: _TITLES.get(name, name) for name in self.source.pipelines}


def _head(
    source: CaseSource,
    record: Record | None,
    environment: Environment | None,
    *,
    checked: str | None,
    notes: tuple[str, ...],
) -> Iterator[str]:
    """The lines of the header; every text in it is on lines that begin with a comment's sign."""
    yield from _wrapped("" if record is None else _sentence(record))
    yield ""
    yield f"case      {_one_line(source.case_id)}"
    yield f"command   qatrix repro '{_one_line(source.case_id)}'    (qatrix {__version__})"
    if environment is not None:
        yield from _wrapped(_versions(environment), first="versions  ")
    if checked is not None:
        yield from _wrapped(checked, first="checked   ")
    for note in notes:
        yield from _wrapped(note, first="note      ")
    for name, reason in source.inexpressible.items():
        yield from _wrapped(f"{name} is left out: {reason}", first="note      ")
    lines = () if record is None else expected_lines(record)
    if lines:
        yield ""
        yield "It prints"
        yield from (f"    {_one_line(line)}" for line in lines)


def _sentence(record: Record) -> str:
    if record.verdict in {"exact", "close"}:
        return f"PT2E and FX graph mode agree: {record.summary}."
    return f"What is wrong: {record.summary}."


def _versions(environment: Environment) -> str:
    packages = [f"{name} {version}" for name, version in environment.packages.items() if version and name != "qatrix"]
    return ", ".join((*packages, f"Python {environment.python}", environment.platform, environment.processor))


def _wrapped(text: str, *, first: str = "") -> list[str]:
    wrapped = textwrap.wrap(_one_line(text), _WIDTH - len(first), break_long_words=False, break_on_hyphens=False)
    return [f"{first if place == 0 else ' ' * len(first)}{line}" for place, line in enumerate(wrapped)]


def _one_line(text: str) -> str:
    """A text that cannot leave its comment."""
    return visible(" ".join(text.split()))


@cache
def _environment() -> jinja2.Environment:
    # Python source, not HTML: every text that goes in is a literal, a name or a comment by then.
    return jinja2.Environment(  # noqa: S701
        loader=jinja2.FileSystemLoader(folder("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _template(name: str) -> jinja2.Template:
    return _environment().get_template(f"repro/{name}.py.j2")
