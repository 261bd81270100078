"""Runtimes: for each pipeline, where its converted models run, and how that is told to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from qatrix.declare.expand.names import why_no_runtime
from qatrix.declare.inputs import DataFile
from qatrix.declare.language import nearest
from qatrix.declare.language.text import listed
from qatrix.declare.load.datafiles import BATCHES, read_file
from qatrix.declare.load.pipelines import Pipelines, plain_value
from qatrix.declare.load.registered import allow, read_registered
from qatrix.declare.load.registry import Declared, Registry
from qatrix.declare.registrations import RUNTIMES, registrations, unique_name
from qatrix.declare.schema import Cursor, models, read
from qatrix.declare.spec import QuantizerSpec, Registration, RuntimeSpec, RuntimeUse
from qatrix.declare.trust import Trust, runtime_kind
from qatrix.declare.yamltext import MappingNode
from qatrix.errors import Problem
from qatrix.expressions import Value
from qatrix.lowerings import REFERENCE
from qatrix.runtimes import BUILT_IN, Option
from qatrix.ways import BUILT_IN as PIPELINES
from qatrix.ways import preset_of

_WORD: Final = "runtime"
_KEY: Final = "runtime"
_KEYS: Final = (*models.Runtime.model_fields, *PIPELINES)
_A_FEW: Final = 2
_A_USE: Final = "a mapping: {runtime: its name, and its options}"


def read_runtimes(registry: Registry, *, trust: Trust, pipelines: Pipelines) -> dict[str, RuntimeSpec]:
    """Runtimes by name; those with a problem may be left out. No code of what they name is imported."""
    reader = _Reader(registry, trust, pipelines)
    # First, since a runtime that has other faults may name pipelines that there are not as well.
    uses = {item.name: reader.uses(item) for item in registry.declared("runtimes")}
    return {
        declared.name: RuntimeSpec(
            name=declared.name, about=model.about, uses=uses[declared.name], source=declared.cursor.source
        )
        for declared, model in registry.read("runtimes", models.Runtime)
    }


class _Reader:
    """Reads runtimes; what is wrong with them is noted."""

    def __init__(self, registry: Registry, trust: Trust, pipelines: Pipelines) -> None:
        self._registry = registry
        self._trust = trust
        self._pipelines = pipelines

    def uses(self, declared: Declared) -> dict[str, RuntimeUse]:
        """What a declaration says of each pipeline, by the pipeline's one name."""
        cursor = declared.cursor
        if declared.name == REFERENCE:
            message = f"'{REFERENCE}' is the converted program itself, and needs no declaration"
            self._registry.note(cursor.problem(message, expected="another name"))
        found: dict[str, RuntimeUse] = {}
        named = False
        for key, at in cursor.members():
            if key in models.Runtime.model_fields:
                continue
            named = True
            pipeline = self._pipelines.read_key(cursor.key(key), key, _KEYS)
            if pipeline is None:
                continue
            use = self._use(at, pipeline)
            if pipeline in found:
                message = f"'{key}' stands beside another name of pipeline '{pipeline}'"
                self._registry.note(cursor.key(key).problem(message, expected="one of them"))
            elif use is not None:
                found[pipeline] = use
        if not named and isinstance(cursor.node, MappingNode):
            expected = "under a pipeline's name its runtime, such as pt2e: {runtime: executorch}"
            self._registry.note(cursor.problem("the runtime names no pipeline", expected=expected))
        return found

    def _use(self, cursor: Cursor, pipeline: str) -> RuntimeUse | None:
        if not isinstance(cursor.node, MappingNode):
            self._registry.note(cursor.problem(f"{pipeline} is {cursor.found()}", expected=_A_USE))
            return None
        model, problems = read(models.RuntimeUse, cursor)
        self._registry.note(*problems)
        if model is None:
            return None
        at, name = cursor.down(_KEY), model.runtime
        if name in BUILT_IN:
            self._check_kind(at, name, pipeline)
            return RuntimeUse(runtime=name, options=self._options(cursor, name))
        if name == REFERENCE:
            message = f"'{REFERENCE}' is the converted program itself, which is lowered nowhere"
            self._registry.note(at.problem(message, expected=f"a runtime, or no key {pipeline}"))
            return None
        registration = read_registered(self._registry, at, name, RUNTIMES, _WORD)
        if registration is None and not allow(
            self._registry, at, name, runtime_kind(registrations(RUNTIMES)), self._trust
        ):
            return None
        unique = name if registration is None else unique_name(registration, RUNTIMES, BUILT_IN)
        return _own_use(cursor, unique, registration)

    def _check_kind(self, at: Cursor, name: str, pipeline: str) -> None:
        """Note a runtime that does not take the programs of a pipeline."""
        if _lowers(name, pipeline):
            return
        known = [other for other in BUILT_IN if _lowers(other, pipeline)]
        message = f"the runtime '{name}' does not take the programs of {pipeline}"
        self._registry.note(at.problem(message, expected=f"one of {', '.join(known)}"))

    def _options(self, cursor: Cursor, name: str) -> dict[str, object]:
        """Every option of a built-in runtime: as the YAML says, else the default; and its file, if it takes one."""
        known, file = BUILT_IN[name].options, BUILT_IN[name].file
        names = [*known, *([file] if file else [])]
        found: dict[str, object] = {option: values[0] for option, values in known.items()}
        if file is not None:
            found[file] = self._file(cursor, name, file)
        for option, at in cursor.members():
            if option in {_KEY, file}:
                continue
            if option not in known:
                message = f"the runtime '{name}' has no option '{option}'"
                expected = listed(names) if names else f"no option: {name} has none"
                self._registry.note(cursor.key(option).problem(message, expected=expected, hint=nearest(option, names)))
                continue
            value = _known_value(at, known[option])
            if value is None:
                allowed = [_as_yaml(item) for item in known[option]]
                text = getattr(at.node, "value", None)
                hint = nearest(text, allowed) if isinstance(text, str) else None
                expected = " or ".join(allowed) if len(allowed) <= _A_FEW else f"one of {', '.join(allowed)}"
                self._registry.note(at.problem(f"{option} is {at.found()}", expected=expected, hint=hint))
            else:
                found[option] = value
        return found

    def _file(self, cursor: Cursor, name: str, option: str) -> DataFile | None:
        """The file that an option names, None where there is none, which is noted."""
        text = getattr(cursor.down(option).node, "value", None) if cursor.has(option) else None
        if isinstance(text, str) and text:
            return read_file(self._registry, cursor.down(option), text, kinds=BATCHES)
        at = cursor.down(option) if cursor.has(option) else cursor
        found = f"{option} is {at.found()}" if cursor.has(option) else f"the key '{option}' is missing"
        self._registry.note(at.problem(found, expected=f"{option}: the file with what {name} is to give"))
        return None


