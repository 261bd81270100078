"""The JSON Schema of a file, for editors."""

from __future__ import annotations

from typing import Any, Final

from qatrix.declare.schema.models import File

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
    return {"$schema": _DIALECT, **schema, "title": "qatrix matrix file"}
