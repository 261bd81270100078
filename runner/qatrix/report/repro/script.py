"""A case's script: one Python file that imports torch, torchao and torchvision alone."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import jinja2

from qatrix import __version__
from qatrix.claims import DETERMINISTIC_EVAL
from qatrix.outcomes import (
    COMPARED,
    LIFECYCLE_STAGES,
    LOWERED,
    OTHERWISE,
    REPEATED,
    RUNTIME_STAGES,
    STAGES,
    TRAINING_POINTS,
    Environment,
    Record,
)
from qatrix.report.repro.imports import import_lines
from qatrix.report.repro.lines import changed_by_lifecycle, expected_lines, shows_counts
from qatrix.report.repro.releases import Release
from qatrix.report.templates import compiled, templates
from qatrix.scripts import CaseSource, RuntimeSource, literal
from qatrix.text import printed_source, visible
from qatrix.ways import preset_of

_WIDTH: Final = 100
_NEEDS: Final = "needs     "
_NOT_SWITCHED: Final = "NotSwitched"
SECOND_PT2E: Final = "pt2e_torch_ao"
_STRICT_ALONE: Final = "torch.ao's PT2E cannot quantize what is captured non-strict"
_NO_NAME: Final = re.compile(r"\W", re.ASCII)
_REFUSED: Final = "PipelineFault"
# Two blank lines around what is defined at the top, as formatters have it.
_BEFORE_DEFINITION: Final = re.compile(r"\n+(?=(?:def|class) )")
_MANY_BLANKS: Final = re.compile(r"\n{4,}")


def script_text(
    source: CaseSource,
    *,
    environment: Environment,
    record: Record | None = None,
    checked: str | None = None,
    notes: tuple[str, ...] = (),
) -> str:
    """The script of a case, for the torch release of an environment.

    With a record it is as long as that needs, and its header says what it prints; without one
    it is ready for every outcome. `checked` says in the header how the script was checked, and
    `notes` are further sentences for it.
    """
    if record is not None and record.error is not None and record.error.is_of_data:
        msg = f"no script is needed to see what is wrong with a file: {record.error.message}"
        raise ValueError(msg)
    if record is not None and record.error is not None and record.error.is_of_parts:
        msg = f"no script is needed to see which modules a model has: {record.error.message}"
        raise ValueError(msg)
    if record is not None and record.error is not None and record.error.is_of_ops:
        msg = f"no script is needed to see which ops there are: {record.error.message}"
        raise ValueError(msg)
    for outcome in () if record is None else record.pipelines.values():
        if outcome.error is not None and outcome.error.type.endswith(_REFUSED):
            msg = f"no script shows what qatrix says of a pipeline's own code: {outcome.error.message}"
            raise ValueError(msg)
    source = replace(source, device=_device(source.device, environment))
    release = Release.of(environment.packages)
    script = _Script(source=source, record=record, release=release)
    several = not source.inputs.is_plain or bool(source.inputs.files) or source.inputs.has_more
    taken = "batches_of_the_case()" if several else "inputs_of_the_case()"
    body = _template("body").render(
        script=script,
        source=source,
        release=release,
        points=script.points,
        on_device="" if source.device == "cpu" else f".to({literal(source.device)})",
        taken_inputs=taken if source.device == "cpu" else f"moved({taken})",
        several_batches=several,
    )
    left_out = tuple(f"{name} is left out: {_STRICT_ALONE}" for name in script.without_capture)
    head = tuple(_head(source, record, environment, checked=checked, notes=(*notes, *left_out)))
    more = () if source.module is None or source.needs is not None else (source.module,)
    imports = import_lines(body, homes=release.homes, more=more)
    text = _template("script").render(head=head, imports=imports, body=body.strip("\n"))
    return printed_source(_MANY_BLANKS.sub("\n\n\n", _BEFORE_DEFINITION.sub("\n\n\n", text)))


def _device(name: str, environment: Environment) -> str:
    """A device of torch's; the accelerator of an environment is the first that is not its CPU."""
    if name != "accelerator":
        return name
    return next((kind for kind in environment.devices if kind != "cpu"), name)


def needed_package(script: str) -> str | None:
    """The package that a script needs beside PyTorch's, by its header, in which no other line has such blanks."""
    found = re.search(rf"^# {_NEEDS}(\w+):", script, re.MULTILINE)
    return None if found is None else found[1]


