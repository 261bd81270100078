"""Departures of real runtimes are recognised from what these give."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from qatrix.judge.lowering import DepartureFacts, causes
from qatrix.pipelines import torchenv
from support.departures import departure, facts
from support.real_departures import clamp, convolution

# One process has what is measured in another for all of them.
pytestmark = [pytest.mark.torch, pytest.mark.xdist_group("departures")]
ROOT = Path(__file__).parents[3]
LOWERING = torchenv.lowering_missing(compiles=False)
on_x86 = pytest.mark.skipif(LOWERING is not None, reason=str(LOWERING))
with_qnnpack = pytest.mark.skipif("qnnpack" not in torchenv.engines(), reason="this build of torch has no qnnpack")


def python(arguments: Sequence[str], **variables: str) -> str:
    """What Python prints."""
    path = os.pathsep.join([str(ROOT / "runner"), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def without_vnni(tmp_path_factory: pytest.TempPathFactory) -> list[DepartureFacts]:
    """The same convolution with eight and with seven bits of activations, in a process without VNNI."""
    file = tmp_path_factory.mktemp("departures") / "facts.pt"
    python(["-m", "support.real_departures", str(file)], ONEDNN_MAX_CPU_ISA="AVX2")
    found: list[DepartureFacts] = torch.load(file, weights_only=False)
    return found


@on_x86
def test_inductor_without_vnni_saturates_as_adding_pairs_does(without_vnni: list[DepartureFacts]) -> None:
    eight_bits = without_vnni[0]
    (cause,) = causes(eight_bits)

    assert eight_bits.cpu["onednn_vnni"] is False
    assert cause.name == "saturates_in_16_bits"
    assert "adding the pairs in 16 bits, with saturation, reproduces all values of the runtime" in cause.evidence


@on_x86
def test_inductor_without_vnni_agrees_on_seven_bits(without_vnni: list[DepartureFacts]) -> None:
    seven_bits = without_vnni[1]

    torch.testing.assert_close(seven_bits.measured, seven_bits.reference, rtol=1e-5, atol=1e-6)
    assert [cause.name for cause in causes(seven_bits)] != ["saturates_in_16_bits"]


@on_x86
@pytest.mark.skipif(not torchenv.cpu_features().get("onednn_vnni"), reason="this processor has no VNNI")
def test_inductor_with_vnni_agrees_on_eight_bits() -> None:
    found = convolution("eight_bits")

    torch.testing.assert_close(found.measured, found.reference, rtol=1e-5, atol=1e-6)


@with_qnnpack
def test_the_clamp_of_qnnpack_loses_the_order_of_memory() -> None:
    reference, measured = clamp("qnnpack")
    act = departure("1", "relu6", kernel="nn.ReLU6")
    (cause,) = causes(
        facts(reference, measured, scale=0.01, runtime="native", options={"engine": "qnnpack"}, departure=act)
    )

    assert cause.name == "memory_order_lost"
    assert cause.sentence.startswith("qnnpack's clamp")


def test_the_clamp_of_another_engine_agrees() -> None:
    if "x86" not in torchenv.engines():
        pytest.skip("this build of torch has no engine x86")
    reference, measured = clamp("x86")

    assert float((reference - measured).abs().max()) < 0.05


@with_qnnpack
def test_the_script_for_the_clamp_shows_it() -> None:
    printed = python([str(ROOT / "docs/runtimes/qnnpack_clamp.py")]).splitlines()

    assert printed == [
        "torch.contiguous_format: 0 of 24 values are wrong",
        "torch.channels_last: 22 of 24 values are wrong",
    ]


@on_x86
@pytest.mark.slow
def test_the_script_for_the_saturation_shows_it() -> None:
    eight_bits, seven_bits = python([str(ROOT / "docs/runtimes/inductor_saturation.py")]).splitlines()[-2:]
    reference, lowered = figures(eight_bits)

    assert lowered < reference - 10
    reference, lowered = figures(seven_bits)
    assert lowered == pytest.approx(reference, abs=0.1)


def figures(line: str) -> tuple[float, float]:
    """The two numbers of decibels in a line."""
    words = line.split()
    return tuple(float(words[index - 1]) for index, word in enumerate(words) if word.startswith("dB"))  # type: ignore[return-value]  # there are two


def test_the_script_of_onnx_runtime_shows_saturation_where_the_processor_lacks_vnni() -> None:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    eight_bits, seven_bits = python([str(ROOT / "docs/runtimes/onnxruntime_saturation.py")]).splitlines()[-2:]

    assert seven_bits == "7 bits: without optimizations 27.7 dB, with all 27.7 dB"
    assert (eight_bits == "8 bits: without optimizations 27.8 dB, with all 27.8 dB") == torchenv.cpu_features()["vnni"]
