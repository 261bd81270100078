"""The keys of runtimes."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from qatrix.declare.schema.models.declaration import Declaration
from qatrix.declare.schema.values import RuntimeName, Text


class RuntimeUse(Declaration):
    """Where one pipeline's converted models run: the runtime, and its options beside it."""

    # Which options there are is the runtime's to say.
    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    runtime: RuntimeName = Field(description="the runtime's name")


class Runtime(Declaration):
    """Where converted models run: under each pipeline's name its runtime."""

    # Which names of pipelines these are is for who has the installed distributions to say.
    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    about: Text = Field(default="", description="what it is, in a few words")
