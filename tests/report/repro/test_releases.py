"""What a script writes in a torch release, against the release that is installed."""

from __future__ import annotations

import importlib

import pytest

from qatrix.report.repro.releases import Release


@pytest.mark.torch
def test_every_name_is_where_a_script_imports_it_from() -> None:
    from qatrix.pipelines.torchenv import environment

    release = Release.of(environment().packages)
    missing = {
        name
        for name, home in release.homes.items()
        if name != "capture_pre_autograd_graph" and not hasattr(importlib.import_module(home), name)
    }

    assert missing == set()


@pytest.mark.torch
def test_a_model_is_captured_as_the_runner_captures_it() -> None:
    import torch

    from qatrix.pipelines.torchenv.capturing import capture_name

    release = Release.of({"torch": str(torch.__version__)})
    expected = (
        "capture_pre_autograd_graph" if release.captures_modules else f"torch.export.{release.export}(strict=True)"
    )
    assert capture_name().endswith(expected)


@pytest.mark.parametrize("version", [None, "", "main"])
def test_an_unknown_release_is_taken_for_a_new_one(version: str | None) -> None:
    assert Release.of({"torch": version}) == Release.of({"torch": "2.15.0"})


def test_a_local_version_is_its_release() -> None:
    assert Release.of({"torch": "2.5.1+cpu"}) == Release.of({"torch": "2.5.0"})


def test_a_quantizer_that_moved_comes_from_where_it_is_in_the_environment() -> None:
    torchao = {"torch": "2.15.0", "torchao": "0.18.0"}
    name = "XNNPACKQuantizer"

    assert Release.of(torchao | {"executorch": None}).homes[name] == "torchao.testing.pt2e._xnnpack_quantizer"
    assert Release.of(torchao | {"executorch": "1.5.1"}).homes[name].startswith("executorch.")
    assert Release.of({"torch": "2.6.0", "executorch": "1.5.1"}).homes[name].startswith("torch.ao.")
