"""What a dotted path of the user's own names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from qatrix.declare.spec import RuntimeSpec, RuntimeUse
from qatrix.pipelines.own_code import import_own_code, own_object
from support import own_models, specs

pytestmark = pytest.mark.torch


def test_a_path_names_an_attribute_of_a_module_or_of_a_class_in_it() -> None:
    assert own_object("support.own_models.Net") is own_models.Net
    assert own_object("support.own_models.Net.small")().linear.out_features == 2


@pytest.mark.parametrize(
    ("path", "error", "told"),
    [
        ("support.own_models.Net.large", AttributeError, "'Net' has no attribute 'large'"),
        ("support.own_models.Other.small", AttributeError, "has no attribute 'Other'"),
        ("support.other_models.small", ModuleNotFoundError, "No module named 'support.other_models'"),
        ("not_there.Net.small", ModuleNotFoundError, "No module named 'not_there'; install it"),
    ],
)
def test_a_path_that_names_nothing_says_where_it_ends(path: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        own_object(path)


def test_the_modules_of_a_case_s_runtimes_are_imported_but_those_of_built_in_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chips.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "qatrix.pipelines.runtimes.exported", raising=False)
    uses = {
        "pt2e": RuntimeUse(runtime="chips.Chip", options={}),
        "fx": RuntimeUse(runtime="exported", options={}),
    }
    runtime = RuntimeSpec(name="chip", about="", uses=uses, source=specs.source())
    import_own_code(specs.case(runtime=runtime))

    assert "chips" in sys.modules
    assert "qatrix.pipelines.runtimes.exported" not in sys.modules
