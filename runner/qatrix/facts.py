"""What the assertions of an expected graph may ask of its nodes.

`declare.language` reads assertions by this table, and `judge.graphs` has the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, kw_only=True)
class Question:
    """A function of assertions: how many arguments it takes, None for any number, and where it has an answer.

    `loops` says whether it is given `item for y in conv` instead of arguments. What is `exported` is noted by
    pipelines that export the model, and not by FX graph mode; what is `observed` is gone once a program is converted.
    """

    arguments: int | None = 1
    loops: Literal["never", "also", "only"] = "never"
    exported: bool = False
    observed: bool = False


QUESTIONS: Final[Mapping[str, Question]] = {
    "all": Question(loops="only"),
    "any": Question(loops="only"),
    "sum": Question(loops="only"),
    "sorted": Question(loops="only"),
    "distinct": Question(arguments=None, loops="also"),
    "len": Question(),
    "isclose": Question(arguments=2),
    "is_constant": Question(),
    "op": Question(),
    "module": Question(),
    "users": Question(),
    "operands": Question(),
    "shared": Question(arguments=2, observed=True),
    "annotated": Question(exported=True),
    "is_output": Question(exported=True),
    "tag": Question(exported=True),
    "from_node": Question(exported=True),
    "source_fn": Question(exported=True),
}
# The lists of nodes that a loop may go through, beside the nodes of an op.
NEIGHBORS: Final = frozenset({"users", "operands"})
# Any node, in an expected graph and in a loop.
ANYTHING: Final = "_"