@dataclass(frozen=True, kw_only=True)
class _Script:
    """What a script has to have for its record; for every outcome where there is none."""

    source: CaseSource
    record: Record | None
    release: Release

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Those that ran; all that are declared where nothing is known."""
        if self.record is None or not self.record.pipelines:
            return tuple(name for name in self.source.pipelines if name not in self.without_capture)
        ran = [name for name, item in self.record.pipelines.items() if item.status in {"ok", "failed"}]
        return tuple(name for name in self.source.pipelines if name in ran)

    @property
    def without_capture(self) -> tuple[str, ...]:
        """The pipelines that cannot take what is captured non-strict: all with torch.ao's PT2E."""
        if self.source.strict:
            return ()
        homes = {name: self.release.second_homes if name == SECOND_PT2E else self.release.homes for name in self.pt2e}
        return tuple(name for name, known in homes.items() if known["convert_pt2e"].startswith("torch.ao"))

    @property
    def pt2e(self) -> tuple[str, ...]:
        """The declared pipelines that export the model."""
        return tuple(name for name in self.source.pipelines if self.exports(name))

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
    def failed_stages(self) -> frozenset[str]:
        """The stages at which a pipeline raises; all where nothing is known."""
        if self.record is None:
            return frozenset((*STAGES, *LIFECYCLE_STAGES, *RUNTIME_STAGES))
        return frozenset(item.failed_stage for item in self.record.pipelines.values() if item.failed_stage)

    @property
    def shows_graphs(self) -> bool:
        """Whether the converted graphs are printed: a check on them fails."""
        failed = () if self.record is None else (item for item in self.record.checks if item.status == "failed")
        return any(check.name != DETERMINISTIC_EVAL for check in failed)

    @property
    def shows_counts(self) -> bool:
        """Whether the numbers of quantize and dequantize ops are printed."""
        return shows_counts(self.record)

    @property
    def otherwise(self) -> frozenset[str]:
        """The pipelines that are run without the lifecycle, too, because they give other values then, or may."""
        if self.source.lifecycle in {"none", REPEATED}:
            return frozenset()
        return frozenset(self.source.pipelines) if self.record is None else changed_by_lifecycle(self.record)

    @property
    def says_otherwise(self) -> str:
        """What is printed of them."""
        return f"{OTHERWISE} without {self.source.lifecycle}"

    @property
    def may_mismatch(self) -> bool:
        """Whether outputs may differ in structure, shape or dtype."""
        return self.record is None or any(item.status == "mismatched" for item in self.record.comparisons)

    @property
    def may_lack_sqnr(self) -> bool:
        """Whether there may be no noise, no signal, or values that are not finite."""
        ran = () if self.record is None else self.record.pipelines.values()
        return self.record is None or any(
            item.is_converted
            and (item.sqnr_db is None or (item.lowering is not None and item.lowering.sqnr_db is None))
            for item in ran
        )

    @property
    def is_nested(self) -> bool:
        """Whether what is compared may be more than one tensor."""
        several = self.source.training is not None or self.source.lifecycle == REPEATED
        return several or not self.source.one_tensor

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
        if source.lifecycle == REPEATED:
            wanted.add(REPEATED)
        if self.record is not None and self.record.pipelines:
            # A point that a pipeline did not reach needs no code.
            wanted = {item.at for item in self.record.comparisons}
        return tuple((point, where) for point, where in COMPARED.items() if point in wanted - {LOWERED})

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Which pipelines are compared with each other."""
        return tuple(itertools.combinations(self.pipelines, 2))

    @property
    def runtimes(self) -> Mapping[str, RuntimeSource]:
        """The runtimes of the pipelines that run."""
        return {name: item for name, item in self.source.runtimes.items() if name in self.pipelines}

    @property
    def sides(self) -> Mapping[str, str]:
        """The pipelines of those that run, by what figures call them in their runtimes."""
        return {item.side: name for name, item in self.runtimes.items()}

    @property
    def lowered_pairs(self) -> tuple[tuple[str, str], ...]:
        """Which outputs of runtimes are compared with which others, by what figures call them."""
        if self.record is not None:
            return tuple((item.left, item.right) for item in self.record.comparisons if item.at == LOWERED)
        others = itertools.combinations(self.sides, 2) if LOWERED in self.source.compare else ()
        return (*((name, side) for side, name in self.sides.items()), *others)

    def takes_prepared(self, name: str) -> bool:
        """Whether a pipeline's runtime converts the prepared program itself."""
        return name in self.runtimes and self.runtimes[name].takes == "prepared"

    @property
    def captures(self) -> bool:
        """Whether a model is exported."""
        return self.source.reexports or any(map(self.exports, self.pipelines))

    @property
    def has_dynamic_batch(self) -> bool:
        """Whether a model is exported for any size of its batch, beyond the sizes that its inputs leave open."""
        told = self.source.is_whole and self.source.inputs.shapes is not None
        return not told and any(phase.dynamic_batch for phase in self.source.phases)

    @property
    def definitions(self) -> tuple[str, ...]:
        """What quantizers define at the top of the script, once each."""
        sources = (
            phase.quantizers[self.kind(name)]
            for phase in self.source.phases
            for name in self.pipelines
            if self.defines_on_top(name)
        )
        return tuple(dict.fromkeys(item.definitions for item in sources if item.definitions))

    def is_fx(self, name: str) -> bool:
        """Whether a pipeline is FX graph mode."""
        return preset_of(name) == "fx"

    def exports(self, name: str) -> bool:
        """Whether a pipeline is a way of PT2E."""
        return preset_of(name) == "pt2e"

    def is_own(self, name: str) -> bool:
        """Whether a pipeline is not built in."""
        return preset_of(name) is None

    @property
    def own(self) -> tuple[str, ...]:
        """The pipelines of the script that are not built in."""
        return tuple(filter(self.is_own, self.pipelines))

    def kind(self, name: str) -> str:
        """Whose quantizer a pipeline takes: a preset, or its own."""
        return preset_of(name) or name

    def function(self, name: str) -> str:
        """The function that runs a pipeline; names of distributions have signs that functions may not have."""
        return f"run_{_NO_NAME.sub('_', name)}"

    def defines_on_top(self, name: str) -> bool:
        """Whether a pipeline's quantizer is defined at the top: where no other of the script has the same names."""
        return self.source.is_whole and name in {"fx", "pt2e"}

    def local_imports(self, name: str) -> tuple[str, ...]:
        """The imports of a pipeline whose names mean something else in the rest of the script."""
        if name != SECOND_PT2E:
            return ()
        source = self.source
        used = {"convert_pt2e", *("prepare_qat_pt2e" if phase.trains else "prepare_pt2e" for phase in source.phases)}
        if source.trains and not source.converts_in_training:
            used.add("move_exported_model_to_eval")
        if source.training is not None and source.training.observers_off:
            used.add("disable_observer")
        if source.lifecycle == "eval_and_train":
            used |= {"disable_observer", "move_exported_model_to_eval", "move_exported_model_to_train"}
            used |= set() if source.training is None or source.training.observers_off else {"enable_observer"}
        quantizers = [phase.quantizers[self.kind(name)] for phase in source.phases]
        text = "\n".join([*sorted(used), *(line for item in quantizers for line in (item.definitions, *item.lines))])
        lines = import_lines(text, homes=self.release.second_homes).splitlines()
        return tuple(line for line in lines if not line.startswith("import "))

    def observer_way(self, name: str) -> str:
        """What switches observers off, by its full name."""
        homes = self.release.second_homes if name == SECOND_PT2E else self.release.homes
        home = "torch.ao.quantization" if self.is_fx(name) else homes["disable_observer"]
        return f"{home}.disable_observer"


