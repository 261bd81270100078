"""The JSON Schema of a file, for editors."""

from __future__ import annotations

from typing import Any, Final

from qatrix.declare.schema.models import SAID_BY_A_CAUSE, File, RuntimeUse
from qatrix.lowerings import REFERENCE
from qatrix.runtimes import BUILT_IN, BuiltIn
from qatrix.ways import BUILT_IN as PIPELINES

# The keys of a quantizer of which one has to be there, unless pipelines that are not built in are told something.
_SAYING: Final = ("pt2e", "fx", "annotate", "phases")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a matrix file with any of the top-level keys."""
    schema = File.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    definitions["Pattern"]["oneOf"] = [
        {"required": ["forward"], "anyOf": [{"required": ["layers"]}, {"required": ["parameters"]}]},
        {"required": ["model"]},
    ]
    definitions["Input"]["oneOf"] = [{"required": ["batch", "channels"]}, {"required": ["shape"]}]
    known = [*definitions["Quantizer"]["properties"]]
    definitions["Quantizer"]["oneOf"] = [
        {"anyOf": [{"required": ["pt2e"]}, {"required": ["fx"]}]},
        {"required": ["annotate"]},
        {"required": ["phases"]},
        # What a pipeline that is not built in is told, under its name, may stand alone.
        {"not": {"anyOf": [*({"required": [key]} for key in _SAYING), {"propertyNames": {"enum": known}}]}},
    ]
    definitions["Quantizer"]["additionalProperties"] = {"type": "object"}
    _publish_runtimes(schema)
    # A declared cause says all of it.
    told = ({"required": [key]} for key in SAID_BY_A_CAUSE)
    definitions["Expectation"]["oneOf"] = [
        {"required": ["because"], "not": {"required": ["cause"]}},
        {"required": ["cause"], "not": {"anyOf": [*told]}},
    ]
    # What is not said of a processor is neither true nor false.
    for part in (definitions["Expectation"]["properties"]["cpu"], *definitions["CpuFeatures"]["properties"].values()):
        part.pop("default", None)
    return {"$schema": _DIALECT, **schema, "title": "qatrix matrix file"}


def _publish_runtimes(schema: dict[str, Any]) -> None:
    """Say of runtimes that every key beside `about` is a pipeline's, and which options the built-in ones have."""
    definitions, runtime = schema["$defs"], schema["$defs"]["Runtime"]
    schema["properties"]["runtimes"]["propertyNames"] = {"not": {"const": REFERENCE}}
    runtime["properties"] |= {name: {"$ref": "#/$defs/RuntimeUse"} for name in PIPELINES}
    runtime["additionalProperties"] = {"$ref": "#/$defs/RuntimeUse"}
    runtime["not"] = {"propertyNames": {"enum": ["about"]}}
    use = RuntimeUse.model_json_schema()
    use["allOf"] = [_options(name, known) for name, known in BUILT_IN.items()]
    definitions["RuntimeUse"] = use


def _options(name: str, known: BuiltIn) -> dict[str, Any]:
    """That a use of a built-in runtime has its options and no others."""
    options: dict[str, Any] = {
        option: {"enum": [*values], "default": values[0]} for option, values in known.options.items()
    }
    file = {} if known.file is None else {known.file: {"type": "string", "minLength": 1}}
    then: dict[str, Any] = {"properties": options | file, "propertyNames": {"enum": ["runtime", *options, *file]}}
    if file:
        then["required"] = [*file]
    return {"if": {"properties": {"runtime": {"const": name}}}, "then": then}
