"""What a YAML file may contain: `models` reads like the documentation, one line per key."""

from __future__ import annotations

from qatrix.declare.schema.cursor import Cursor
from qatrix.declare.schema.faults import read
from qatrix.declare.schema.models import SECTIONS, File
from qatrix.declare.schema.published import json_schema

__all__ = ["SECTIONS", "Cursor", "File", "json_schema", "read"]
