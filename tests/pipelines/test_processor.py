"""What the processor has: asked of torch, else read where Linux tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from qatrix.outcomes import Environment
from qatrix.pipelines.torchenv import processor

X86 = "processor : 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n"
ARM = "processor : 0\nFeatures\t: fp asimd asimddp\n"
NAMES = {"vnni", "avx512", "amx", "asimddp", "onednn_vnni"}


@pytest.fixture(autouse=True)
def ask_again() -> Iterator[None]:
    """What is remembered is asked for again, before and after."""
    processor._words.cache_clear()
    yield
    processor._words.cache_clear()


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in place of /proc/cpuinfo, and a torch that cannot be asked."""
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "_CPUINFO", file)
    for name in processor._LIMITS:
        monkeypatch.delenv(name, raising=False)
    return file


def test_this_processor_has_or_lacks_every_feature() -> None:
    assert set(processor.cpu_features()) in (NAMES, set())


@pytest.mark.parametrize(
    ("text", "there"),
    [(X86, {"vnni", "avx512", "onednn_vnni"}), (ARM, {"asimddp"}), ("flags: avx2 avx_vnni", {"vnni", "onednn_vnni"})],
    ids=["x86", "arm", "vnni without avx512"],
)
def test_features_are_read_where_torch_cannot_be_asked(cpuinfo: Path, text: str, there: set[str]) -> None:
    cpuinfo.write_text(text)

    assert processor.cpu_features() == {name: name in there for name in NAMES}


def test_nothing_is_known_where_nobody_can_be_asked(cpuinfo: Path) -> None:
    assert processor.cpu_features() == {}


@pytest.mark.parametrize(
    ("variables", "allowed"),
    [
        ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, False),
        ({"DNNL_MAX_CPU_ISA": "avx512_core"}, False),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"}, False),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}, True),
        ({"ONEDNN_MAX_CPU_ISA": "ALL", "DNNL_MAX_CPU_ISA": "AVX2"}, True),
        ({"ONEDNN_MAX_CPU_ISA": ""}, True),
    ],
    ids=["avx2", "the older name", "another vnni", "vnni", "the newer name wins", "empty"],
)
def test_onednn_may_be_held_to_less(
    cpuinfo: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], allowed: bool
) -> None:
    cpuinfo.write_text(X86)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    features = processor.cpu_features()

    assert features["onednn_vnni"] is allowed
    assert features["vnni"]


def test_an_environment_tells_its_features_in_words() -> None:
    bare = Environment(python="3.11", platform="here", processor="this", packages={}, devices={}, threads=1)
    known = Environment(
        python="3.11",
        platform="here",
        processor="this",
        packages={},
        devices={},
        threads=1,
        cpu={"vnni": True, "amx": False},
    )

    assert bare.cpu_words == "not known"
    assert known.cpu_words == "no amx, vnni"
