"""What all declarations have in common: no keys but the known ones, and kinds of numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt


class Declaration(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


Count = Annotated[StrictInt, Field(ge=0)]
Positive = Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)]
# 1 as well as 1.5.
PositiveNumber = Annotated[StrictInt | StrictFloat, Field(gt=0, allow_inf_nan=False)]
Number = Annotated[StrictFloat, Field(ge=0, allow_inf_nan=False)]
