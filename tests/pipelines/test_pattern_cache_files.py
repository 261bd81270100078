"""The files of pattern graphs: whole or not there, bound to their environment, and never in the way."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx

from qatrix.pipelines import pattern_cache, torchenv
from qatrix.pipelines.pattern_cache.files import Files, files_for
from qatrix.pipelines.pattern_cache.keys import Unkeyable, digest_of, key_of

pytestmark = pytest.mark.torch
DIGEST = "d" * 64


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(folder=tmp_path / "patterns", sources=frozenset({Path(__file__).parent}))


class Identity(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu()


class Exports:
    """The real export of a small pattern, counted."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, pattern: Any, inputs: tuple[Any, ...], is_cuda: bool = False, **kwargs: Any) -> fx.GraphModule:
        self.count += 1
        module: Any = torch.export.export(pattern, inputs, kwargs, strict=True).module()
        for node in module.graph.find_nodes(op="call_module"):
            module.graph.erase_node(node)
        module.recompile()
        assert isinstance(module, fx.GraphModule)
        return module


def exports_of_two_processes(monkeypatch: pytest.MonkeyPatch, files: Files, spoil: Any = None) -> int:
    exports = Exports()
    for _ in range(2):
        # What another process begins with.
        monkeypatch.setattr(pattern_cache, "_MEMO", {})
        pattern_cache.memoised(exports, files)(Identity(), (torch.ones(2),))
        if spoil is not None and exports.count == 1:
            (path,) = files.folder.iterdir()
            spoil(path)
    return exports.count


def test_another_process_does_not_export_again(monkeypatch: pytest.MonkeyPatch, files: Files) -> None:
    assert exports_of_two_processes(monkeypatch, files) == 1


def test_what_is_exported_where_nothing_is_remembered_goes_nowhere(
    monkeypatch: pytest.MonkeyPatch, files: Files
) -> None:
    exports, known = Exports(), dict[Any, Any]()
    monkeypatch.setattr(pattern_cache, "_MEMO", known)
    lookup = pattern_cache.memoised(exports, files, ahead=lambda *_: pytest.fail("all were exported"))
    with pattern_cache.nothing_remembered(patterns=False):
        lookup(Identity(), (torch.ones(2),))

    assert (exports.count, known, files.folder.exists()) == (1, {}, False)


def test_what_has_a_file_is_read_where_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch, files: Files) -> None:
    exports = Exports()
    pattern_cache.memoised(exports, files)(Identity(), (torch.ones(2),))
    monkeypatch.setattr(pattern_cache, "_MEMO", {})
    with pattern_cache.nothing_remembered(patterns=False):
        pattern_cache.memoised(exports, files)(Identity(), (torch.ones(2),))

    assert exports.count == 1


def test_patterns_are_exported_once_for_all_before_code_runs_that_could_change_them(
    monkeypatch: pytest.MonkeyPatch, files: Files
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(pattern_cache, "files_for", lambda _: files)
    monkeypatch.setattr(pattern_cache, "_export_ahead", lambda *given: asked.append(given))
    with pattern_cache.pattern_cache():
        for patterns in (False, True, True):
            with pattern_cache.nothing_remembered(patterns=patterns):
                pass

    assert len(asked) == 1


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def fill(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"relu", b"tanh"))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def pickle(path: Path) -> None:
    path.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("spoil", [cut, fill, empty, pickle, replace_by_folder, replace_by_pipe])
def test_a_spoiled_file_is_exported_anew(monkeypatch: pytest.MonkeyPatch, files: Files, spoil: Any) -> None:
    assert exports_of_two_processes(monkeypatch, files, spoil) == 2


def test_whole_data_that_is_no_graph_is_dropped_and_written_anew(monkeypatch: pytest.MonkeyPatch, files: Files) -> None:
    def spoil(path: Path) -> None:
        files.write(path.stem, {"nodes": []})

    assert exports_of_two_processes(monkeypatch, files, spoil) == 2
    (path,) = files.folder.iterdir()
    assert files.read(path.stem)["nodes"]


def test_without_a_folder_to_write_to_nothing_is_said(monkeypatch: pytest.MonkeyPatch, files: Files) -> None:
    files.folder.write_text("a file where the folder should be")

    assert exports_of_two_processes(monkeypatch, files) == 2


