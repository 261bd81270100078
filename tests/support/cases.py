"""Cases for tests: from the shipped matrix, or from a few lines of YAML beside its patterns and quantizers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from qatrix.declare.inputs import InputSpec
from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.source import case_source
from qatrix.declare.spec import Case, Matrix, PatternSpec
from qatrix.expressions import Literal
from qatrix.report.repro import own_names
from qatrix.resources import folder
from qatrix.scripts import CaseSource
from support import specs

_PATTERNS: Final = "patterns"
# What cases are made of.
SHIPPED: Final = (_PATTERNS, "conv_kinds.yaml", "quantizers.yaml", "runtimes.yaml", "checks.yaml", "devices.yaml")


@cache
def shipped_cases(*globs: str) -> tuple[Case, ...]:
    """Cases of the shipped matrix, which is read once: no test changes it, and a case cannot be changed."""
    return select(_shipped(), Selection(cases=globs)).cases


def written_cases(tmp_path: Path, text: str, *globs: str, shipped: Sequence[str] = SHIPPED) -> tuple[Case, ...]:
    """Cases of the suites in `text`, which may use what these shipped files declare."""
    path = tmp_path / "written.yaml"
    path.write_text(text)
    # Reading the patterns takes four fifths of the time: of their files those are read whose patterns the text names.
    patterns = sorted(_pattern_files(text)) if _PATTERNS in shipped else []
    others = [folder("matrix") / name for name in shipped if name != _PATTERNS]
    return select(_loaded([*patterns, *others, path]), Selection(cases=globs)).cases


def source_of(case: Case) -> CaseSource:
    """The case as source, for a script."""
    return case_source(case, taken=own_names())


def factory_case(factory: str, shape: Sequence[int], quantizer: str) -> Case:
    """A case whose model comes from a factory, with one input of this shape and a shipped quantizer."""
    like = next(case for case in shipped_cases() if case.quantizer.name == quantizer and case.training is None)
    place = like.source
    size = tuple(Literal(length) for length in shape)
    drawn = InputSpec(name="x", shape=size, spatial=None, dtype="float32", source=place)
    name = factory.rpartition(".")[2]
    model = specs.factory(name, factory=factory, inputs=(drawn,))
    axes = {"pattern": name, "quantizer": quantizer, "device": "cpu"}
    case_id = f"made/{name}/quantizer={quantizer},device=cpu"
    return specs.case(case_id, axes=axes, pattern=model, params={}, conv_kind=None, dim=None, quantizer=like.quantizer)


@cache
def _shipped() -> Matrix:
    return _loaded([folder("matrix")])


def _pattern_files(text: str) -> set[Path]:
    """The files of the shipped patterns that a text names, and of those that the layers of any in them are made of."""
    files, more = set[Path](), {_homes()[word] for word in re.findall(r"\w+", text) if word in _homes()}
    while more:
        files |= more
        more = {other for file in more for other in _beside()[file]} - files
    return files


@cache
def _homes() -> Mapping[str, Path]:
    """The file of each shipped pattern."""
    return {name: _file_of(pattern) for name, pattern in _patterns().items()}


@cache
def _beside() -> Mapping[Path, frozenset[Path]]:
    """Of each file of shipped patterns, the files of the patterns that are layers in it."""
    layers = [(_file_of(pattern), layer.pattern) for pattern in _patterns().values() for layer in pattern.layers]
    return {
        home: frozenset(_file_of(made) for file, made in layers if made and file == home)
        for home in set(_homes().values())
    }


@cache
def _patterns() -> Mapping[str, PatternSpec]:
    return _loaded([folder("matrix") / name for name in SHIPPED]).patterns


def _file_of(pattern: PatternSpec) -> Path:
    # By its name, since the current folder that the path is shown from is another in some tests.
    return folder("matrix") / _PATTERNS / Path(pattern.source.file).name


def _loaded(paths: list[Path]) -> Matrix:
    # Tests name classes of torch as factories.
    loaded = load(paths, allowed_modules=("torch",))
    assert loaded.matrix is not None, loaded.problems
    return loaded.matrix
