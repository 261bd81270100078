"""A matrix that was read before is the matrix that reading gives; whatever could make another one makes it read."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qatrix.declare import matrixcodec
from qatrix.declare.load import load
from qatrix.declare.loaded import Loaded
from qatrix.declare.matrixcache import load_cached
from qatrix.declare.matrixcodec import NotKept
from qatrix.resources import folder
from support import specs
from support.distributions import install
from support.project import MATRIX, Project


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of kept matrices, a test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "qatrix" / "matrices"


def written(text: str = MATRIX, name: str = "m.yaml") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def files(kept: Path) -> list[Path]:
    return sorted(kept.iterdir()) if kept.exists() else []


# As text, because 1, 1.0 and True are equal.
def told(loaded: Loaded) -> str:
    return repr(loaded)


@pytest.mark.slow
def test_the_shipped_matrix_is_kept_and_the_same(kept: Path) -> None:
    shipped = [folder("matrix")]
    read = load(shipped)
    assert told(load_cached(shipped)) == told(read)
    assert len(files(kept)) == 1
    assert told(load_cached(shipped)) == told(read)
    assert load_cached(shipped) == read


def test_values_keep_their_types() -> None:
    params = {"a": 1, "b": 1.0, "c": True, "d": -0.0, "e": None, "f": "1", "g": (1, 2), "h": (1.0, True), "i": math.inf}
    axes = {"pattern": ("conv_bn",), "v": tuple(params.values())}
    read = Loaded(specs.matrix(specs.suite(axes=axes), patterns=[specs.pattern(params=params)]), ())
    assert told(matrixcodec.loads(matrixcodec.dumps(read))) == told(read)


@pytest.mark.processes
def test_a_second_process_reads_no_yaml() -> None:
    path = written()
    code = (
        "import sys; from pathlib import Path; from qatrix.declare.matrixcache import load_cached;"
        f"print(load_cached([Path({str(path)!r})]).matrix is not None, 'qatrix.declare.load' in sys.modules)"
    )
    printed = [subprocess.check_output([sys.executable, "-c", code], text=True).strip() for _ in range(2)]
    assert printed == ["True True", "True False"]


def changed_text() -> None:
    written(MATRIX.replace("bias: [true, false]", "bias: [true]"))


def changed_by_a_comment() -> None:
    written(f"# moves every line\n{MATRIX}")


@pytest.mark.parametrize("change", [changed_text, changed_by_a_comment])
def test_other_bytes_are_another_matrix(kept: Path, change: Callable[[], None]) -> None:
    path = written()
    before = load_cached([path])
    change()
    assert told(load_cached([path])) == told(load([path])) != told(before)
    assert len(files(kept)) == 2


def test_another_name_is_another_place_in_messages() -> None:
    first = load_cached([written()])
    second = load_cached([written(name="other/n.yaml")])
    assert first.matrix is not None
    assert second.matrix is not None
    assert second.matrix.files == ("other/n.yaml",)
    assert next(iter(second.matrix.suites.values())).source.file == "other/n.yaml"


def test_what_a_new_distribution_registers_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    path = written()
    load_cached([path])
    monkeypatch.syspath_prepend(install(tmp_path / "installed", "mine", "Mine = mine_code:Quantizer"))
    load_cached([path])
    assert len(files(kept)) == 2


def test_a_matrix_with_a_fault_is_read_again(kept: Path) -> None:
    path = written("suites: {s: {axes: {pattern: [missing]}}}\n")
    first = load_cached([path])
    assert first.matrix is None
    assert load_cached([path]) == first == load([path])
    assert not files(kept)


@pytest.mark.parametrize("path", ["absent.yaml", "."])
def test_what_cannot_be_read_is_told_as_ever(path: str, kept: Path) -> None:
    assert load_cached([Path(path)]) == load([Path(path)])
    assert not files(kept)


def test_a_matrix_that_runs_code_of_the_users_own_is_not_kept(kept: Path) -> None:
    path = written("quantizers:\n  q:\n    mode: ptq\n    pt2e: {quantizer: mine.Quantizer}\n")
    assert load_cached([path], allowed_modules=("mine",)).matrix is not None
    assert not files(kept)
    assert load_cached([path]).matrix is None


def test_a_registered_quantizer_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    monkeypatch.syspath_prepend(install(tmp_path / "installed", "mine", "Mine = mine_code:Quantizer"))
    assert load_cached([written("quantizers:\n  q:\n    mode: ptq\n    pt2e: {quantizer: Mine}\n")]).matrix is not None
    assert not files(kept)


def test_a_file_of_tensors_is_looked_at_each_time(kept: Path) -> None:
    Path("w.safetensors").write_bytes(b"")
    text = MATRIX.replace("shape: [2, 3]", "file: w.safetensors")
    assert load_cached([written(text)]) == load([Path("m.yaml")])
    assert not files(kept)


def cut(content: bytes) -> bytes:
    return content[:-20]


def flipped(content: bytes) -> bytes:
    return content.replace(b'"two"', b'"twp"') if b'"two"' in content else content[:-1] + b"]"


def emptied(content: bytes) -> bytes:
    return content[:0]


@pytest.mark.parametrize("damage", [cut, flipped, emptied])
def test_a_damaged_file_is_dropped_and_made_again(kept: Path, damage: Callable[[bytes], bytes]) -> None:
    path = written()
    read = load_cached([path])
    (file,) = files(kept)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert told(load_cached([path])) == told(read)
    assert file.read_bytes() == whole


def test_a_file_under_the_name_of_another_is_not_taken_for_it(kept: Path) -> None:
    path = written()
    load_cached([path])
    (first,) = files(kept)
    changed_text()
    wanted = load_cached([path])
    (second,) = [file for file in files(kept) if file != first]
    second.write_bytes(first.read_bytes())
    assert told(load_cached([path])) == told(wanted)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_in_its_place_is_not_waited_for(kept: Path) -> None:
    path = written()
    read = load_cached([path])
    (file,) = files(kept)
    file.unlink()
    os.mkfifo(file)
    assert told(load_cached([path])) == told(read)


def test_where_nothing_can_be_written_the_yaml_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    path = written()
    assert told(load_cached([path])) == told(load_cached([path])) == told(load([path]))


def test_the_newest_twenty_are_kept(kept: Path) -> None:
    for number in range(22):
        load_cached([written(f"# {number}\ndevices: {{gpu: {{torch: cuda}}}}\n")])
    assert len(files(kept)) == 20


@pytest.fixture
def data() -> Any:
    return json.loads(matrixcodec.dumps(load([written()])))


def no_rows(data: Any) -> None:
    data["rows"] = []


def other_fields(data: Any) -> None:
    data["kinds"][0].append("more")


def unknown_kind(data: Any) -> None:
    data["kinds"][0][0] = "Registration"


def long_row(data: Any) -> None:
    data["rows"][0].append(1)


def forward_reference(data: Any) -> None:
    data["rows"][0][1:] = [[1, len(data["rows"]) - 1]] * (len(data["rows"][0]) - 1)


def no_matrix(data: Any) -> None:
    data["matrix"] = [1, 0]


def a_text_for_a_problem(data: Any) -> None:
    data["problems"] = ["<script>"]


def unknown_tag(data: Any) -> None:
    data["matrix"] = [7, 0]


@pytest.mark.parametrize(
    "spoil",
    [no_rows, other_fields, unknown_kind, long_row, forward_reference, no_matrix, a_text_for_a_problem, unknown_tag],
)
def test_what_is_no_matrix_is_refused(data: Any, spoil: Callable[[Any], None]) -> None:
    spoil(data)
    with pytest.raises(NotKept):
        matrixcodec.loads(json.dumps(data))


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"kinds": 1}', "[" * 100_000, "NaN"])
def test_what_is_no_data_of_a_matrix_is_refused(text: str) -> None:
    with pytest.raises(NotKept):
        matrixcodec.loads(text)


def test_a_forged_file_cannot_consent_to_code(kept: Path) -> None:
    """Whole by its checksum, and yet its quantizer is a class of a module that nobody allowed."""
    path = written("quantizers:\n  q:\n    mode: ptq\n    pt2e: {quantizer: X86InductorQuantizer}\n")
    read = load_cached([path])
    (file,) = files(kept)
    body = file.read_bytes()[65:].replace(b'"X86InductorQuantizer"', b'"os.system"')
    assert b"os.system" in body
    checksum = hashlib.sha256(file.name.encode() + b"\n" + body).hexdigest()
    file.write_bytes(checksum.encode() + b"\n" + body)
    assert told(load_cached([path])) == told(read)


@pytest.mark.parametrize("command", ["list", "check"])
def test_commands_say_the_same_with_and_without_it(
    project: Project, kept: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """`QATRIX_MATRIX_CACHE=off` has the YAML read each time, and nothing kept."""
    stale = 'expected: [{cases: "none/*", verdict: diverged, because: "known"}]\n'
    project.write({"matrix/small.yaml": f"{stale}{MATRIX}"})
    monkeypatch.setenv("QATRIX_MATRIX_CACHE", "off")
    plain = project.run(command)
    assert not files(kept)
    monkeypatch.delenv("QATRIX_MATRIX_CACHE")
    assert project.run(command) == project.run(command) == plain
    assert len(files(kept)) == 1
