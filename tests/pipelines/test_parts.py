"""The modules that parts stand for in a model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from qatrix.declare.spec import Composition, FxPreset, Part, PhaseSpec, Pt2ePreset, QConfigSpec, QuantizerSpec
from qatrix.pipelines.parts import PartFault, settings, with_paths
from support import specs

pytestmark = pytest.mark.torch


class Widened(nn.Linear):
    """A class of its own, which no `types` means."""


def model() -> nn.Module:
    """Two blocks with a head each, and one module under two names."""
    blocks = [nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(2)]
    made = nn.ModuleDict({"blocks": nn.ModuleList(blocks), "head": Widened(2, 2), "tied": nn.Identity()})
    made["again"] = made["tied"]
    return made


def of_modules(*globs: str) -> QuantizerSpec:
    parts = tuple(Part[str | QConfigSpec](name=glob, setting=None) for glob in globs)
    return specs.quantizer(pt2e=None, fx=FxPreset(backend_config="qnnpack", qconfig="default_qconfig", modules=parts))


@pytest.mark.parametrize(
    ("glob", "paths"),
    [
        pytest.param("head", ("head",), id="a path"),
        pytest.param(
            "blocks.*", ("blocks.0", "blocks.0.0", "blocks.0.1", "blocks.1", "blocks.1.0", "blocks.1.1"), id="*"
        ),
        pytest.param("blocks.?.0", ("blocks.0.0", "blocks.1.0"), id="?"),
        pytest.param("{head,blocks.[1-9]}", ("blocks.1", "head"), id="braces and brackets"),
        pytest.param("{tied,again}", ("tied", "again"), id="two names of one module"),
    ],
)
def test_a_glob_stands_for_the_modules_whose_whole_path_fits(glob: str, paths: tuple[str, ...]) -> None:
    found = with_paths(of_modules(glob), model()).fx

    assert found is not None
    assert found.modules == (Part(name=glob, setting=None, paths=paths),)


def test_a_class_stands_for_its_own_modules_and_not_for_those_of_classes_that_derive_from_it() -> None:
    linear = Part[str | QConfigSpec](name="Linear", setting=None)
    spec = specs.quantizer(fx=FxPreset(backend_config="qnnpack", qconfig="default_qconfig", types=(linear,)))
    found = with_paths(spec, model()).fx

    assert found is not None
    assert found.types[0].paths == ("blocks.0.0", "blocks.1.0")


def test_a_glob_that_fits_nothing_is_told_with_what_there_is() -> None:
    with pytest.raises(PartFault, match=r"quantizer 'int8', fx: the glob 'haed' fits no module of the model; "):
        with_paths(of_modules("haed"), model())
    with pytest.raises(PartFault, match=r"fits any of blocks, .* and 2 more \(did you mean 'head'\?\)$"):
        with_paths(of_modules("haed"), model())
    with pytest.raises(PartFault, match=r"fits any of no module, because it has none$"):
        with_paths(of_modules("head"), nn.Identity())


def test_the_last_part_that_fits_a_module_counts() -> None:
    parts = (
        Part[str | QConfigSpec](name="*", setting="one", paths=("a", "b")),
        Part[str | QConfigSpec](name="b", setting=None, paths=("b",)),
    )

    assert settings(parts) == {"a": "one", "b": None}


def test_parts_are_not_used_before_the_model_is_known() -> None:
    with pytest.raises(ValueError, match="nobody has looked for the modules of 'head' in a model"):
        settings((Part[str | QConfigSpec](name="head", setting=None),))


def test_parts_are_found_in_every_quantizer_of_phases_and_compositions() -> None:
    preset = Pt2ePreset(quantizer="XNNPACKQuantizer", config={}, modules=(Part(name="head", setting=None),))
    member = specs.quantizer(pt2e=preset)
    composed = specs.quantizer(pt2e=Composition(members=(member, specs.quantizer())))
    phase = PhaseSpec(quantizer=composed, submodules=(), dynamic_batch=False, skip_modules=(), source=specs.source())
    found = with_paths(specs.quantizer(pt2e=None, fx=None, phases=(phase,)), model())

    assert [preset.modules for preset in found.presets] == [(replace(preset.modules[0], paths=("head",)),), ()]