def _head(
    source: CaseSource,
    record: Record | None,
    environment: Environment,
    *,
    checked: str | None,
    notes: tuple[str, ...],
) -> Iterator[str]:
    """The lines of the header; every text in it is on lines that begin with a comment's sign."""
    yield from _wrapped("" if record is None else _sentence(record))
    yield ""
    yield f"case      {_one_line(source.case_id)}"
    yield f"command   qatrix repro '{_one_line(source.case_id)}'    (qatrix {__version__})"
    yield from _wrapped(_versions(environment), first="versions  ")
    for package in source.packages:
        yield from _wrapped(package, first=_NEEDS)
    if checked is not None:
        yield from _wrapped(checked, first="checked   ")
    for path in source.files:
        yield from _wrapped(path, first="reads     ")
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
    summary = record.summary.rstrip(".")
    if record.verdict in {"exact", "close", "checked"}:
        return f"The pipelines agree: {summary}." if record.comparisons else f"Nothing is wrong: {summary}."
    return f"What is wrong: {summary}."


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
    made = jinja2.Environment(  # noqa: S701
        loader=templates(),
        bytecode_cache=compiled("scripts"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["literal"] = literal
    return made


def _template(name: str) -> jinja2.Template:
    return _environment().get_template(f"repro/{name}.py.j2")
