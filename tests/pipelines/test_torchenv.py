"""What the installed torch has: names that are missing are told with the command that brings them."""

from __future__ import annotations

import pytest
import torch

from qatrix.pipelines import torchenv


def test_the_environment_names_versions_and_devices() -> None:
    environment = torchenv.environment()

    assert environment.packages["torch"] == torch.__version__.partition("+")[0]
    assert set(environment.packages) == {*torchenv.PACKAGES, "qatrix"}
    assert "cpu" in environment.devices


def test_a_missing_package_is_told_with_the_command_that_brings_it() -> None:
    with pytest.raises(
        torchenv.PackageMissing, match=r"no_such_package\.inside cannot be imported .* pip install no_such_package"
    ):
        torchenv.imported("no_such_package.inside")


def test_a_name_that_the_release_lacks_is_told() -> None:
    with pytest.raises(torchenv.PackageMissing, match="this release of PT2E quantization has no NoSuchQuantizer"):
        torchenv.pt2e_api().find("NoSuchQuantizer")


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("cpu", None),
        ("abacus", "this torch knows no device 'abacus'"),
        pytest.param(
            "cuda",
            "no CUDA device here: torch.cuda.is_available() is False",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)
def test_a_device_that_is_not_here_has_a_reason(device: str, reason: str | None) -> None:
    assert torchenv.device_missing(device) == reason


def test_the_quantized_engines_are_listed() -> None:
    assert torchenv.engines()