def _lowers(name: str, pipeline: str) -> bool:
    """Whether a built-in runtime takes the programs of a pipeline.

    One that is not built in gives a module, which those take that do not convert it themselves.
    """
    preset = preset_of(pipeline)
    return BUILT_IN[name].takes == "converted" if preset is None else preset in BUILT_IN[name].presets


def _known_value(at: Cursor, known: tuple[Option, ...]) -> Option | None:
    """The value of an option, None where it is none of those that it may have."""
    found: object = getattr(at.node, "value", None)
    # 1 and true are equal in Python and different in YAML.
    return next((value for value in known if type(value) is type(found) and value == found), None)


def _as_yaml(value: Option) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _own_use(cursor: Cursor, name: str, registration: Registration | None) -> RuntimeUse:
    assert isinstance(cursor.node, MappingNode)
    options: Mapping[str, object] = {key: plain_value(node) for key, node in cursor.node.values.items() if key != _KEY}
    return RuntimeUse(runtime=name, options=options, registration=registration)


def idle_runtimes(
    axes: Mapping[str, tuple[Value, ...]], top: Cursor, quantizers: Mapping[str, QuantizerSpec]
) -> Iterator[Problem]:
    """The runtimes that no case of a product takes; where some do not, those cases are skipped with the reason."""
    names = [str(name) for name in axes.get("quantizer", ())]
    if not names or any(name not in quantizers for name in names):
        return
    for runtime, at in zip(axes.get("runtime", ()), top.items_of("runtime")):
        reasons = [
            why_no_runtime(runtime, lifecycle, quantizers[name])
            for name in names
            for lifecycle in axes.get("lifecycle", ("none",))
        ]
        if None not in reasons:
            yield at.problem(str(reasons[0]), expected="lifecycle: none, and a quantizer without phases")


def strange_runtimes(suite: Cursor, runtimes: Mapping[str, RuntimeSpec], pipelines: Sequence[str]) -> Iterator[Problem]:
    """The runtimes of a suite's axes that lower none of its pipelines."""
    places = [*([suite.down("axes")] if suite.has("axes") else []), *suite.items_of("include")]
    for at in (item for place in places for item in place.items_of("runtime")):
        spec = runtimes.get(str(getattr(at.node, "value", None)))
        # One without any has a fault of its own.
        if spec is not None and spec.uses and not spec.uses.keys() & set(pipelines):
            message = f"the runtime '{spec.name}' is of {' and '.join(spec.uses)}, and the suite runs none of these"
            if len(spec.uses) == 1:
                message = f"the runtime '{spec.name}' is of {next(iter(spec.uses))}, which the suite does not run"
            yield at.problem(message, expected=f"a runtime of {' or '.join(pipelines)}")
