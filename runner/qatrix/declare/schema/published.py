"""The JSON Schema of a file, for editors."""

from __future__ import annotations

from typing import Any

from qatrix.declare.schema.models import File

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
    definitions["Quantizer"]["oneOf"] = [
        {"anyOf": [{"required": ["pt2e"]}, {"required": ["fx"]}]},
        {"required": ["annotate"]},
        {"required": ["phases"]},
    ]
    return {"$schema": _DIALECT, **schema, "title": "qatrix matrix file"}
