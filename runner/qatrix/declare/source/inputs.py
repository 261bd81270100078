"""Inputs as expressions that draw random tensors, or read them from files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from qatrix.declare.inputs import DataFile, Drawn, InputSpec, Outlier, tensors_of
from qatrix.declare.spec import Case
from qatrix.expressions import evaluate
from qatrix.scripts import InputSource, literal

_FLOATING: Final = frozenset("bfloat16 float16 float32 float64".split())
# As pipelines.batches draws them.
_INTEGER_HIGH: Final = 8
_READERS: Final[Mapping[str, str]] = {
    ".npz": "read_npz({})",
    ".safetensors": "load_file({})",
    ".pt": "torch.load({}, weights_only=True)",
    ".pth": "torch.load({}, weights_only=True)",
}


def input_source(case: Case) -> InputSource:
    """The case's inputs, to be evaluated in order right after torch.manual_seed."""
    scope = {**case.params, "dim": case.dim}
    texts = [(spec, _text(spec, scope, case.dtype)) for spec in case.pattern.inputs]
    files = [spec.file for spec in tensors_of(case.pattern.inputs) if spec.file is not None]
    kinds = dict.fromkeys(kind for file in files for kind in file.kinds)
    counts = (
        f"len({_read(spec.file, _sizes(spec, scope), whole=spec.whole)})"
        for spec in tensors_of(case.pattern.inputs)
        if spec.file is not None
    )
    return InputSource(
        args=tuple(text for spec, text in texts if not spec.keyword),
        kwargs={spec.name: text for spec, text in texts if spec.keyword},
        nests=any(spec.holds != "tensor" for spec in case.pattern.inputs),
        calibration_batches=case.calibration_batches,
        files=tuple(dict.fromkeys(file.path for file in files)),
        readers={kind: _READERS[kind].format("path") for kind in kinds},
        counted=next(counts, None),
        **_freedom(case),
    )


def _freedom(case: Case) -> dict[str, Any]:
    """The sizes that are open, and how torch.export is told; nothing where no axis of an input is named."""
    inputs = sorted(case.pattern.inputs, key=lambda spec: spec.keyword)
    free = {id(spec): _axes(spec, case) for spec in tensors_of(inputs)}
    if not any(spec.free for spec in tensors_of(inputs)):
        return {}
    names = dict.fromkeys(name for axes in free.values() for _, name in axes)
    # A size may be called like anything else in the script.
    dims = {name: f"{name}_size" for name in names}
    return {"dims": dims, "shapes": _tuple([_shapes(spec, free, dims) for spec in inputs])}


def _axes(spec: InputSpec, case: Case) -> tuple[tuple[int, str], ...]:
    """The open axes of a tensor; a free batch is that of every tensor with an axis."""
    has_axes = not spec.whole or bool(spec.shape)
    first = {0: "batch"} if case.dynamic_batch and has_axes else {}
    return tuple((first | dict(spec.free)).items())


def _shapes(spec: InputSpec, free: Mapping[int, tuple[tuple[int, str], ...]], dims: Mapping[str, str]) -> str:
    if spec.holds == "tuple":
        return _tuple([_shapes(part, free, dims) for part in spec.parts])
    if spec.holds == "dict":
        return "{" + ", ".join(f"{literal(part.name)}: {_shapes(part, free, dims)}" for part in spec.parts) + "}"
    axes = ", ".join(f"{axis}: {dims[name]}" for axis, name in free[id(spec)])
    return f"{{{axes}}}" if axes else "None"


def reading(path: str) -> str:
    """The expression that reads a file of tensors."""
    return _READERS[_ending(path)].format(literal(path))


def _ending(path: str) -> str:
    return path[path.rindex(".") :]


def drawn_text(spec: InputSpec, scope: Mapping[str, object]) -> str:
    """The expression that draws a parameter or buffer of a pattern's own."""
    return _text(spec, scope, "float32")


def _text(spec: InputSpec, scope: Mapping[str, object], float_dtype: str) -> str:
    if spec.holds == "tuple":
        return _tuple([_text(part, scope, float_dtype) for part in spec.parts])
    if spec.holds == "dict":
        items = (f"{literal(part.name)}: {_text(part, scope, float_dtype)}" for part in spec.parts)
        return "{" + ", ".join(items) + "}"
    sizes = _sizes(spec, scope)
    dtype = float_dtype if spec.dtype == "float32" else spec.dtype
    if spec.file is not None:
        made, has = f"{_read(spec.file, sizes, whole=spec.whole)}[number]", spec.dtype
    else:
        made, has = _drawn(spec, sizes)
    if dtype != has:
        made = f"{made}.to(torch.{dtype})"
    if spec.memory_format != "contiguous":
        made = f"{made}.contiguous(memory_format=torch.{spec.memory_format})"
    return made


def _sizes(spec: InputSpec, scope: Mapping[str, object]) -> list[Any]:
    sizes: list[Any] = [evaluate(size, scope) for size in spec.shape]
    if spec.spatial is not None:
        dim = scope["dim"]
        sizes += [evaluate(spec.spatial, scope)] * (dim if isinstance(dim, int) else 0)
    return sizes


def _tuple(texts: list[str]) -> str:
    """Expressions as a tuple."""
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"


def _read(file: DataFile, sizes: list[Any], *, whole: bool) -> str:
    key = "" if file.key is None else f", {literal(file.key)}"
    how = f"{literal(sizes)}, {whole}{key}"
    if file.kinds:
        return f"batches_in_folder({literal(file.path)}, {how})"
    return f"batches_in({reading(file.path)}, {how})"


def _drawn(spec: InputSpec, sizes: list[Any]) -> tuple[str, str]:
    """The expression that draws values, and the dtype that they have."""
    if spec.values is not None:
        return _distributed(spec.values, sizes)
    if spec.dtype in _FLOATING:
        return f"torch.randn({', '.join(map(literal, sizes)) or '()'})", "float32"
    high = 2 if spec.dtype == "bool" else _INTEGER_HIGH
    return f"torch.randint(0, {high}, {literal(tuple(sizes))})", "int64"


def _distributed(values: Drawn, sizes: list[Any]) -> tuple[str, str]:
    first, second = (literal(number) for number in (values.numbers[0], values.numbers[-1]))
    shape = ", ".join(map(literal, sizes)) or "()"
    dtype = "float32"
    match values.kind:
        case "normal":
            drawn = f"torch.randn({shape}) * {second} + {_signed(first)}"
        case "uniform":
            width = literal(values.numbers[1] - values.numbers[0])
            drawn = f"torch.rand({shape}) * {width} + {_signed(first)}"
        case "integers":
            drawn, dtype = f"torch.randint({first}, {second}, {literal(tuple(sizes))})", "int64"
        case "constant":
            drawn = f"torch.full({literal(tuple(sizes))}, {first})"
            dtype = "int64" if isinstance(values.numbers[0], int) else "float32"
    if values.outlier is not None:
        return _with_outlier(drawn, values.outlier), "float32"
    return (f"({drawn})" if values.kind in ("normal", "uniform") else drawn), dtype


def _signed(number: str) -> str:
    return f"({number})" if number.startswith("-") else number


def _with_outlier(drawn: str, outlier: Outlier) -> str:
    changes = ", ".join(map(literal, (outlier.axis, outlier.channel, outlier.factor, outlier.offset)))
    return f"with_outlier({drawn}, {changes})"
