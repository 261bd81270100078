"""The releases of torch that tox runs the matrix on: every pinned set has its factor, and is what it is called."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# One section for all factors.
SECTION = "testenv:matrix-torch{23,25,26,28,29,211,213,215}"
PINNED = sorted((ROOT / "constraints").glob("torch-*.txt"))


def tox(section: str, key: str) -> str:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "tox.ini")
    return parser[section][key]


def factor(path: Path) -> str:
    return path.stem.replace("-", "").replace(".", "")


def pins(path: Path) -> dict[str, str]:
    lines = (line for line in path.read_text().splitlines() if "==" in line)
    return dict(line.split("==", 1) for line in lines)


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.stem)
def test_a_pinned_set_holds_the_torch_that_it_is_called_after(path: Path) -> None:
    assert pins(path)["torch"].startswith(path.stem.removeprefix("torch-") + ".")


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.stem)
def test_a_pinned_set_has_a_factor_that_runs_the_matrix(path: Path) -> None:
    name = factor(path)
    section = next(
        line for line in (ROOT / "tox.ini").read_text().splitlines() if line.startswith("[testenv:matrix-torch")
    )
    releases = re.findall(r"\d+", section)

    assert name.removeprefix("torch") in releases
    assert f"{name}: UV_CONSTRAINT = {{tox_root}}/constraints/{path.name}" in tox(section[1:-1], "set_env")


def test_the_releases_that_run_together_are_those_that_are_compared() -> None:
    together = re.findall(r"matrix-torch\d+", tox("tox", "labels"))

    assert {path.stem for path in PINNED if f"matrix-{factor(path)}" in together} >= {
        "torch-2.5",
        "torch-2.9",
        "torch-2.15",
    }
    assert re.findall(r"matrix-torch\d+", tox("testenv:matrix-releases", "commands")) == together


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.stem)
def test_torchao_is_pinned_where_it_is_used(path: Path) -> None:
    without = re.search(r"^(.*): UV_OVERRIDE", tox(SECTION, "set_env"), re.MULTILINE)

    assert without
    assert ("torchao" in pins(path)) != (factor(path) in without[1])