def test_where_the_folder_above_may_not_be_searched_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, files: Files
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("os.mkdir", "os.stat", "pathlib.Path.stat"):
        monkeypatch.setattr(name, refused)
    files.write(DIGEST, 1)

    assert files.read(DIGEST) is None


def test_what_was_written_is_read(files: Files) -> None:
    files.write(DIGEST, {"nodes": [1, 2.5, None]})

    assert files.read(DIGEST) == {"nodes": [1, 2.5, None]}
    assert [path.name for path in files.folder.iterdir()] == [f"{DIGEST}.json"]


def test_a_file_under_the_name_of_another_is_removed(files: Files) -> None:
    files.write(DIGEST, 1)
    (files.folder / f"{DIGEST}.json").rename(files.folder / f"{'e' * 64}.json")

    assert files.read("e" * 64) is None
    assert list(files.folder.iterdir()) == []


def test_a_write_that_fails_leaves_nothing_behind(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    files.write(DIGEST, 1)

    assert list(files.folder.iterdir()) == []


def test_writers_at_the_same_time_leave_a_whole_file(files: Files) -> None:
    threads = [threading.Thread(target=files.write, args=(DIGEST, ["x" * 10_000, n])) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert files.read(DIGEST)[0] == "x" * 10_000
    assert len(list(files.folder.iterdir())) == 1


@pytest.mark.parametrize(
    ("told", "folder"),
    [
        pytest.param("{tmp}/own", "{tmp}/own/qatrix/patterns", id="the folder that the environment names"),
        pytest.param("", "{tmp}/.cache/qatrix/patterns", id="nothing named"),
        pytest.param("relative", "{tmp}/.cache/qatrix/patterns", id="a relative folder is none"),
    ],
)
def test_the_folder_is_that_of_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str, folder: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", told.format(tmp=tmp_path))
    made = files_for(torchenv.pattern_modules())

    assert made is not None
    assert str(made.folder.parent) == folder.format(tmp=tmp_path)


def test_another_release_has_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_for(torchenv.pattern_modules())
    monkeypatch.setattr(torch, "__version__", "99.0")
    after = files_for(torchenv.pattern_modules())

    assert before is not None
    assert after is not None
    assert before.folder != after.folder


def test_without_sources_there_are_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(path: Path) -> bytes:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "read_bytes", unreadable)
    assert files_for(torchenv.pattern_modules()) is None


def scaling(factor: Any) -> Any:
    def scaled(x: torch.Tensor) -> Any:
        return x * factor

    return scaled


def digest(factor: Any, inputs: tuple[torch.Tensor, ...], *folders: Path) -> str:
    return digest_of(key_of(scaling(factor), inputs, is_cuda=False, keywords={}), folders)


def test_the_digest_of_equal_patterns_is_equal() -> None:
    one, other = (digest(2.0, (torch.rand(3),), Path(__file__).parent) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("factor", "shape"),
    [
        pytest.param(3.0, 3, id="closure"),
        pytest.param(2, 3, id="type"),
        pytest.param(2.0, 4, id="shape"),
        pytest.param(torch.add, 3, id="a function of torch"),
    ],
)
def test_the_digest_of_other_patterns_is_another(factor: Any, shape: int) -> None:
    folder = Path(__file__).parent
    assert digest(factor, (torch.ones(shape),), folder) != digest(2.0, (torch.ones(3),), folder)


@pytest.mark.parametrize(
    ("factor", "folders"),
    [
        pytest.param(2.0, (), id="code outside the sources"),
        pytest.param([].append, (Path(__file__).parent,), id="a function of an instance"),
        pytest.param(json.JSONDecoder, (Path(__file__).parent,), id="a class from elsewhere"),
    ],
)
def test_what_could_change_unseen_has_no_digest(factor: Any, folders: tuple[Path, ...]) -> None:
    with pytest.raises(Unkeyable):
        digest(factor, (torch.ones(3),), *folders)


def test_the_oldest_environments_are_dropped_when_a_new_one_comes(tmp_path: Path) -> None:
    for age in range(30):
        old = tmp_path / f"environment{age}"
        old.mkdir()
        os.utime(old, (1e9 - age, 1e9 - age))
    Files(folder=tmp_path / "new", sources=frozenset()).write("digest", {})

    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"new", *(f"environment{age}" for age in range(19))}
